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
    struct Scored: Sendable {
        var selection: Selection
        var time: Duration
    }

    /// The longest prompt it can read.
    let contextLength: Int
    private let speculator: Speculator
    private let queue = DispatchQueue(label: "speculator", qos: .userInitiated)

    init(speculator: Speculator, contextLength: Int) {
        self.speculator = speculator
        self.contextLength = contextLength
    }

    func score(
        _ request: GenerationRequest, cancellation: Cancellation,
        completion: @escaping @Sendable (Result<Scored, SpeculationError>) -> Void
    ) {
        queue.async { [self] in
            let clock = ContinuousClock()
            let start = clock.now
            do throws(SpeculationError) {
                let importance = try speculator.importance(
                    of: request.prompt, parameters: request.speculation,
                    isCancelled: { cancellation.isCancelled })
                let selection = Selector.select(
                    importance: importance, parameters: request.speculation, protected: request.protected)
                completion(.success(Scored(selection: selection, time: start.duration(to: clock.now))))
            } catch {
                completion(.failure(error))
            }
        }
    }
}
