// Any bytes as what a client sends: a connection's head and body, or the body of a request that arrived.

import Coordinator
import Foundation
import Gateway
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Speculation
import Synchronization
import Tokenizer

/// A server without a cluster, up to the point where a request would be taken.
private struct Unattended: GenerationService {
    let modelName = "m"
    let contextLength = 256
    let modelFingerprint = ""
    let hasSpeculator = true
    let defaultSpeculation = SpeculationParameters()
    let tokenizer: Tokenizer

    func readiness() -> Readiness { .ready }
    func metrics() -> ServiceMetrics { ServiceMetrics() }
    func status() -> FleetStatus { FleetStatus() }
    func submit(_ request: GenerationRequest) throws(RequestError) -> Generation {
        throw RequestError(.unavailable, "nobody is here")
    }
}

private let service: Unattended = {
    let model = ProcessInfo.processInfo.environment["WINNOW_FUZZ_MODEL"] ?? "cluster/models/needle-main-2m"
    do {
        return Unattended(tokenizer: try Tokenizer(directory: model))
    } catch {
        preconditionFailure("run it in the root of the repository: \(error)")
    }
}()

private let limits = GatewayLimits(connections: 4, connectionsPerAddress: 4)
private let silent = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
private let open = Access(refusals: Refusals(logger: silent))
/// Wants a key, and there is none: whatever asks for more than health is turned away.
private let closed: Access = {
    let path = "/dev/shm/winnow-fuzz-keys-\(getpid())"
    defer { unlink(path) }
    do {
        try APIKeyList().write(to: path)
        return Access(keys: try APIKeyFile(path: path), refusals: Refusals(logger: silent))
    } catch {
        preconditionFailure("\(error)")
    }
}()
private let cors: CORSPolicy = {
    do {
        return try CORSPolicy(allowing: ["http://a"])
    } catch {
        preconditionFailure("\(error)")
    }
}()

/// Answers every request that gets through, and holds the rules to what they promise of it.
private final class Endpoint: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private(set) var requests = 0
    private var isOpen = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            precondition(!isOpen, "a request within a request")
            precondition(head.uri.hasPrefix("/") || head.uri == "*", "a target that is no path")
            precondition(head.version.major == 1, "a version that is not spoken")
            isOpen = true
        case .body: precondition(isOpen, "a body without a head")
        case .end:
            precondition(isOpen, "an end without a head")
            isOpen = false
            requests += 1
            let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["content-length": "2"])
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "ok")))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

/// `pieces`: the length of the pieces that the bytes arrive in.
private func connection(_ bytes: UnsafeBufferPointer<UInt8>, pieces: Int, _ access: Access) throws {
    let channel = EmbeddedChannel()
    let endpoint = Endpoint()
    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
        withPipeliningAssistance: false, withErrorHandling: false)
    let connections = Connections(
        limits: .init(total: limits.connections, perAddress: limits.connectionsPerAddress, reserve: 1), logger: silent)
    try ConnectionRules.add(
        to: channel.pipeline.syncOperations, limits: limits, connections: connections,
        access: access, cors: cors, logger: silent)
    try channel.pipeline.syncOperations.addHandler(endpoint)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    for start in stride(from: 0, to: bytes.count, by: pieces) where channel.isActive {
        let piece = UnsafeBufferPointer(rebasing: bytes[start..<min(bytes.count, start + pieces)])
        _ = try? channel.writeInbound(ByteBuffer(bytes: piece))
        channel.embeddedEventLoop.run()
    }
    channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    // Every timer runs out: of a head, of a silent client, of one that may be gone.
    channel.embeddedEventLoop.advanceTime(by: .seconds(100))
    var answers = 0
    var text = ByteBuffer()
    while let part = try channel.readOutbound(as: IOData.self) {
        if case .byteBuffer(var buffer) = part { text.writeBuffer(&buffer) }
    }
    if text.readableBytes > 0 {
        precondition(text.readableBytesView.starts(with: Array("HTTP/1.".utf8)), "an answer that is none")
        answers = String(buffer: text).split(separator: "HTTP/1.", omittingEmptySubsequences: true).count
        precondition(answers >= endpoint.requests, "an answer is missing")
    }
    precondition(endpoint.requests == 0 || answers > 0, "requests without answers")
    _ = try? channel.finish(acceptAlreadyClosed: true)
}

private func body(_ bytes: UnsafeBufferPointer<UInt8>, path: String) {
    do {
        let call = try InProcessRequest.parse(path: path, body: Array(bytes), for: service)
        precondition(call.request.prompt.count < service.contextLength, "a prompt that leaves no room")
    } catch {
        precondition((400..<500).contains(error.status), "no fault of the client's: \(error)")
        precondition(!error.description.isEmpty && error.description.utf8.count < 10_000, "too many words, or none")
    }
}

/// The only kind that is fed; nil: all.
private let only = ProcessInfo.processInfo.environment["WINNOW_FUZZ_ONLY"]

/// The first byte says what the others are: "c" and "m" bodies, all else what a connection brings.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHTTP(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 1 else { return 0 }
    let bytes = UnsafeBufferPointer(start: start + 1, count: count - 1)
    let isBody = start.pointee == UInt8(ascii: "c") || start.pointee == UInt8(ascii: "m")
    if let only, only != (isBody ? "json" : "connection") { return -1 }
    switch start.pointee {
    case UInt8(ascii: "c"): body(bytes, path: "/v1/completions")
    case UInt8(ascii: "m"): body(bytes, path: "/v1/chat/completions")
    case let kind:
        do {
            try connection(
                bytes, pieces: kind.isMultiple(of: 2) ? bytes.count : 1 + Int(kind) / 16, kind & 8 == 0 ? open : closed)
        } catch {
            preconditionFailure("\(error)")
        }
    }
    return 0
}
