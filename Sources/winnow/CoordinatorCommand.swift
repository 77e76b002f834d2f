// `winnow coordinator`: settings to a coordinator and its gateway, until a signal ends both.

import ArgumentParser
import Coordinator
import Gateway
import Launcher
import Logging
import ServiceLifecycle
import Settings
import Speculation
import Synchronization
import Wire

/// `winnow coordinator`: scores prompts, leads them through the pipeline, and serves HTTP.
struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Serve a model: score prompts, route them through workers, answer HTTP.",
        discussion: """
            Waits for as many workers as a pipeline has stages, shares the layers out, and serves an OpenAI-compatible API. \
            There may be several pipelines, of different depth, and workers that only score prompts. Prints `listening ENDPOINT` once workers can say hello, and `ready http://HOST:PORT` once every layer of a pipeline is held.

            SIGTERM or Ctrl-C: no new requests are taken, running ones have --drain-time to end, workers are told goodbye. \
            A second signal ends the running requests at once. SIGHUP reads --api-keys and --tls-certificate again (a change \
            of them is seen by itself within a second); where there are none it ends as SIGTERM does.

            When a worker is lost, its requests go on with another pipeline, or with this one once it stands again (a worker \
            more than needed is a spare), at most --replay-wait later; their streams continue where they stopped.

              a$ winnow coordinator --model DIR --speculator DIR --pipeline fast=2 --pipeline slow=4
              b$ winnow worker --model DIR --coordinator tcp://a:5700 --pipeline fast
            """)

    private struct Flags: SettingOwner {
        static let process = Setting.Process.coordinator
    }

    @OptionGroup private var flags: SettingFlags<Flags>

    /// Says `ready` each time both halves of it are known: the address bound, and a complete pipeline.
    private final class ReadyLine: Sendable {
        private let state = Mutex<(url: String?, isUp: Bool)>((nil, false))

        func bound(_ url: String) { update { $0.url = url } }
        func pipelineStands() { update { $0.isUp = true } }

        private func update(_ change: (inout (url: String?, isUp: Bool)) -> Void) {
            let url = state.withLock { state in
                change(&state)
                guard state.isUp, let url = state.url else { return String?.none }
                state.isUp = false
                return url
            }
            if let url { Console.announce("ready \(url)") }
        }
    }

    /// The coordinator among the services: runs until asked to end, then ends its requests.
    private struct CoordinatorService: Service {
        let coordinator: Coordinator
        func run() async throws {
            await withGracefulShutdownHandler {
                await coordinator.run()
            } onGracefulShutdown: {
                coordinator.stop()
            }
        }
    }

    func run() async throws {
        let values = try flags.values()
        let compute = ComputeSettings(values)
        try compute.prepare()
        let logger = Console.logger("coordinator", level: values.text("log_level"))
        let access = GatewaySettings(values)
        let cors: CORSPolicy
        do { cors = try access.cors() } catch { throw ValidationError("--cors-origin: \(error)") }
        let security: GatewaySecurity
        do {
            security = try access.security()
        } catch {
            throw Console.failure(.badData, "\(error)")
        }
        let drainTime = values.integer("drain_time") ?? 0
        let ready = ReadyLine()
        let coordinator: Coordinator
        do {
            let configuration = try CoordinatorConfiguration(values, compute)
            coordinator = try Coordinator(
                configuration: configuration, context: try ZeroMQContext(), logger: logger
            ) { stages in
                logger.info("ready", metadata: ["stages": "\(stages.joined(separator: ", "))"])
                ready.pipelineStands()
                ServiceNotice.status("serving \(stages.joined(separator: ", "))")
            }
        } catch let error as CoordinatorError {
            throw Console.failure(error.exit, "\(error)")
        } catch let error as KeyError {
            throw Console.failure(.badData, "\(error)")
        } catch let error as Endpoint.ParseError {
            throw Console.failure(.usage, "\(error)")
        } catch {
            throw Console.failure(.unavailable, "\(error)")
        }
        Console.announce("listening \(coordinator.endpoint)")

        let address = access.address
        let name =
            (values.text("http") ?? "").prefix { $0 != "*" }.isEmpty ? "localhost" : HostAddress.bracketed(address.host)
        let gateway = Gateway(
            service: coordinator, host: address.host, port: address.port, version: WinnowVersion.text,
            limits: access.limits(drainTime: .seconds(drainTime)),
            cors: cors, security: security, admin: access.admin, isMeantOpen: access.isMeantOpen, logger: logger
        ) { bound in
            // Every interface has no name that a client could use.
            ready.bound("\(security.scheme)://\(name):\(bound)")
            ServiceNotice.ready("waiting for workers at \(coordinator.endpoint)")
        }
        // The gateway ends first, so that it can still tell its clients how their requests ended.
        let group = ServiceGroup(
            configuration: .init(
                services: [
                    .init(service: CoordinatorService(coordinator: coordinator)), .init(service: gateway),
                ], logger: Logger(label: "services") { _ in SwiftLogNoOpLogHandler() }))
        let ends = EndSignals(withStandardInput: values.boolean("exit_with_stdin")) {
            guard security.hasFiles else { return false }
            security.reload(isAsked: true, logger)
            return true
        }
        let asked = Mutex<StopReason?>(nil)
        let wait = Task {
            guard let reason = await ends.next() else { return }
            asked.withLock { $0 = reason }
            ServiceNotice.stopping()
            logger.info("ending", metadata: ["drain_time": "\(drainTime) s"])
            Task {
                await gateway.drain()
                await group.triggerGracefulShutdown()
            }
            guard await ends.next() != nil else { return }
            logger.notice("asked again: ending the requests that still run")
            coordinator.endRequests()
        }
        defer { wait.cancel() }
        do {
            try await group.run()
        } catch let error as GatewayError {
            throw Console.failure(.unavailable, "\(error)")
        } catch {
            throw Console.failure(.fault, "\(error)")
        }
        if asked.withLock({ $0 }) == .interrupt { throw ExitCode(Console.Failure.interrupted.rawValue) }
    }

}

extension CoordinatorError {
    /// What a script is told.
    fileprivate var exit: Console.Failure {
        switch self {
        case .badConfiguration: .usage
        case .model: .badData
        case .transport: .unavailable
        }
    }
}

extension CoordinatorConfiguration {
    /// What `values` say.
    fileprivate init(_ values: SettingValues, _ compute: ComputeSettings) throws {
        self.init(
            modelDirectory: values.text("model") ?? "", speculatorDirectory: values.text("speculator"),
            modelName: values.text("name"), listen: try Endpoint(values.text("listen") ?? ""),
            results: try values.text("results").map { try Endpoint($0) },
            advertisedHost: values.text("advertise").map(HostAddress.bracketed))
        if let path = values.text("keys") {
            let folder = KeyFolder(path: path)
            keys = CoordinatorConfiguration.Keys(
                own: try KeyFile(path: folder.keyPath(KeyFolder.coordinator)),
                allowed: try AllowListFile(path: values.text("allow_list") ?? folder.listPath))
        }
        let pipelines = values.said("pipeline").compactMap { SettingKind.pipeline($0) }
        self.pipelines =
            pipelines.isEmpty
            ? [PipelineShape(name: PipelineShape.defaultName, stageCount: values.integer("stages") ?? 1)]
            : pipelines.map { PipelineShape(name: $0.name, stageCount: $0.stages) }
        speculatorsAreWorkers = values.boolean("speculator_workers")
        threads = values.integer("threads")
        cpus = compute.cpus
        precision = compute.precision
        weightsCache = values.weightsCache
        func take(_ name: String, _ field: WritableKeyPath<Self, Int>) {
            if let count = values.integer(name) { self[keyPath: field] = count }
        }
        take("micro_batch_tokens", \.microBatchRows)
        take("kv_tokens", \.kvRows)
        take("speculative_decoding", \.draftTokens)
        take("max_requests", \.maxRequests)
        take("max_queued_tokens", \.maxQueuedTokens)
        take("max_replays", \.maxReplays)
        func take(_ name: String, _ field: WritableKeyPath<Self, Duration>) {
            if let seconds = values.integer(name) { self[keyPath: field] = .seconds(seconds) }
        }
        take("request_timeout", \.requestTimeout)
        take("replay_wait", \.replayWait)
        take("stall", \.stallLimit)
        speculation = SpeculationParameters(values)
        wireType = values.text("wire_dtype").flatMap { WireType(rawValue: $0) } ?? .f32
        traceFile = values.text("trace")
        isInsecure = values.boolean("insecure")
    }
}
