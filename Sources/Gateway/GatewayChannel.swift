// What stands between a socket and the endpoints.

import HummingbirdCore
package import Logging
package import NIOCore
import NIOHTTP1

/// Hummingbird's HTTP/1.1 channel with this gateway's rules around its parser.
struct GatewayChannel: ServerChildChannel {
    let http: HTTP1Channel
    let limits: GatewayLimits
    let connections: Connections
    let access: Access
    let surface: AccessPolicy.Surface
    let cors: CORSPolicy
    /// nil: plain text.
    let tls: TLSIdentity?

    init(
        responder: @escaping HTTPChannelHandler.Responder, limits: GatewayLimits, connections: Connections,
        access: Access, surface: AccessPolicy.Surface, cors: CORSPolicy, tls: TLSIdentity?
    ) {
        let configuration = HTTP1Channel.Configuration(
            additionalChannelHandlers: [
                ConnectionMonitor(writeTime: limits.writeTime, refusals: access.refusals)
            ],
            idleTimeout: TimeAmount(limits.idleTime),
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: GatewayLimits.headBytes, maxHeaderListSize: GatewayLimits.headBytes,
                maxHeaderFieldCount: GatewayLimits.headFields))
        http = HTTP1Channel(responder: responder, configuration: configuration)
        self.limits = limits
        self.connections = connections
        self.access = access
        self.surface = surface
        self.cors = cors
        self.tls = tls
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            guard let tls else { return }
            try channel.pipeline.syncOperations.addHandler(
                HandshakeHandler(tls, time: limits.headTime, access: access))
        }.flatMap { http.setup(channel: channel, logger: logger) }.flatMapThrowing { value in
            try ConnectionRules.add(
                to: channel.pipeline.syncOperations, limits: limits, connections: connections, access: access,
                surface: surface, cors: cors, logger: logger)
            return value
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async { await http.handle(value: value, logger: logger) }
}

/// The gateway's own rules on one connection's HTTP.
package enum ConnectionRules {
    /// Puts them around the parser of a pipeline. Call it on the channel's event loop.
    package static func add(
        to pipeline: ChannelPipeline.SynchronousOperations, limits: GatewayLimits, connections: Connections,
        access: Access, surface: AccessPolicy.Surface = .everything, cors: CORSPolicy = .none, logger: Logger
    ) throws {
        let parser = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
        let connection = ConnectionHandler(
            limits: limits, connections: connections, access: access, surface: surface, cors: cors,
            logger: logger)
        try pipeline.addHandler(connection, position: .after(parser))
        try pipeline.addHandler(IntakeHandler(connection), position: .before(parser))
    }
}
