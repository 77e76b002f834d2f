import Checkpoint
import Compute
import Layers
import Logging
import Synchronization
import Transformer
import Wire

/// Brings weights into memory for the computing half of a worker: how far it is, and what it came to, in the log too.
final class StageLoading: Sendable {
    let checkpoint: Checkpoint
    private let precision: Precision
    let pool: ThreadPool
    private let cache: WeightsCache?
    private let logger: Logger
    private let share = Mutex<Float>(0)
    private let isGivenUp = Atomic<Bool>(false)

    /// How often the log hears of a load that goes on.
    private static let interval = Duration.seconds(5)

    /// - Parameter cache: where packed weights are kept for the next start.
    init(checkpoint: Checkpoint, precision: Precision, pool: ThreadPool, cache: WeightsCache?, logger: Logger) {
        self.checkpoint = checkpoint
        self.precision = precision
        self.pool = pool
        self.cache = cache
        self.logger = logger
    }

    /// Of the weights being loaded, 0 to 1; after a load what it came to, until ``rest()``.
    var loaded: Float { share.withLock { $0 } }

    /// Nothing is being loaded: what is next begins at 0.
    func rest() { share.withLock { $0 = 0 } }

    /// What is being loaded is not wanted any more.
    func giveUp() { isGivenUp.store(true, ordering: .relaxed) }

    /// Loads a stage on all threads of the pool.
    func load(_ layers: LayerSpan) throws(WorkerError) -> Stage {
        do throws(CheckpointError) {
            return try loadStage(layers)
        } catch {
            if let memory = error.memory { throw WorkerError(memory) }
            throw .model("\(error)")
        }
    }

    private func loadStage(_ layers: LayerSpan) throws(CheckpointError) -> Stage {
        let clock = ContinuousClock()
        let start = clock.now
        let before = cache?.use
        var said = start
        share.withLock { $0 = 0 }
        let stage = try Stage(
            checkpoint: checkpoint, layers: layers, precision: precision, cache: cache, pool: pool
        ) { loaded throws(CheckpointError) in
            guard !isGivenUp.load(ordering: .relaxed) else {
                throw CheckpointError(path: checkpoint.path, place: "", problem: "loading was given up")
            }
            share.withLock { $0 = Float(loaded) }
            guard loaded < 1, said.duration(to: clock.now) >= Self.interval else { return }
            said = clock.now
            logger.info(
                "loading weights",
                metadata: ["layers": "\(layers)", "loaded": "\(Int(loaded * 100)) %"])
        }
        var facts: Logger.Metadata = [
            "layers": "\(layers)",
            "seconds": "\((start.duration(to: clock.now) / .milliseconds(100)).rounded() / 10)",
        ]
        if let cache, let before {
            let use = cache.use
            if use.read > before.read {
                facts["from_cache"] = "\(counted(use.read - before.read, "matrix", "matrices"))"
            }
            if use.packed > before.packed {
                facts["packed"] = "\(counted(use.packed - before.packed, "matrix", "matrices"))"
                facts["cache"] = "\(cache.directory)"
            }
            if before.problem == nil, let problem = use.problem {
                logger.notice("weights cache", metadata: ["problem": "\(problem)"])
            }
        }
        logger.info("weights loaded", metadata: facts)
        return stage
    }
}
