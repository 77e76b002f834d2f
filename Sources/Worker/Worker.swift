import Checkpoint
import Compute
import Foundation
public import Logging
import Synchronization
import Transformer
public import Wire

/// A pipeline stage behind sockets: registers with a coordinator, holds the layers it is given, computes micro-batches
/// and passes them on. Sets no signal handler and writes to no terminal, so it can live inside a host program.
public final class Worker: Sendable {
    /// Where the stage before this one connects.
    public let dataEndpoint: Endpoint

    private let loop: SocketLoop
    private let edges: WorkerEdges
    private let outcome: Outcomes
    private let logger: Logger
    private let precision: Precision

    /// Carries the one ending from the loop's thread to whoever waits in `run`.
    private final class Outcomes: Sendable {
        private struct State {
            var result: Result<Void, WorkerError>?
            var waiter: CheckedContinuation<Result<Void, WorkerError>, Never>?
        }
        private let state = Mutex(State())

        func set(_ result: Result<Void, WorkerError>) {
            let waiter = state.withLock { state in
                if state.result == nil { state.result = result }
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume(returning: result)
        }

        func get() async -> Result<Void, WorkerError> {
            await withCheckedContinuation { continuation in
                let result = state.withLock { state in
                    if state.result == nil { state.waiter = continuation }
                    return state.result
                }
                if let result { continuation.resume(returning: result) }
            }
        }
    }

    /// Opens the model's files and the data socket; layers are loaded once the coordinator has assigned them.
    ///
    /// - Throws: `WorkerError` for a setting out of range, a model that can't be read, an address that can't be bound.
    public init(configuration: WorkerConfiguration, context: ZeroMQContext, logger: Logger) throws(WorkerError) {
        let checkpoint: Checkpoint
        var hello = Hello()
        do {
            checkpoint = try Checkpoint(path: configuration.modelDirectory)
            hello.fingerprint = Data(try checkpoint.fingerprint().bytes)
        } catch {
            throw .model("\(error)")
        }
        let layerCount = checkpoint.configuration.layerCount
        hello.model = (configuration.modelDirectory as NSString).lastPathComponent
        hello.layerCount = UInt32(layerCount)
        hello.name = configuration.name
        hello.threads = UInt32(clamping: configuration.threads)
        try Self.check(configuration, layerCount: layerCount)
        do {
            for note in try Stage.notes(
                on: checkpoint, layers: configuration.layers, precision: configuration.precision)
            {
                logger.notice("\(note)")
            }
        } catch {
            throw .model("\(error)")
        }
        hello.kvRows = UInt64(
            configuration.kvRows
                ?? Self.kvRows(
                    checkpoint.configuration, layers: configuration.layers, precision: configuration.precision))
        if let layers = configuration.layers {
            hello.layerFirst = UInt32(layers.lowerBound)
            hello.layerEnd = UInt32(layers.upperBound)
        }
        let data: Socket
        do {
            data = try Socket(
                .router, context: context, limits: Socket.Limits(maxFrameBytes: Protocol.maxDataBytes))
            let bound = try Endpoint(try data.bind(configuration.listen.description))
            dataEndpoint = configuration.advertisedHost.map(bound.advertised(as:)) ?? bound
            loop = try SocketLoop(name: "winnow-worker")
        } catch {
            throw .transport("\(error)")
        }
        guard dataEndpoint.isConnectable else {
            throw .badConfiguration(
                "nobody can connect to \(dataEndpoint): give the name other hosts know this one by (--advertise HOST)")
        }
        hello.dataEndpoint = dataEndpoint.description
        let pool = ThreadPool(threads: configuration.threads, cpus: configuration.cpus, name: configuration.name)
        let outcome = Outcomes()
        self.outcome = outcome
        self.logger = logger
        precision = configuration.precision
        edges = WorkerEdges(
            loop: loop, configuration: configuration, context: context,
            runner: StageRunner(
                checkpoint: checkpoint, precision: configuration.precision, pool: pool, name: configuration.name),
            hello: hello,
            data: data, logger: logger
        ) { outcome.set($0) }
    }

    /// KV rows that fit half of the memory this host has to give, weights not yet loaded: for the layers asked for, or,
    /// before any are assigned, for all of the model's.
    private static func kvRows(_ model: ModelConfiguration, layers: Range<Int>?, precision: Precision) -> Int {
        guard let available = HostMemory.available else { return 0 }
        let row = Stage.cacheBytes(
            configuration: model, layers: layers ?? 0..<model.layerCount, precision: precision, capacity: 1)
        return max(1, available / 2 / max(1, row))
    }

    private static func check(_ configuration: WorkerConfiguration, layerCount: Int) throws(WorkerError) {
        guard (1...1024).contains(configuration.threads) else {
            throw .badConfiguration("threads must be 1 to 1024, found \(configuration.threads)")
        }
        if let layers = configuration.layers {
            guard !layers.isEmpty, layers.lowerBound >= 0, layers.upperBound <= layerCount else {
                throw .badConfiguration(
                    "layers \(layers.layersText) lie outside the model, which has layers \((0..<layerCount).layersText)"
                )
            }
        }
        for (what, endpoint) in [("listen", configuration.listen), ("coordinator", configuration.coordinator)]
        where !endpoint.isLocal && !configuration.allowPlaintext {
            throw .badConfiguration(
                "\(what) \(endpoint) is reachable from other hosts and links are not encrypted yet: use loopback, or "
                    + "accept it on a trusted network with --allow-plaintext")
        }
    }

    /// Serves until `stop()` is called.
    ///
    /// - Throws: `WorkerError.refused` when the coordinator will not have this worker, and the other cases when it
    ///   can't go on. A coordinator that is away is no error: the worker says hello until it is back.
    public func run() async throws(WorkerError) {
        logger.info(
            "matrix products", metadata: ["kernel": "\(precision.kernel)", "cpu_level": "\(CPULevel.inUse.rawValue)"])
        if let problem = precision.kernelProblem {
            logger.warning("slow matrix products", metadata: ["problem": "\(problem)"])
        }
        loop.start()
        await edges.start()
        let result = await outcome.get()
        await withCheckedContinuation { done in
            // Joining a thread blocks, which the cooperative pool must not.
            DispatchQueue.global().async { [loop] in
                loop.stopAndWait()
                done.resume()
            }
        }
        try result.get()
    }

    /// Ends `run` in good order; may be called from any thread, more than once.
    public func stop() {
        loop.submit { [edges] in edges.assumeIsolated { $0.stop() } }
    }
}
