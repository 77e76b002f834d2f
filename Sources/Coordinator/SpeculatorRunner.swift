import Compute
import Dispatch
import Speculation
import Synchronization

/// The speculator on a queue of its own, one prompt after the other, beside the stages' work on earlier requests. Between
/// prompts it guesses the next tokens of answers.
///
/// `@unchecked Sendable`: `speculator`, `drafter` and `drafts` are used on `queue` alone.
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
    /// Prompts that wait to be scored, or are.
    private let scoring = Atomic<Int>(0)
    private let drafter: Drafter
    /// Of the requests that are followed; used on `queue` alone.
    private var drafts: [UInt64: Draft] = [:]

    /// - Parameters:
    ///   - pool: the threads of the speculator's stage.
    ///   - yields: whether it keeps to one of them while pipelines compute.
    init(speculator: Speculator, drafter: Drafter, contextLength: Int, pool: ThreadPool, yields: Bool) {
        self.speculator = speculator
        self.drafter = drafter
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
        scoring.add(1, ordering: .relaxed)
        queue.async { [self] in
            defer { scoring.subtract(1, ordering: .relaxed) }
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

extension SpeculatorRunner: DraftSource {
    func take(_ order: DraftOrder, completion: @escaping @Sendable (DraftResult) -> Void) {
        switch order {
        case .begin(let id, let tokens, let positions, let promptCount, let answer, let room, let sampling):
            queue.async { [self] in
                do {
                    drafts[id] = try drafter.begin(
                        prompt: tokens, positions: positions, promptCount: promptCount, room: room, sampling: sampling)
                } catch {
                    return completion(.failed("\(error)"))
                }
                read(id, answer, completion)
            }
        case .guess(let id, let answer, let count):
            guard !isScoring else { return completion(.busy) }
            queue.async { [self] in completion(extend(id, by: answer, guessing: count) ?? .busy) }
        case .forget(let id): queue.async { [self] in drafts[id] = nil }
        }
    }

    private var isScoring: Bool { scoring.load(ordering: .relaxed) > 0 }

    /// Reads a prompt in the pauses between scoring others.
    private func read(_ id: UInt64, _ answer: [Int32], _ completion: @escaping @Sendable (DraftResult) -> Void) {
        if let result = extend(id, by: answer, guessing: 0) { return completion(result) }
        queue.async { [self] in read(id, answer, completion) }
    }

    /// Nil: a prompt is to be scored first.
    private func extend(_ id: UInt64, by answer: [Int32], guessing count: Int) -> DraftResult? {
        guard let draft = drafts[id] else { return .failed("it is not followed") }
        do {
            return try drafter.extend(draft, by: answer, guessing: count, isCancelled: { isScoring })
                .map { .guessed($0) }
        } catch {
            return .failed("\(error)")
        }
    }
}
