import Checkpoint
import Compute
import Dispatch
import Synchronization
import Transformer
import Wire

/// The computing half of a worker: a stage, and the KV caches of the requests it holds. Knows no socket.
///
/// Work is done one item after the other on the runner's own queue, in the order it was given.
///
/// `@unchecked Sendable`: `stage`, `limits`, `held` and `epoch` are touched on `queue` alone; the counters are atomics.
final class StageRunner: @unchecked Sendable {
    /// What a micro-batch came to.
    enum Output: Sendable {
        /// For the next stage.
        case hidden(MicroBatchMessage, Frame)
        /// From the last stage.
        case samples(Outcome)
    }
    private struct Held {
        let cache: KVCache
        let sampling: SamplingParameters
        let topTargets: Int
        let kvRows: Int
    }

    private let checkpoint: Checkpoint
    private let precision: Precision
    private let pool: ThreadPool
    private let queue: DispatchQueue
    private var stage: Stage?
    private var limits: StageLimits?
    private var held: [UInt64: Held] = [:]
    private var reservedRows = 0

    /// Layers computed so far; a busy runner whose progress stands still hangs.
    let progress = Atomic<UInt64>(0)
    let pending = Atomic<Int>(0)
    let rowsInUse = Atomic<Int>(0)
    let requestsHeld = Atomic<Int>(0)

    init(checkpoint: Checkpoint, precision: Precision, pool: ThreadPool, name: String) {
        self.checkpoint = checkpoint
        self.precision = precision
        self.pool = pool
        queue = DispatchQueue(label: "\(name)-compute", qos: .userInitiated)
    }

    private func enqueue(_ work: @escaping @Sendable () -> Void) {
        pending.add(1, ordering: .relaxed)
        queue.async { [self] in
            work()
            pending.subtract(1, ordering: .relaxed)
        }
    }

    /// Forgets every request, and loads `layers` unless they are loaded already.
    func assign(
        layers: Range<Int>, maxRows: Int, kvRows: Int,
        completion: @escaping @Sendable (Result<Void, WorkerError>) -> Void
    ) {
        enqueue { [self] in
            forgetAll()
            do {
                let stage = try loaded(layers)
                limits = StageLimits(
                    maxRows: maxRows, kvRows: kvRows, isFirst: stage.isFirst, isLast: stage.isLast,
                    hiddenSize: stage.configuration.hiddenSize, vocabularySize: stage.configuration.vocabularySize,
                    contextLength: stage.configuration.contextLength)
                completion(.success(()))
            } catch {
                limits = nil
                completion(.failure(.model("\(error)")))
            }
        }
    }

    private func loaded(_ layers: Range<Int>) throws -> Stage {
        if let stage, stage.layers == layers { return stage }
        stage = nil  // the old weights go before the new ones come
        let loaded = try Stage(checkpoint: checkpoint, layers: layers, precision: precision, pool: pool)
        stage = loaded
        return loaded
    }

    /// Forgets every request; what was queued before has run by then.
    func reset() {
        enqueue { [self] in forgetAll() }
    }

    private func forgetAll() {
        held.removeAll()
        reservedRows = 0
        publishUse()
    }

    /// Frees requests' KV, then calls back.
    func release(_ requests: [UInt64], completion: @escaping @Sendable () -> Void) {
        enqueue { [self] in
            for request in requests {
                if let gone = held.removeValue(forKey: request) { reservedRows -= gone.kvRows }
            }
            publishUse()
            completion()
        }
    }

    private func publishUse() {
        rowsInUse.store(reservedRows, ordering: .relaxed)
        requestsHeld.store(held.count, ordering: .relaxed)
    }

    /// Checks and computes one micro-batch.
    func run(
        _ message: MicroBatchMessage, tensors: [Frame],
        completion: @escaping @Sendable (Result<Output, MessageError>) -> Void
    ) {
        enqueue { [self] in
            guard let stage, let limits else {
                completion(.failure(MessageError("micro_batch", "no layers are loaded")))
                return
            }
            do {
                let work = try MicroBatchWork(message, tensors: tensors, limits: limits)
                completion(.success(try compute(work, on: stage, limits: limits)))
            } catch let error as MessageError {
                completion(.failure(error))
            } catch {
                completion(.failure(MessageError("micro_batch \(message.id)", "\(error)")))
            }
        }
    }

    private func compute(_ work: MicroBatchWork, on stage: Stage, limits: StageLimits) throws -> Output {
        let clock = ContinuousClock()
        let start = clock.now
        let segments = try work.parts.map { part in
            let entry = try holding(part, stage: stage, limits: limits)
            return Segment(cache: entry.cache, positions: part.positions)
        }
        let hidden = try input(of: work, stage: stage)
        try stage.forward(
            hidden, segments: segments, outputs: work.outputs.map(\.row),
            progress: { [self] in progress.add(1, ordering: .relaxed) })
        guard stage.isLast else {
            let frame = try hidden.withUnsafeMutableBufferPointer { rows in
                try Frame(lending: UnsafeMutableRawBufferPointer(rows), owner: hidden)
            }
            return .hidden(work.forwarded(computeMicroseconds: microseconds(since: start, clock)), frame)
        }
        var outcome = Outcome()
        outcome.microBatch = work.id
        try read(work, hidden: hidden, stage: stage, into: &outcome)
        outcome.stageMicroseconds = work.stageMicroseconds + [microseconds(since: start, clock)]
        return .samples(outcome)
    }

    private func microseconds(since start: ContinuousClock.Instant, _ clock: ContinuousClock) -> UInt64 {
        UInt64(max(0, start.duration(to: clock.now) / .microseconds(1)))
    }

    private func holding(_ part: MicroBatchWork.Part, stage: Stage, limits: StageLimits) throws -> Held {
        if let opening = part.opening {
            guard held[part.request] == nil else {
                throw MessageError("request \(part.request)", "opened twice")
            }
            guard reservedRows + opening.kvRows <= limits.kvRows else {
                throw MessageError(
                    "request \(part.request)",
                    "its \(opening.kvRows) KV rows do not fit: \(reservedRows) of \(limits.kvRows) are taken")
            }
            let entry = Held(
                cache: stage.makeCache(capacity: opening.kvRows), sampling: opening.sampling,
                topTargets: opening.topTargets, kvRows: opening.kvRows)
            held[part.request] = entry
            reservedRows += opening.kvRows
            publishUse()
            return entry
        }
        guard let entry = held[part.request] else {
            throw MessageError("request \(part.request)", "not open on this stage")
        }
        return entry
    }

    private func input(of work: MicroBatchWork, stage: Stage) throws -> Matrix {
        guard let frame = work.hidden else { return try stage.embed(work.parts.flatMap(\.tokens)) }
        let hidden = Matrix(rows: work.rows, columns: stage.configuration.hiddenSize)
        hidden.withUnsafeMutableBufferPointer { target in
            frame.withBytes { UnsafeMutableRawBufferPointer(target).copyMemory(from: $0) }
        }
        return hidden
    }

    /// Samples and scores the rows that are wanted. A scored prompt wants them all: logits are made of a few rows at a
    /// time, so that they stay small beside the weights.
    private func read(_ work: MicroBatchWork, hidden: Matrix, stage: Stage, into outcome: inout Outcome) throws {
        let wanted = work.outputs
        let block = max(1, Self.logitsAtOnce / stage.configuration.vocabularySize)
        for first in stride(from: 0, to: wanted.count, by: block) {
            let outputs = wanted[first..<min(first + block, wanted.count)]
            let logits = try stage.logits(hidden, rows: outputs.map(\.row))
            for (row, output) in outputs.enumerated() {
                let part = work.parts[output.part]
                guard let request = held[part.request] else { continue }
                // Others in the micro-batch have logits of their own: where they are not finite, only this request ends.
                if let target = output.target {
                    let token = try? Sampler.score(logits, row: row, token: target, top: request.topTargets)
                    outcome.targets.append(message(part, step: 0, token))
                } else {
                    let token = try? Sampler.sample(logits, row: row, parameters: request.sampling, step: part.step)
                    outcome.samples.append(message(part, step: part.step, token))
                }
            }
        }
    }

    private func message(_ part: MicroBatchWork.Part, step: Int, _ token: SampledToken?) -> SampleMessage {
        token.map { SampleMessage(request: part.request, step: step, token: $0) }
            ?? .withoutToken(request: part.request, step: step)
    }

    /// Logits held at a time, 16 MiB of them; at the least those of one row.
    private static let logitsAtOnce = 4 << 20
}
