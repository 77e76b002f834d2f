// The HTTP face of a coordinator.

public import Coordinator
import Foundation
public import Logging
public import ServiceLifecycle

/// Serves OpenAI's API over HTTP/1.1: completions, chat completions, models, tokens; and health,
/// metrics and a page that shows the cluster's status.
public struct Gateway: Service {
    private let service: any GenerationService
    private let version: String
    private let host: String
    private let port: Int
    private let limits: GatewayLimits
    private let cors: CORSPolicy
    private let security: GatewaySecurity
    private let admin: Address?
    private let logger: Logger
    private let isMeantOpen: Bool
    private let onBound: @Sendable (Int) async -> Void
    private let onAdminBound: @Sendable (Int) async -> Void
    private let open = OpenGenerations()

    /// Where to listen.
    public struct Address: Sendable, Equatable {
        /// A name or address.
        public var host: String
        /// A port; 0 takes any free one.
        public var port: Int

        /// Names it.
        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    /// A gateway to `service`; it opens its door in ``run()``.
    ///
    /// - Parameters:
    ///   - host: the address or name to listen at.
    ///   - port: the port to listen at; 0 takes any free one.
    ///   - version: the release that the metrics name.
    ///   - limits: what a client may cost.
    ///   - cors: the web pages that may use the gateway from a browser.
    ///   - security: keys and certificate of `host`.
    ///   - admin: serves metrics, status, page and health there, to everybody who can connect and in plain text; of these
    ///     `host` serves health alone then.
    ///   - isMeantOpen: whether others see to it who uses `host`: nothing is said of missing keys and TLS then.
    ///   - onBound: called once, with the port, when connections are accepted.
    ///   - onAdminBound: called once, with the port of `admin`, before the other.
    public init(
        service: any GenerationService, host: String = "127.0.0.1", port: Int = 8080, version: String = "unknown",
        limits: GatewayLimits = .init(), cors: CORSPolicy = .none, security: GatewaySecurity = .open,
        admin: Address? = nil, isMeantOpen: Bool = false, logger: Logger,
        onBound: @escaping @Sendable (Int) async -> Void = { _ in },
        onAdminBound: @escaping @Sendable (Int) async -> Void = { _ in }
    ) {
        self.service = service
        self.version = version
        self.host = host
        self.port = port
        self.limits = limits
        self.cors = cors
        self.security = security
        self.admin = admin
        self.isMeantOpen = isMeantOpen
        self.onAdminBound = onAdminBound
        self.logger = logger
        self.onBound = onBound
    }

    /// The first half of an end in good order: while requests run, `/health/ready` says 503 and so does whoever is asked for
    /// an answer, so that clients and load balancers go elsewhere before the door is shut. Comes back when none runs any more,
    /// at most ``GatewayLimits/drainTime`` later; what then still runs is cancelled. A graceful shutdown should follow.
    public func drain() async { await open.drain(atMost: limits.drainTime) }

    /// Serves until a graceful shutdown or cancellation. After a graceful shutdown running requests have
    /// ``GatewayLimits/drainTime`` to end. Throws ``GatewayError`` when it cannot listen.
    public func run() async throws {
        let status = StatusFeed(service, version: version)
        let work = PromptWork(threads: Self.promptThreads, queue: limits.promptQueue)
        defer { work.stop() }
        let access = Access(keys: security.keys, limits: limits, refusals: Refusals(logger: logger))
        let endpoints = GatewayResponder(
            service: service, version: version, limits: limits,
            budget: BodyBudget(total: limits.bodyBudget, largest: limits.bodyBytes), work: work, open: open,
            status: status, access: access, logger: logger)
        warnOfOpenAddress()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try? await gracefulShutdown()
                status.end()
                try? await Task.sleep(for: limits.drainTime)
                open.cancelAll()
            }
            group.addTask {
                while true {
                    try await Task.sleep(for: .seconds(1))
                    security.reload(isAsked: false, logger)
                    access.refusals.flush()
                }
            }
            defer { group.cancelAll() }
            let operators = admin.map {
                AddressServer(
                    endpoints: endpoints, address: $0, surface: .operators, limits: limits.ofOperators, cors: .none,
                    tls: nil, logger: logger)
            }
            if let operators {
                // The gateway is up when both of its addresses are.
                let (bound, continuation) = AsyncStream.makeStream(of: Result<Int, GatewayError>.self)
                group.addTask {
                    do {
                        try await operators.run { continuation.yield(.success($0)) }
                    } catch let error as GatewayError {
                        continuation.yield(.failure(error))
                    }
                    continuation.finish()
                }
                for await result in bound {
                    let port = try result.get()
                    logger.info(
                        "metrics, status and health are served", metadata: ["at": "http://\(operators.host):\(port)"])
                    await onAdminBound(port)
                    break
                }
            }
            let clients = AddressServer(
                endpoints: endpoints, address: Address(host: host, port: port),
                surface: admin == nil ? .everything : .clients, limits: limits, cors: cors, tls: security.tls,
                logger: logger)
            try await clients.run(onBound)
        }
    }

    /// An address that other machines reach, and that asks nobody who they are, may be meant so. It is said once.
    private func warnOfOpenAddress() {
        guard !HostName.isLocal(host), !isMeantOpen else { return }
        if security.keys == nil, security.tls?.files.clientCA == nil {
            logger.warning(
                "other machines can use the API without a key",
                metadata: [
                    "http": "\(host)",
                    "fix": "give --api-keys FILE (winnow keys api new), or --api-keys none where a proxy asks for them",
                ])
        } else if security.tls == nil {
            logger.warning(
                "keys and prompts travel in plain text",
                metadata: [
                    "http": "\(host)", "fix": "give --tls-certificate and --tls-key, or let a proxy that has them ask",
                ])
        }
    }

    /// Threads that read short requests. Long ones have one of their own, and the rest of the machine computes.
    private static var promptThreads: Int { max(1, min(4, ProcessInfo.processInfo.activeProcessorCount / 4)) }
}
