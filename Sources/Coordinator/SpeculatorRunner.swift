import Compute
import Dispatch
import Speculation
import Synchronization

/// The speculator on a queue of its own, one prompt after the other, beside the stages' work on earlier requests.
///
/// `@unchecked Sendable`: `speculator` is used on `queue` alone.
final class SpeculatorRunner: @unchecked Sendable {
    /// Set from any thread; the runner looks at it between blocks of rows.
    final class Cancellation: Sendable {
        private let flag = Atomic<Bool>(false)
        func cancel() { flag.store(true, ordering: .relaxed) }
        var isCancelled: Bool { flag.load(ordering: .relaxed) }
    }
    /// What a prompt came to, and the speculator's time for it.
    struct Outcome: Sendable {
        var selection: Result<Selection, SpeculationError>
        var time: Duration
    }

    /// The longest prompt it can read.
    let contextLength: Int
    private let speculator: Speculator
    private let pool: ThreadPool
    private let yields: Bool
    private let queue = DispatchQueue(label: "speculator", qos: .userInitiated)

    /// - Parameters:
    ///   - pool: the threads of the speculator's stage.
    ///   - yields: whether it keeps to one of them while pipelines compute.
    init(speculator: Speculator, contextLength: Int, pool: ThreadPool, yields: Bool) {
        self.speculator = speculator
        self.contextLength = contextLength
        self.pool = pool
        self.yields = yields
    }

    /// Whether some pipeline computes now, maybe on this host's CPUs.
    func pipelines(compute: Bool) {
        guard yields, pool.isCallerAlone != compute else { return }
        pool.isCallerAlone = compute
    }

    /// Scores a prompt when its turn comes. Both calls back are made on the speculator's queue: `onStart` when it begins
    /// with this prompt, then `completion`.
    func score(
        _ request: GenerationRequest, cancellation: Cancellation, onStart: @escaping @Sendable () -> Void,
        completion: @escaping @Sendable (Outcome) -> Void
    ) {
        queue.async { [self] in
            onStart()
            let clock = ContinuousClock()
            let start = clock.now
            let selection = Result { () throws(SpeculationError) in
                let importance = try speculator.importance(
                    of: request.prompt, parameters: request.speculation,
                    isCancelled: { cancellation.isCancelled })
                return Selector.select(
                    importance: importance, parameters: request.speculation, protected: request.protected)
            }
            completion(Outcome(selection: selection, time: start.duration(to: clock.now)))
        }
    }
}
