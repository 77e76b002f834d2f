// The HTTP face of a coordinator.

public import Coordinator
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
public import ServiceLifecycle
import Synchronization

/// Serves OpenAI's API over HTTP/1.1: completions, chat completions, models, tokens; and health,
/// metrics and a page that shows the cluster's status.
public struct Gateway: Service {
    private let service: any GenerationService
    private let version: String
    private let host: String
    private let port: Int
    private let limits: GatewayLimits
    private let cors: CORSPolicy
    private let logger: Logger
    private let onBound: @Sendable (Int) async -> Void

    /// A gateway to `service`; it opens its door in ``run()``.
    ///
    /// - Parameters:
    ///   - host: the address or name to listen at.
    ///   - port: the port to listen at; 0 takes any free one.
    ///   - version: the release that the metrics name.
    ///   - limits: what a client may cost.
    ///   - cors: the web pages that may use the gateway from a browser.
    ///   - onBound: called once, with the port, when connections are accepted.
    public init(
        service: any GenerationService, host: String = "127.0.0.1", port: Int = 8080, version: String = "unknown",
        limits: GatewayLimits = .init(), cors: CORSPolicy = .none, logger: Logger,
        onBound: @escaping @Sendable (Int) async -> Void = { _ in }
    ) {
        self.service = service
        self.version = version
        self.host = host
        self.port = port
        self.limits = limits
        self.cors = cors
        self.logger = logger
        self.onBound = onBound
    }

    /// Serves until a graceful shutdown or cancellation. After a graceful shutdown running requests have
    /// ``GatewayLimits/drainTime`` to end. Throws ``GatewayError`` when it cannot listen.
    public func run() async throws {
        let open = OpenGenerations()
        let door = Door()
        let status = StatusFeed(service, version: version)
        let work = PromptWork(threads: Self.promptThreads, queue: limits.promptQueue)
        defer { work.stop() }
        let endpoints = GatewayResponder(
            service: service, version: version, limits: limits,
            budget: BodyBudget(total: limits.bodyBudget, largest: limits.bodyBytes), work: work, open: open,
            status: status, logger: logger)
        let application = Application(
            responder: EnvelopeResponder(endpoints: endpoints, cors: cors, isLocal: HostName.isLocal(host)),
            server: server(endpoints),
            // No newcomer waits in the kernel's queue: who has to make room is decided here.
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port), serverName: "winnow", backlog: 4096),
            onServerRunning: { channel in
                door.isOpen.store(true, ordering: .relaxed)
                await onBound(channel.localAddress?.port ?? port)
            },
            logger: logger)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try? await gracefulShutdown()
                    status.end()
                    try? await Task.sleep(for: limits.drainTime)
                    open.cancelAll()
                }
                defer { group.cancelAll() }
                try await application.run()
            }
        } catch  where !door.isOpen.load(ordering: .relaxed) {
            throw GatewayError(error, host: host, port: port)
        }
    }

    /// Threads that read short requests. Long ones have one of their own, and the rest of the machine computes.
    private static var promptThreads: Int { max(1, min(4, ProcessInfo.processInfo.activeProcessorCount / 4)) }

    /// HTTP/1.1 with bounds on silent clients and on clients that do not read.
    private func server(_ endpoints: GatewayResponder) -> HTTPServerBuilder {
        let limits = limits
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
                }, limits: limits, connections: connections)
        }
    }

    /// Whether the address was bound: an error before is about the address.
    private final class Door: Sendable {
        let isOpen = Atomic(false)
    }
}
