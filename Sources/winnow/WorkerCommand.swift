import ArgumentParser
import Launcher
import Logging
import Wire
import Worker

/// `winnow worker`: one pipeline stage on this host.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Hold some layers of the main model, as a stage of a pipeline.",
        discussion: """
            Says hello to the coordinator until it answers, loads the layers it is given, and computes. When the \
            coordinator goes away, the worker forgets its requests and says hello again. A worker whose weights are not \
            the coordinator's, or whose layers do not fit, is refused and ends with 69; the reason is on standard error.

            By hand, on three hosts of a trusted network (links are not encrypted in this version):
              a$ winnow coordinator --model DIR --speculator DIR --stages 2 --listen tcp://0.0.0.0:5700 \
            --advertise a --http 0.0.0.0:8080 --allow-plaintext
              b$ winnow worker --model DIR --coordinator tcp://a:5700 --listen tcp://0.0.0.0:5701 --advertise b \
            --allow-plaintext
              c$ winnow worker --model DIR --coordinator tcp://a:5700 --listen tcp://0.0.0.0:5701 --advertise c \
            --allow-plaintext
            """)

    @Option(help: ArgumentHelp("The main model: directory or GGUF file, the coordinator's weights.", valueName: "path"))
    var model: String

    @Option(help: ArgumentHelp("The coordinator's endpoint: tcp://HOST:PORT or ipc://PATH.", valueName: "endpoint"))
    var coordinator: String

    @Option(help: ArgumentHelp("Layers to hold, first-last, e.g. 0-4. Default: as assigned.", valueName: "layers"))
    var layers: LayerList?

    @Option(help: ArgumentHelp("Where the stage before this one connects; port * takes any.", valueName: "endpoint"))
    var listen = "tcp://127.0.0.1:*"

    @Option(help: ArgumentHelp("The name other hosts know this one by.", valueName: "host"))
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

    @Flag(help: "Allow links that other machines could read and change.")
    var allowPlaintext = false

    @Flag(help: "End when standard input ends.")
    var exitWithStdin = false

    @Option(help: ArgumentHelp("The least that is logged.", valueName: "level"))
    var logLevel: LogLevel = .info

    func validate() throws {
        if let kvTokens, kvTokens < 1 { throw ValidationError("--kv-tokens must be at least 1, found \(kvTokens)") }
        try AdvertisedHost.check(advertise)
    }

    func run() async throws {
        try compute.prepare()
        let worker: Worker
        do {
            let configuration = WorkerConfiguration(
                modelDirectory: model, coordinator: try Endpoint(coordinator), listen: try Endpoint(listen),
                advertisedHost: advertise, layers: layers?.layers, threads: compute.threads, cpus: compute.cpus?.cpus,
                precision: compute.dtype.precision, kvRows: kvTokens, name: name, allowPlaintext: allowPlaintext)
            worker = try Worker(
                configuration: configuration, context: try ZeroMQContext(),
                logger: Console.logger("worker", level: logLevel))
        } catch let error as WorkerError {
            throw Console.failure(error.exit, "\(error)")
        } catch let error as Endpoint.ParseError {
            throw Console.failure(.usage, "\(error)")
        } catch {
            throw Console.failure(.unavailable, "\(error)")
        }
        let ends = EndSignals(withStandardInput: exitWithStdin)
        let wait = Task { [worker] in
            let reason = await ends.next()
            worker.stop()
            return reason
        }
        do {
            try await worker.run()
        } catch {
            wait.cancel()
            throw Console.failure(error.exit, "\(error)")
        }
        if await wait.value == .interrupt { throw ExitCode(Console.Failure.interrupted.rawValue) }
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
