// The shell around `ConnectionState`: one HTTP/1 connection's requests, answers and timers.

import Foundation
import HTTPTypes
import Logging
import NIOCore
import NIOHTTP1

/// Stands between the parser and the requests' endpoints. It lets one request at a time through, refuses by itself what
/// is no request, keeps the rules of each version of HTTP, and ends connections without losing an answer.
///
/// Lives on its channel's event loop, which guards all its state.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// Parts of requests that a client sent ahead of its answers; one that sends more of them is cut off.
    private static let mostHeld = 128
    /// The longest silence of a client whose last bytes are thrown away.
    private static let lingerTime = Duration.seconds(5)
    private static let longestProbeTime = Duration.seconds(30)
    /// The longest body that is read to keep the connection of a refused request; with a longer one it ends.
    private static let longestRefusedBody = 64 << 10

    private let limits: GatewayLimits
    private let connections: Connections
    private let access: Access
    private let surface: AccessPolicy.Surface
    private let cors: CORSPolicy
    private let logger: Logger
    private var state = ConnectionState()
    private var id: Int?
    private var held: [HTTPServerRequestPart] = []
    private var isReadHeld = false
    private var isInputEndHeld = false
    /// Why what follows the running request is none.
    private var fault: APIError?
    /// One timer at a time: of a head, of a client that may be gone, of the end.
    private var timer: Scheduled<Void>?
    private var sawBytes = false
    private var context: ChannelHandlerContext?

    init(
        limits: GatewayLimits, connections: Connections, access: Access, surface: AccessPolicy.Surface,
        cors: CORSPolicy, logger: Logger
    ) {
        self.limits = limits
        self.connections = connections
        self.access = access
        self.surface = surface
        self.cors = cors
        self.logger = logger
    }

    // MARK: From the client

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        id = connections.open(context.channel)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        held = []
        if let id { connections.close(id) }
        id = nil
        context.fireChannelInactive()
    }

    /// Whether what still comes is thrown away.
    var isLingering: Bool { state.phase == .lingering }

    /// Bytes have come, before they are parsed. `false`: nobody wants them.
    func bytesArrived() -> Bool {
        sawBytes = true
        if state.bytesArrived(), let context {
            schedule(context, in: limits.headTime) { handler, context in
                handler.refuse(context, .headTooSlow(limits: handler.limits), .slowHead, isOld: false)
            }
        }
        return state.phase != .lingering
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        guard held.isEmpty, state.exchange?.isRead != true else { return hold(context, part) }
        take(context, part)
    }

    private func hold(_ context: ChannelHandlerContext, _ part: HTTPServerRequestPart) {
        guard held.count < Self.mostHeld else { return context.close(promise: nil) }
        held.append(part)
    }

    private func take(_ context: ChannelHandlerContext, _ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head):
            if state.phase != .lingering { begin(context, head) }
        case .body:
            if let exchange = state.exchange, exchange.refusal == nil { context.fireChannelRead(wrapInboundOut(part)) }
        case .end:
            guard let exchange = state.exchange else { return }
            state.requestEnded()
            if let refusal = exchange.refusal {
                return answer(context, refusal, exchange)
            }
            context.fireChannelRead(wrapInboundOut(part))
            if state.inputEnded { probe(context, in: limits.halfCloseTime) }
        }
    }

    private func begin(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
        timer?.cancel()
        let isOld = head.version.major == 1 && head.version.minor == 0
        let origin = head.headers.first(name: "origin")
        var checked: HTTPRequestHead
        do throws(APIError) {
            checked = try HeadRules.check(head)
        } catch {
            return refuse(context, error, .badHTTP, isOld: isOld, origin: origin, route: head.uri)
        }
        do throws(Access.Refusal) {
            _ = try access.entry(
                method: HTTPRequest.Method(head.method.rawValue), path: String(checked.uri.prefix { $0 != "?" }),
                authorization: head.headers.first(name: "authorization"), at: surface)
        } catch {
            return turnAway(context, checked, error, isOld: isOld)
        }
        guard let id, connections.begin(id, isProbe: Route.isProbe(head.method, checked.uri)) else {
            return refuse(
                context, .tooManyConnections, .connections, isOld: isOld, origin: origin, route: checked.uri)
        }
        let staysOpen = head.isKeepAlive
        state.begin(ConnectionState.Exchange(isOld: isOld, staysOpen: staysOpen))
        // The server's loop ends a connection when it reads exactly this.
        checked.headers.remove(name: "connection")
        if !staysOpen { checked.headers.add(name: "connection", value: "close") }
        if isOld { checked.headers.remove(name: "expect") }
        context.fireChannelRead(wrapInboundOut(.head(checked)))
    }

    /// Refuses a request before it costs anything. Its connection stays open where its body is short, so that a client
    /// that keeps asking need not connect each time.
    private func turnAway(
        _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ refusal: Access.Refusal, isOld: Bool
    ) {
        if let reason = refusal.reason {
            access.refusals.note(reason, from: Connections.address(context.channel.remoteAddress))
        }
        let origin = head.headers.first(name: "origin")
        let lengths = head.headers["content-length"]
        let isShort =
            lengths.isEmpty || lengths.count == 1 && (Int(lengths[0]).map { $0 <= Self.longestRefusedBody } ?? false)
        guard isShort, !head.headers.contains(name: "transfer-encoding"), !head.headers.contains(name: "expect") else {
            return refuse(context, refusal.error, nil, isOld: isOld, origin: origin, route: head.uri)
        }
        state.begin(
            ConnectionState.Exchange(
                isOld: isOld, staysOpen: head.isKeepAlive, refusal: refusal.error, origin: origin,
                isHeadOnly: head.method == .HEAD))
        schedule(context, in: limits.headTime) { handler, context in
            handler.refuse(context, refusal.error, .slowBody, isOld: isOld, origin: origin, route: head.uri)
        }
    }

    /// Goes on with what came while a request was being answered.
    private func proceed(_ context: ChannelHandlerContext) {
        while let part = held.first, state.exchange?.isRead != true, state.phase != .lingering {
            held.removeFirst()
            take(context, part)
        }
        context.fireChannelReadComplete()
        guard held.isEmpty, state.phase != .lingering else { return }
        if let fault, state.exchange == nil { return refuse(context, fault, .badHTTP, isOld: false) }
        if isReadHeld {
            isReadHeld = false
            context.read()
        }
        if isInputEndHeld {
            isInputEndHeld = false
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        }
    }

    func read(context: ChannelHandlerContext) {
        if held.isEmpty { context.read() } else { isReadHeld = true }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is ByteToMessageDecoderError { return }
        guard let refusal = HeadRules.refusal(error) else { return context.fireErrorCaught(error) }
        switch state.phase {
        case .lingering: break
        case .idle where held.isEmpty: refuse(context, refusal, .badHTTP, isOld: false)
        case .exchange(let exchange) where !exchange.isRead && held.isEmpty:
            guard !exchange.isAnswering else { return context.close(promise: nil) }
            refuse(context, refusal, .badHTTP, isOld: exchange.isOld)
            // Whoever waits for the rest of the body waits in vain.
            context.fireErrorCaught(error)
        default: fault = refusal
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent, isLingering { return context.close(promise: nil) }
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        state.inputEnded = true
        if state.phase == .lingering { return context.close(promise: nil) }
        if state.exchange?.isRead == true { probe(context, in: limits.halfCloseTime) }
        if held.isEmpty { context.fireUserInboundEventTriggered(event) } else { isInputEndHeld = true }
    }

    // MARK: To the client

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part = unwrapOutboundIn(data)
        guard let exchange = state.exchange else {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        switch part {
        case .head(let head) where head.status.code < 200:
            if exchange.isOld { promise?.succeed() } else { context.write(data, promise: promise) }
        case .head(let head): context.write(wrapOutboundOut(.head(framed(head))), promise: promise)
        case .body: context.write(data, promise: promise)
        case .end: end(context, data, promise)
        }
    }

    private func framed(_ head: HTTPResponseHead) -> HTTPResponseHead {
        var head = head
        let framing = state.answer(
            closes: !head.headers[canonicalForm: "connection"].allSatisfy { $0.lowercased() != "close" },
            hasLength: head.headers.contains(name: "content-length") || head.status == .noContent,
            isEventStream: head.headers.first(name: "content-type") == "text/event-stream")
        head.version = framing.isOld ? .http1_0 : .http1_1
        head.headers.remove(name: "connection")
        if let connection = framing.connection { head.headers.add(name: "connection", value: connection) }
        return head
    }

    private func end(_ context: ChannelHandlerContext, _ data: NIOAny, _ promise: EventLoopPromise<Void>?) {
        timer?.cancel()
        let staysOpen = state.answered()
        if let id { connections.end(id) }
        guard staysOpen else {
            context.writeAndFlush(data, promise: promise)
            return linger(context)
        }
        context.write(data, promise: promise)
        guard !held.isEmpty || fault != nil else { return }
        context.eventLoop.assumeIsolated().execute { [self] in proceed(context) }
    }

    /// Answers by itself, for a connection that serves nothing more. `reason`: what it counts as; nil: it is counted.
    /// `origin`: the web page that asked, where a head says so.
    private func refuse(
        _ context: ChannelHandlerContext, _ error: APIError, _ reason: Refusals.Reason?, isOld: Bool,
        origin: String? = nil, route: String = "-"
    ) {
        let id = RequestIdentity.own()
        // One line says it for many: whoever sends bad requests by the thousand fills no log with them.
        if let reason,
            access.refusals.count(reason, from: Connections.address(context.channel.remoteAddress)) != nil
        {
            var log = RequestLog(route: route, logger: logger)
            log.note(.requestID, id)
            log.end(error.status, error: error)
        }
        state.linger()
        held = []
        if let id = self.id { connections.end(id) }
        var (head, body) = response(error, id: id, isOld: isOld, origin: origin)
        head.headers.add(name: "connection", value: "close")
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        linger(context)
    }

    /// Answers a request that was turned away, on a connection that may serve others.
    private func answer(_ context: ChannelHandlerContext, _ error: APIError, _ exchange: ConnectionState.Exchange) {
        let (head, body) = response(
            error, id: RequestIdentity.own(), isOld: exchange.isOld, origin: exchange.origin)
        write(context: context, data: wrapOutboundOut(.head(head)), promise: nil)
        if !exchange.isHeadOnly {
            write(context: context, data: wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        }
        write(context: context, data: wrapOutboundOut(.end(nil)), promise: nil)
        context.flush()
    }

    private func response(
        _ error: APIError, id: String, isOld: Bool, origin: String?
    ) -> (HTTPResponseHead, ByteBuffer) {
        var headers: HTTPHeaders = [
            "content-type": "application/json", "server": "winnow", "x-request-id": id, "date": HTTPDate.now(),
        ]
        if let wait = error.retryAfterSeconds { headers.add(name: "retry-after", value: "\(wait)") }
        for challenge in error.challenges { headers.add(name: "www-authenticate", value: challenge) }
        for field in cors.fields(for: origin) { headers.add(name: field.name.canonicalName, value: field.value) }
        let body = (try? encoded(ErrorBody(error))) ?? ByteBuffer()
        headers.add(name: "content-length", value: "\(body.readableBytes)")
        let status = HTTPResponseStatus(statusCode: error.status.code, reasonPhrase: error.status.reasonPhrase)
        return (HTTPResponseHead(version: isOld ? .http1_0 : .http1_1, status: status, headers: headers), body)
    }

    // MARK: Ends

    /// Says that nothing more comes, and throws away what the client still sends: one that sends into a closed
    /// connection may lose the answer before it has read it.
    private func linger(_ context: ChannelHandlerContext) {
        if state.inputEnded { return context.close(promise: nil) }
        context.close(mode: .output, promise: nil)
        context.read()
        wait(context, until: .now + limits.bodyTime)
    }

    private func wait(_ context: ChannelHandlerContext, until end: ContinuousClock.Instant) {
        sawBytes = false
        schedule(context, in: Self.lingerTime) { handler, context in
            guard handler.sawBytes, .now < end else { return context.close(promise: nil) }
            handler.wait(context, until: end)
        }
    }

    /// Finds out, again and again, whether a client that shut its sending side still listens: one that does passes over
    /// what is sent, and the kernel of one that does not resets the connection.
    private func probe(_ context: ChannelHandlerContext, in time: Duration) {
        schedule(context, in: time) { handler, context in
            switch handler.state.probe {
            case .informational:
                let head = HTTPResponseHead(version: .http1_1, status: .continue)
                context.writeAndFlush(handler.wrapOutboundOut(.head(head)), promise: nil)
            case .comment:
                let comment = ByteBuffer(string: ":\n\n")
                context.writeAndFlush(handler.wrapOutboundOut(.body(.byteBuffer(comment))), promise: nil)
            case .none: break
            }
            if handler.state.exchange != nil { handler.probe(context, in: min(time * 2, Self.longestProbeTime)) }
        }
    }

    private func schedule(
        _ context: ChannelHandlerContext, in time: Duration,
        _ action: @escaping (ConnectionHandler, ChannelHandlerContext) -> Void
    ) {
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(time)) { [weak self] in
            guard let self, context.channel.isActive else { return }
            action(self, context)
        }
    }
}

/// Stands before the parser: tells when bytes come, and keeps from it those that nobody wants.
final class IntakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let connection: ConnectionHandler

    init(_ connection: ConnectionHandler) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if connection.bytesArrived() { context.fireChannelRead(data) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        // Those who read for the endpoints have stopped asking for more.
        if connection.isLingering { context.read() }
    }
}

extension APIError {
    fileprivate static func headTooSlow(limits: GatewayLimits) -> APIError {
        APIError(
            status: .requestTimeout, type: "invalid_request_error", code: "request_timeout", parameter: nil,
            message: "The request's head did not arrive as a whole within \(limits.headTime).")
    }

    fileprivate static let tooManyConnections = APIError.server(
        .serviceUnavailable, code: "overloaded", "Too many requests are being answered: try again.",
        retryAfter: .seconds(1))
}
