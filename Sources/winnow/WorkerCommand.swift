// `winnow worker`: settings to a worker, until a signal ends it.

import ArgumentParser
import Compute
import Foundation
import Launcher
import Layers
import Logging
import Settings
import Synchronization
import WinnowWorker

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

            By hand, on three hosts (`winnow keys new b c` makes the keys; without them links are plain text, for networks you \
            trust, and --insecure says so):
              a$ winnow coordinator --model DIR --speculator DIR --stages 2 --listen "tcp://*:5700" \
            --advertise a --keys keys
              b$ winnow worker --model DIR --coordinator tcp://a:5700 --key b.key --name b
              c$ winnow worker --model DIR --coordinator tcp://a:5700 --key c.key --name c
            """)

    private struct Flags: SettingOwner {
        static let process = Setting.Process.worker
    }

    @OptionGroup private var flags: SettingFlags<Flags>

    func run() async throws {
        let values = try flags.values()
        let compute = ComputeSettings(values)
        try compute.prepare()
        let worker: Worker
        do {
            worker = try Worker(
                configuration: WorkerConfiguration(values, compute),
                logger: Console.logger("worker", level: values.text("log_level")))
        } catch {
            throw Console.failure(error.exit, "\(error)")
        }
        let ends = EndSignals(withStandardInput: values.boolean("exit_with_stdin"))
        let asked = Mutex<StopReason?>(nil)
        let wait = Task { [worker] in
            guard let reason = await ends.next() else { return }
            asked.withLock { $0 = reason }
            ServiceNotice.stopping()
            worker.drain()
            guard await ends.next() != nil else { return }
            Console.flush()
            Foundation.exit(Self.code(reason).rawValue)
        }
        defer { wait.cancel() }
        ServiceNotice.ready("listening at \(worker.endpoint)")
        do {
            try await worker.run()
        } catch let error as WorkerError {
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
        case .model, .key: .badData
        case .transport, .refused, .memory, .ranBefore: .unavailable
        }
    }
}

extension WorkerConfiguration {
    /// What `values` say.
    fileprivate init(_ values: SettingValues, _ compute: ComputeSettings) {
        self.init(model: values.text("model") ?? "", coordinator: values.text("coordinator") ?? "")
        listen = values.text("listen")
        advertisedHost = values.text("advertise")
        role = values.text("role").flatMap { Role(rawValue: $0) } ?? .stage
        layerSpan = values.layers?.description
        measuresSpeed = values.text("layers") == "auto"
        pipeline = values.text("pipeline")
        threads = compute.threads
        cpus = compute.cpus
        precision = Precision(rawValue: compute.precision.rawValue) ?? .automatic
        kvTokens = values.integer("kv_tokens")
        weightsCache = values.weightsCache
        name = values.text("name") ?? "worker"
        keyFile = values.text("key")
        isInsecure = values.boolean("insecure")
    }
}
