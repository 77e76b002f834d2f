import ArgumentParser
import Coordinator
import Gateway
import Launcher
import Logging
import ServiceLifecycle
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
            A second signal ends the running requests at once.

            When a worker is lost, its requests go on with another pipeline, or with this one once it stands again (a worker \
            more than needed is a spare), at most --replay-wait later; their streams continue where they stopped.

              a$ winnow coordinator --model DIR --speculator DIR --pipeline fast=2 --pipeline slow=4
              b$ winnow worker --model DIR --coordinator tcp://a:5700 --pipeline fast
            """)

    @Option(help: ArgumentHelp("The main model: a Hugging Face directory or a GGUF file.", valueName: "path"))
    var model: String

    @Option(
        help: ArgumentHelp("The speculator, likewise, same tokenizer. Without it all is dense.", valueName: "path"))
    var speculator: String?

    @Option(help: ArgumentHelp("The id the model is served under. Default: its file's name.", valueName: "id"))
    var name: String?

    @Option(help: ArgumentHelp("Where clients connect; port 0 takes any.", valueName: "host:port"))
    var http = "127.0.0.1:8080"

    @Option(help: ArgumentHelp("Where workers say hello; port * takes any.", valueName: "endpoint"))
    var listen = "tcp://127.0.0.1:5700"

    @Option(
        help: ArgumentHelp(
            "Where last stages and speculator workers answer. Default: the port after that of --listen.",
            valueName: "endpoint"))
    var results: String?

    @Option(
        help: ArgumentHelp(
            "The name other hosts know this one by. Default: as bound; for every interface the default route's address.",
            valueName: "host"))
    var advertise: String?

    @OptionGroup var fleet: FleetOptions

    @OptionGroup var compute: ComputeOptions

    @Option(help: ArgumentHelp("Most token rows that travel together.", valueName: "n"))
    var microBatchTokens = 512

    @Option(help: ArgumentHelp("KV cache rows (kept and new tokens) over all requests.", valueName: "n"))
    var kvTokens = 131_072

    @Option(help: ArgumentHelp("Requests served at a time; more get 429.", valueName: "n"))
    var maxRequests = 256

    @Option(help: ArgumentHelp("Prompt tokens waiting for their first token; more get 429.", valueName: "n"))
    var maxQueuedTokens = 1 << 20

    @Option(help: ArgumentHelp("The longest a request may take.", valueName: "seconds"))
    var requestTimeout = 600

    @Option(
        name: [.long, .customLong("drain")],
        help: ArgumentHelp("How long running requests may go on after SIGTERM or Ctrl-C.", valueName: "seconds"))
    var drainTime = LaunchPlan.defaultDrainSeconds

    @OptionGroup var access: GatewayOptions

    @OptionGroup var speculation: SpeculationOptions

    @Option(
        help: ArgumentHelp(
            """
            The folder with its key and the list of workers' keys (winnow keys): links are encrypted, and nobody else may \
            join. Changes of the list take effect at once.
            """, valueName: "dir"))
    var keys: String?

    @Flag(help: "Allow plain text on links to workers that other machines could read and change.")
    var allowPlaintext = false

    @Flag(help: "End when standard input ends.")
    var exitWithStdin = false

    @Option(help: ArgumentHelp("The least that is logged.", valueName: "level"))
    var logLevel: LogLevel = .info

    func validate() throws {
        guard Topology.CoordinatorPlace.isHostAndPort(http) else {
            throw ValidationError("--http must be HOST:PORT, found '\(http)'; write for example 127.0.0.1:8080")
        }
        guard (1...86_400).contains(requestTimeout) else {
            throw ValidationError("--request-timeout must be 1 to 86400 seconds, found \(requestTimeout)")
        }
        guard Topology.drainTimes.contains(drainTime) else {
            throw ValidationError(
                "--drain-time must be \(Topology.drainTimes.lowerBound) to \(Topology.drainTimes.upperBound) seconds, "
                    + "found \(drainTime)")
        }
        guard speculator != nil || !fleet.speculatorWorkers else {
            throw ValidationError("--speculator-workers needs the model they have: add --speculator PATH")
        }
        try AdvertisedHost.check(advertise)
    }

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
        try compute.prepare()
        let logger = Console.logger("coordinator", level: logLevel)
        let ready = ReadyLine()
        let coordinator: Coordinator
        do {
            let configuration = CoordinatorConfiguration(
                modelDirectory: model, speculatorDirectory: speculator, modelName: name, listen: try Endpoint(listen),
                results: try results.map { try Endpoint($0) }, advertisedHost: advertise.map(HostAddress.bracketed),
                pipelines: fleet.pipelines.map { PipelineShape($0) },
                speculatorsAreWorkers: fleet.speculatorWorkers, threads: compute.threads, cpus: compute.cpus?.cpus,
                precision: compute.dtype.precision, weightsCache: compute.weightsCacheDirectory,
                microBatchRows: microBatchTokens, kvRows: kvTokens,
                maxRequests: maxRequests, maxQueuedTokens: maxQueuedTokens, requestTimeout: .seconds(requestTimeout),
                speculation: speculation.parameters, replayWait: .seconds(fleet.replayWait),
                maxReplays: fleet.maxReplays, stallLimit: .seconds(fleet.stall), wireType: fleet.wireDtype,
                traceFile: fleet.trace, allowPlaintext: allowPlaintext,
                keys: try keys.map { path throws(KeyError) in
                    let folder = KeyFolder(path: path)
                    return CoordinatorConfiguration.Keys(
                        own: try KeyFile(path: folder.keyPath(KeyFolder.coordinator)),
                        allowed: try AllowListFile(path: folder.listPath))
                })
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

        let (host, port) = Self.split(http)
        let gateway = Gateway(
            service: coordinator, host: Self.bindable(host), port: port, version: WinnowVersion.text,
            limits: access.limits(drainTime: .seconds(drainTime)),
            cors: access.cors, logger: logger
        ) { bound in
            // Every interface has no name that a client could use.
            ready.bound("http://\(host == "*" ? "localhost" : host):\(bound)")
            ServiceNotice.ready("waiting for workers at \(coordinator.endpoint)")
        }
        // The gateway ends first, so that it can still tell its clients how their requests ended.
        let group = ServiceGroup(
            configuration: .init(
                services: [
                    .init(service: CoordinatorService(coordinator: coordinator)), .init(service: gateway),
                ], logger: Logger(label: "services") { _ in SwiftLogNoOpLogHandler() }))
        let ends = EndSignals(withStandardInput: exitWithStdin)
        let asked = Mutex<StopReason?>(nil)
        let wait = Task {
            guard let reason = await ends.next() else { return }
            asked.withLock { $0 = reason }
            ServiceNotice.stopping()
            logger.info("ending", metadata: ["drain_time": "\(drainTime) s"])
            await group.triggerGracefulShutdown()
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

    /// Host and port of a text that has passed `validate`.
    private static func split(_ address: String) -> (host: String, port: Int) {
        guard let colon = address.lastIndex(of: ":") else { return (address, 0) }
        return (String(address[..<colon]), Int(address[address.index(after: colon)...]) ?? 0)
    }

    /// A host as the system binds it: an IPv6 address without brackets; every interface, of IPv4 and IPv6, as `::`.
    private static func bindable(_ host: String) -> String {
        if host == "*" { return HostAddress.hasIPv6 ? "::" : "0.0.0.0" }
        return host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
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
