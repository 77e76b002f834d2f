import ArgumentParser
import Foundation
import Launcher
import Logging
import OutsideText
import Synchronization
import Wire
import Worker

/// `winnow worker`: a pipeline's stage, or a speculator, on this host.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Hold some layers of the main model, as a stage of a pipeline, or score prompts.",
        discussion: """
            Says hello to the coordinator until it answers, loads the layers it is given, and computes. When the \
            coordinator goes away, the worker forgets its requests and says hello again. A worker whose weights are not \
            the coordinator's, or whose layers do not fit, is refused and ends with 69; the reason is on standard error.

            SIGTERM or Ctrl-C: the worker asks to be relieved, its requests go on elsewhere, and it ends. A second signal does \
            not wait.

            --model may be a part of the model that `winnow model split` wrote: the worker serves the layers of its part then, and \
            opens nothing else. Weights that are quantised to int8 are kept for the next start, see --weights-cache.

            With --role speculator it holds the whole speculator instead and scores prompts, any number of such workers side by \
            side; the coordinator must have been started with --speculator-workers.

            By hand, on three hosts of a trusted network (links are not encrypted in this version):
              a$ winnow coordinator --model DIR --speculator DIR --stages 2 --listen "tcp://*:5700" \
            --advertise a --http 0.0.0.0:8080 --allow-plaintext
              b$ winnow worker --model DIR --coordinator tcp://a:5700 --allow-plaintext
              c$ winnow worker --model DIR --coordinator tcp://a:5700 --allow-plaintext
            """)

    @Option(
        help: ArgumentHelp(
            "The main model, with --role speculator the speculator: directory or GGUF file, the coordinator's weights.",
            valueName: "path"))
    var model: String

    @Option(help: ArgumentHelp("The coordinator's endpoint: tcp://HOST:PORT or ipc://PATH.", valueName: "endpoint"))
    var coordinator: String

    @Option(help: ArgumentHelp("What to do: stage or speculator.", valueName: "role"))
    var role = WorkerRole.stage

    @Option(help: ArgumentHelp("The pipeline to be a stage of. Default: any that needs one.", valueName: "name"))
    var pipeline: String?

    @Option(
        help: ArgumentHelp(
            """
            Layers to hold, first-last, e.g. 0-4; or auto: measure how fast this host multiplies, and hold a part \
            accordingly. Default: an equal part.
            """, valueName: "layers"))
    var layers: LayerList?

    @Option(
        help: ArgumentHelp(
            "Where the stage before this one connects; port * takes any. Default: any port of 127.0.0.1; with a coordinator "
                + "on another host port 5710 of the address that the route to it begins at.", valueName: "endpoint"))
    var listen: String?

    @Option(
        help: ArgumentHelp(
            "The name other hosts know this one by. Default: as bound; for every interface the address that the route to "
                + "the coordinator begins at.", valueName: "host"))
    var advertise: String?

    @OptionGroup var compute: ComputeOptions

    @Option(
        help: ArgumentHelp(
            "KV cache rows (tokens) to hold at most. Default: what half the free memory holds.", valueName: "n"))
    var kvTokens: Int?

    @Option(
        help: ArgumentHelp(
            "This worker's name in logs. Workers without --layers hold the stages in the order of their names.",
            valueName: "name"))
    var name = "worker"

    @Option(
        help: ArgumentHelp(
            "Its key file (winnow keys new): links are encrypted, and only its coordinator and neighbours may speak.",
            valueName: "file"))
    var key: String?

    @Flag(help: "Allow plain text on links that other machines could read and change.")
    var allowPlaintext = false

    @Flag(help: "End when standard input ends.")
    var exitWithStdin = false

    @Option(help: ArgumentHelp("The least that is logged.", valueName: "level"))
    var logLevel: LogLevel = .info

    func validate() throws {
        if role == .speculator {
            for (name, isGiven) in [
                ("--layers", layers != nil), ("--kv-tokens", kvTokens != nil), ("--pipeline", pipeline != nil),
            ] where isGiven {
                throw ValidationError("\(name) belongs to a stage; a speculator holds its whole model: leave it out")
            }
        }
        if let pipeline, !Topology.isPipelineName(pipeline) {
            throw ValidationError(
                "--pipeline must be 1 to 64 letters, digits, '-', '_' and '.', found '\(pipeline.shown)'")
        }
        if let kvTokens, kvTokens < 1 { throw ValidationError("--kv-tokens must be at least 1, found \(kvTokens)") }
        try AdvertisedHost.check(advertise)
    }

    func run() async throws {
        try compute.prepare()
        let worker: Worker
        do {
            let coordinator = try Endpoint(self.coordinator)
            // A link to a far coordinator that is not allowed is refused further on, whether a route leads there or not.
            let unasked = { allowPlaintext ? nil : Endpoint(.tcp(host: "127.0.0.1", port: 0)) }
            guard
                let listen = try listen.map({ try Endpoint($0) }) ?? Endpoint.ofWorker(towards: coordinator)
                    ?? unasked()
            else {
                throw Console.failure(
                    .unavailable, "no route leads to \(coordinator): check the name, or say where to --listen")
            }
            let configuration = WorkerConfiguration(
                modelDirectory: model, coordinator: coordinator, listen: listen,
                advertisedHost: advertise.map(HostAddress.bracketed), role: role, layers: layers?.layers,
                measuresSpeed: layers != nil && layers?.layers == nil,
                pipeline: pipeline,
                threads: compute.threads, cpus: compute.cpus?.cpus,
                precision: compute.dtype.precision, kvRows: kvTokens,
                weightsCache: compute.weightsCacheDirectory, name: name,
                key: try key.map { path throws(KeyError) in try KeyFile(path: path) }, allowPlaintext: allowPlaintext)
            worker = try Worker(
                configuration: configuration, context: try ZeroMQContext(),
                logger: Console.logger("worker", level: logLevel))
        } catch let error as WorkerError {
            throw Console.failure(error.exit, "\(error)")
        } catch let error as KeyError {
            throw Console.failure(.badData, "\(error)")
        } catch let error as Endpoint.ParseError {
            throw Console.failure(.usage, "\(error)")
        } catch let code as ExitCode {
            throw code
        } catch {
            throw Console.failure(.unavailable, "\(error)")
        }
        let ends = EndSignals(withStandardInput: exitWithStdin)
        let asked = Mutex<StopReason?>(nil)
        let wait = Task { [worker] in
            guard let reason = await ends.next() else { return }
            asked.withLock { $0 = reason }
            ServiceNotice.stopping()
            worker.stop()
            guard await ends.next() != nil else { return }
            Console.flush()
            Foundation.exit(Self.code(reason).rawValue)
        }
        defer { wait.cancel() }
        ServiceNotice.ready("listening at \(worker.dataEndpoint)")
        do {
            try await worker.run()
        } catch {
            throw Console.failure(error.exit, "\(error)")
        }
        let code = Self.code(asked.withLock { $0 })
        if code != .success { throw code }
    }

    private static func code(_ reason: StopReason?) -> ExitCode {
        reason == .interrupt ? ExitCode(Console.Failure.interrupted.rawValue) : .success
    }
}

extension WorkerError {
    /// What a script is told.
    fileprivate var exit: Console.Failure {
        switch self {
        case .badConfiguration: .usage
        case .model: .badData
        case .transport, .refused: .unavailable
        }
    }
}
