// A real HTTP server on a free port that answers as a script says, at the times it says.

import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A request as the server saw it.
struct SeenRequest: Sendable {
    var uri: String
    var headers: HTTPHeaders
    var body: String
}

/// One thing the server does in answer to a request.
enum Step: Sendable {
    case head(Int, [(String, String)])
    case wait(Duration)
    case text(String)
    case end
    /// Cuts the connection.
    case close
    /// Goes on when the gate is open.
    case pass(Gate)
}

/// Holds answers back until something has happened.
final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiting: [@Sendable () -> Void])>((false, []))

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for resume in waiting { resume() }
    }

    func whenOpen(_ resume: @escaping @Sendable () -> Void) {
        let isOpen = state.withLock { state in
            if !state.isOpen { state.waiting.append(resume) }
            return state.isOpen
        }
        if isOpen { resume() }
    }
}

/// Answers as HTTP on 127.0.0.1 for the time of a closure.
final class TestServer: Sendable {
    typealias Script = @Sendable (SeenRequest, Int) -> [Step]

    let address: String
    private let requests = Mutex<[SeenRequest]>([])
    private let script: Script

    /// Everything asked so far.
    var seen: [SeenRequest] { requests.withLock { $0 } }

    /// Runs the closure against a server that plays the script; its second argument counts the POST requests from 0.
    static func run<Result>(
        _ script: @escaping Script, _ body: (TestServer) async throws -> Result
    ) async throws -> Result {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let shared = Shared()
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(Handler(shared))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = TestServer(address: "http://127.0.0.1:\(channel.localAddress?.port ?? 0)", script)
        shared.set(server)
        let result: Result
        do {
            result = try await withTaskExecutorPreference(OwnThread.shared) { try await body(server) }
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
        return result
    }

    private init(address: String, _ script: @escaping Script) {
        self.address = address
        self.script = script
    }

    fileprivate func steps(for request: SeenRequest) -> [Step] {
        if request.uri == "/v1/models" { return Answer.models }
        if request.uri == "/metrics" { return Answer.json(404, "") }
        let index = requests.withLock { requests in
            requests.append(request)
            return requests.count - 1
        }
        return script(request, index)
    }
}

/// The server, for the handlers that are made before it.
private final class Shared: Sendable {
    private let server = Mutex<TestServer?>(nil)
    func set(_ new: TestServer) { server.withLock { $0 = new } }
    var value: TestServer? { server.withLock { $0 } }
}

/// Plays the steps of one connection. Only its own event loop touches it.
private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let shared: Shared
    private var request = SeenRequest(uri: "", headers: [:], body: "")

    init(_ shared: Shared) {
        self.shared = shared
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): request = SeenRequest(uri: head.uri, headers: head.headers, body: "")
        case .body(let buffer): request.body += String(buffer: buffer)
        case .end: Player.play(shared.value?.steps(for: request)[...] ?? [.close], on: context.channel)
        }
    }
}

private enum Player {
    static func play(_ steps: ArraySlice<Step>, on channel: any Channel) {
        guard let step = steps.first else { return }
        let rest = steps.dropFirst()
        switch step {
        case .wait(let duration):
            let parts = duration.components
            let nanoseconds = parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000
            channel.eventLoop.scheduleTask(in: .nanoseconds(nanoseconds)) { play(rest, on: channel) }
            return
        case .pass(let gate):
            gate.whenOpen { channel.eventLoop.execute { play(rest, on: channel) } }
            return
        case .head(let status, let headers):
            let head = HTTPResponseHead(
                version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: HTTPHeaders(headers))
            channel.write(HTTPServerResponsePart.head(head), promise: nil)
        case .text(let text):
            channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: text))), promise: nil)
        case .end: channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
        case .close: channel.close(promise: nil)
        }
        play(rest, on: channel)
    }
}

/// Scripts in the shape of real answers.
enum Answer {
    static let nothing: TestServer.Script = { _, _ in [] }
    static let streamHead = Step.head(200, [("Content-Type", "text/event-stream")])
    static let models: [Step] = json(200, #"{"object":"list","data":[{"id":"toy"}]}"#)

    static func json(_ status: Int, _ text: String) -> [Step] {
        [.head(status, [("Content-Type", "application/json")]), .text(text), .end]
    }

    static func chunk(_ text: String) -> String {
        #"data: {"choices":[{"index":0,"text":"\#(text)","finish_reason":null}]}"# + "\n\n"
    }

    static let finish = #"data: {"choices":[{"index":0,"text":"","finish_reason":"length"}]}"# + "\n\n"
    static let usage = #"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"# + "\n\n"
    static let done = "data: [DONE]\n\n"

    /// A whole answer of one token, `a`, which comes after a while.
    static func whole(after delay: Duration = .zero) -> [Step] {
        [streamHead, .wait(delay), .text(chunk("a") + finish + done), .end]
    }

    /// The answer of ``whole(after:)``, once the gate is open.
    static func whole(after gate: Gate) -> [Step] {
        [.pass(gate)] + whole()
    }
}

/// A single server with a queue in front of it: each request waits for those before it.
final class SingleServerQueue: Sendable {
    private let busyUntil = Mutex<ContinuousClock.Instant?>(nil)

    /// How long a request that comes now takes, its waiting included.
    func delay(service: Duration) -> Duration {
        busyUntil.withLock { busyUntil in
            let now = ContinuousClock.now
            let end = max(now, busyUntil ?? now) + service
            busyUntil = end
            return end - now
        }
    }
}
