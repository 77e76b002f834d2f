// One address of a gateway, with its own connections and rules.

import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Synchronization

/// Serves one address.
struct AddressServer: Sendable {
    let endpoints: GatewayResponder
    let address: Gateway.Address
    let surface: AccessPolicy.Surface
    let limits: GatewayLimits
    let cors: CORSPolicy
    /// nil: plain text.
    let tls: TLSIdentity?
    let logger: Logger

    var host: String { address.host }

    /// Serves until a graceful shutdown or cancellation.
    ///
    /// - Parameter onBound: told the port, once connections are accepted.
    /// - Throws: `GatewayError` when it can't listen.
    func run(_ onBound: @escaping @Sendable (Int) async -> Void) async throws {
        let isOpen = Bound()
        let application = Application(
            responder: EnvelopeResponder(
                endpoints: endpoints, cors: cors, isLocal: HostName.isLocal(host), surface: surface),
            server: server,
            // No newcomer waits in the kernel's queue: who has to make room is decided here.
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: address.port), serverName: "winnow", backlog: 4096),
            onServerRunning: { channel in
                isOpen.value.store(true, ordering: .relaxed)
                await onBound(channel.localAddress?.port ?? address.port)
            },
            logger: logger)
        do {
            try await application.run()
        } catch  where !isOpen.value.load(ordering: .relaxed) {
            throw GatewayError(error, host: host, port: address.port)
        }
    }

    /// HTTP/1.1 with bounds on silent clients and on clients that do not read.
    private var server: HTTPServerBuilder {
        let connections = Connections(
            limits: .init(
                total: limits.connections, perAddress: limits.connectionsPerAddress,
                reserve: limits.reservedConnections), logger: logger)
        return HTTPServerBuilder { responder in
            GatewayChannel(
                responder: { request, writer, channel in
                    // A client that asks first (curl does, above 1 MB) waits a second for this before it sends.
                    if request.headers[.expect]?.lowercased() == "100-continue", !endpoints.refusesBody(of: request) {
                        try await writer.writeInformationalHead(HTTPResponse(status: .continue))
                    }
                    try await responder(request, writer, channel)
                }, limits: limits, connections: connections, access: endpoints.access, surface: surface, cors: cors,
                tls: tls)
        }
    }

    /// Whether the address was bound: an error before is about the address.
    private final class Bound: Sendable {
        let value = Atomic(false)
    }
}
