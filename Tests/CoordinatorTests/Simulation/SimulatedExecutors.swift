// The computing halves of simulated workers: hashes instead of matrices, a clock of the simulation's own.

import Coordinator
import Layers
import WinnowWorker
import Wire

/// Runs work at a later moment of the simulated time.
typealias Later = (Duration, @escaping () -> Void) -> Void

/// A stage of the model of hashes.
final class SimulatedStage: Executor, @unchecked Sendable {
    private struct Held {
        /// After each row, that before the first among them.
        var caches: [[UInt64]]
        let seed: UInt64
        let kvRows: Int
    }
    private let later: Later
    /// Of a row.
    private let rowTime: Duration
    private let now: () -> ContinuousClock.Instant
    /// When all that was given so far is done.
    private var freeAt: ContinuousClock.Instant
    private var pending = 0
    private var loaded: LayerSpan?
    private var assignment: Assignment?
    private var held: [UInt64: Held] = [:]
    private var progress: UInt64 = 0
    /// Said by whoever finds what must not be.
    let complain: (String) -> Void

    init(
        rowTime: Duration, now: @escaping () -> ContinuousClock.Instant, later: @escaping Later,
        complain: @escaping (String) -> Void
    ) {
        self.rowTime = rowTime
        self.now = now
        freeAt = now()
        self.later = later
        self.complain = complain
    }

    var heldRequests: Int { held.count }

    func stop() {}

    var load: WorkerState.Load {
        var load = WorkerState.Load()
        load.progress = progress
        load.isBusy = pending > 0
        load.kvRowsUsed = held.values.reduce(0) { $0 + $1.kvRows }
        load.requests = held.count
        load.loaded = loaded
        return load
    }

    /// After all that was given before.
    private func enqueue(_ time: Duration, _ work: @escaping () -> Void) {
        pending += 1
        freeAt = max(freeAt, now()) + time
        later(now().duration(to: freeAt)) { [self] in
            pending -= 1
            progress += 1
            work()
        }
    }

    func begin(_ assignment: Assignment, completion: @escaping @Sendable (Result<Void, WorkerError>) -> Void) {
        let isHeld = loaded == assignment.layers
        enqueue(isHeld ? .milliseconds(1) : .milliseconds(150)) { [self] in
            held.removeAll()
            self.assignment = assignment
            loaded = assignment.layers
            completion(.success(()))
        }
    }

    func preload(_ layers: LayerSpan, completion: @escaping @Sendable () -> Void) {
        enqueue(loaded == layers ? .milliseconds(1) : .milliseconds(150)) { [self] in
            loaded = layers
            completion()
        }
    }

    func forget() { enqueue(.milliseconds(1)) { [self] in held.removeAll() } }

    func release(_ requests: [UInt64], completion: @escaping @Sendable () -> Void) {
        enqueue(.zero) { [self] in
            for request in requests { held[request] = nil }
            completion()
        }
    }

    func compute(
        _ message: Message, tensors: [Frame],
        completion: @escaping @Sendable (Result<(Message, [Frame]), MessageError>) -> Void
    ) {
        guard case .microBatch(let microBatch) = message, let assignment else {
            completion(.failure(MessageError("micro_batch", "no stage")))
            return
        }
        enqueue(rowTime * microBatch.rows) { [self] in
            completion(.success(compute(microBatch, tensors, assignment)))
        }
    }

    private func compute(_ work: WireMicroBatch, _ tensors: [Frame], _ assignment: Assignment) -> (Message, [Frame]) {
        var rows: [UInt64] =
            tensors.first.map { frame in
                frame.withBytes { bytes in
                    (0..<bytes.count / 8).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
                }
            } ?? work.segments.flatMap { zip($0.tokens, $0.positions).map(Arithmetic.embed) }
        if rows.count != work.rows { complain("\(rows.count) hidden rows for \(work.rows)") }
        var first = 0
        var outcome = WireOutcome(microBatch: work.id)
        for segment in work.segments {
            if let opening = segment.opening {
                if held[segment.request] != nil { complain("request \(segment.request) opened twice") }
                held[segment.request] = Held(
                    caches: [Array(repeating: 0, count: assignment.layers.sublayers.count)],
                    seed: opening.sampling.seed, kvRows: opening.kvRows)
            }
            guard var entry = held[segment.request] else {
                complain("request \(segment.request) is not open")
                continue
            }
            let count = segment.positions.count
            if !(0..<entry.caches.count).contains(segment.cached) {
                complain("request \(segment.request) has \(entry.caches.count - 1) rows, not \(segment.cached)")
            }
            entry.caches.removeLast(max(0, entry.caches.count - 1 - segment.cached))
            var cache = entry.caches[entry.caches.count - 1]
            for index in first..<first + count {
                for (place, number) in assignment.layers.sublayers.enumerated()
                where assignment.layers.rows(of: number, count: count).contains(index - first) {
                    rows[index] = Arithmetic.sublayer(number, rows[index], cache: &cache[place])
                }
                entry.caches.append(cache)
            }
            if entry.caches.count - 1 > entry.kvRows { complain("request \(segment.request) overflows its KV rows") }
            held[segment.request] = entry
            first += segment.positions.count
            guard segment.sample else { continue }
            for (draft, row) in (first - 1 - segment.drafts.count..<first).enumerated() {
                let step = segment.step + draft
                let token = Arithmetic.token(rows[row], seed: entry.seed, step: step)
                outcome.samples.append(
                    WireSample(request: segment.request, step: step, token: token, logProbability: -1))
                guard draft < segment.drafts.count, segment.drafts[draft] == token else { break }
            }
        }
        guard assignment.stage == assignment.stageCount - 1 else {
            var next = work
            for index in next.segments.indices { next.segments[index].tokens = [] }
            next.stageMicroseconds.append(1000)
            let frame = rows.withUnsafeBytes { bytes in try? Frame(size: bytes.count) { $0.copyMemory(from: bytes) } }
            return (.microBatch(next), frame.map { [$0] } ?? [])
        }
        outcome.stageMicroseconds = work.stageMicroseconds + [1000]
        return (.outcome(outcome), [])
    }
}

/// A speculator of hashes.
final class SimulatedSpeculator: Executor, @unchecked Sendable {
    private let later: Later
    private var givenUp: Set<UInt64> = []
    private var life = 0
    private var pending = 0
    private var isLoaded = false

    init(later: @escaping Later) { self.later = later }

    func stop() {}

    var load: WorkerState.Load {
        var load = WorkerState.Load()
        load.isBusy = pending > 0
        load.loaded = isLoaded ? LayerSpan(0..<1) : nil
        return load
    }

    func begin(_ assignment: Assignment, completion: @escaping @Sendable (Result<Void, WorkerError>) -> Void) {
        life += 1
        later(.milliseconds(30)) { [self] in
            isLoaded = true
            completion(.success(()))
        }
    }

    func preload(_ layers: LayerSpan, completion: @escaping @Sendable () -> Void) { completion() }
    func forget() { life += 1 }

    func release(_ requests: [UInt64], completion: @escaping @Sendable () -> Void) {
        givenUp.formUnion(requests)
        completion()
    }

    func compute(
        _ message: Message, tensors: [Frame],
        completion: @escaping @Sendable (Result<(Message, [Frame]), MessageError>) -> Void
    ) {
        guard case .score(let score) = message else { return }
        let born = life
        pending += 1
        later(.milliseconds(20)) { [self] in
            pending -= 1
            guard life == born else { return }
            var scored = WireScored(request: score.request, microseconds: 20_000)
            var frames: [Frame] = []
            if givenUp.remove(score.request) != nil {
                scored.error = "cancelled"
            } else {
                let values = Arithmetic.importance(score.prompt)
                frames = values.withUnsafeBytes { bytes in
                    (try? Frame(size: bytes.count) { $0.copyMemory(from: bytes) }).map { [$0] } ?? []
                }
            }
            completion(.success((.scored(scored), frames)))
        }
    }
}

/// Guesses what the model of hashes says next, often wrongly, late or never.
final class SimulatedDrafter: DraftSource, @unchecked Sendable {
    private let later: Later
    private let answer: (UInt64) -> [Int32]
    private var random: Seeded
    /// Tokens that it has been told, by request.
    private var told: [UInt64: Int] = [:]

    /// - Parameter answer: the undisturbed answer to a request.
    init(seed: UInt64, later: @escaping Later, answer: @escaping (UInt64) -> [Int32]) {
        random = Seeded(state: seed)
        self.later = later
        self.answer = answer
    }

    func take(_ order: DraftOrder, completion: @escaping @Sendable (DraftResult) -> Void) {
        let result: DraftResult
        switch order {
        case .begin(let id, _, _, _, let given, _, _):
            told[id] = given.count
            result = .guessed([])
        case .guess(let id, let given, let count):
            switch Int.random(in: 0..<20, using: &random) {
            case 0: result = .busy
            case 1: result = .failed("no memory")
            case 2: return
            default:
                let known = (told[id] ?? 0) + given.count
                told[id] = known
                let next = answer(id).dropFirst(known)
                let guesses = (0..<count).map { index in
                    Int.random(in: 0..<4, using: &random) > 0 && index < next.count
                        ? next[next.startIndex + index]
                        : Int32.random(in: 0..<Int32(Arithmetic.vocabulary + 3), using: &random)
                }
                result = .guessed(guesses)
            }
        case .forget(let id):
            told[id] = nil
            return
        }
        later(.milliseconds(Int.random(in: 1...40, using: &random))) { completion(result) }
    }
}
