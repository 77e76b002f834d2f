import Checkpoint
import Compute
import Layers
import Synchronization
import Transformer
import Wire

/// The computing half of a pipeline stage: its weights, and the KV caches of the requests it holds. Knows no socket.
///
/// Work is done one item after the other on the runner's own thread, in the order it was given.
///
/// `@unchecked Sendable`: `stage`, `limits` and `held` are touched on `thread` alone; the rest is atomic or behind a mutex.
final class StageRunner: Executor, @unchecked Sendable {
    private struct Held {
        let cache: KVCache
        let sampling: SamplingParameters
        let topTargets: Int
        let kvRows: Int
    }

    private let loading: StageLoading
    private let thread: WorkThread
    private var stage: Stage?
    private var limits: StageLimits?
    private var held: [UInt64: Held] = [:]
    private var reservedRows = 0

    /// Layers computed so far.
    private let progress = Atomic<UInt64>(0)
    private let pending = Atomic<Int>(0)
    private let rowsInUse = Atomic<Int>(0)
    private let requestsHeld = Atomic<Int>(0)
    private let loadedLayers = Mutex<LayerSpan?>(nil)
    private let counts = Counts()

    init(loading: StageLoading, thread: WorkThread) {
        self.loading = loading
        self.thread = thread
    }

    private func enqueue(_ work: @escaping @Sendable () -> Void) {
        pending.add(1, ordering: .relaxed)
        thread.submit { [self] in
            loading.pool.waiting.enter(place: 0)
            work()
            pending.subtract(1, ordering: .relaxed)
        }
    }

    var load: WorkerState.Load {
        var load = WorkerState.Load()
        load.progress = progress.load(ordering: .relaxed)
        load.isBusy = pending.load(ordering: .relaxed) > 0
        load.kvRowsUsed = rowsInUse.load(ordering: .relaxed)
        load.requests = requestsHeld.load(ordering: .relaxed)
        load.loaded = loadedLayers.withLock { $0 }
        load.loading = loading.loaded
        load.cpuWait = loading.pool.waiting.total()
        counts.fill(&load)
        return load
    }

    func begin(_ assignment: Assignment, completion: @escaping @Sendable (Result<Void, WorkerError>) -> Void) {
        enqueue { [self] in
            forgetAll()
            do throws(WorkerError) {
                let stage = try loaded(assignment.layers)
                limits = StageLimits(
                    maxRows: assignment.maxRows, kvRows: assignment.kvRows, isFirst: stage.isFirst,
                    isLast: stage.isLast, hiddenSize: stage.configuration.hiddenSize,
                    vocabularySize: stage.configuration.vocabularySize,
                    contextLength: stage.configuration.contextLength, wireType: assignment.wireType)
                completion(.success(()))
            } catch {
                limits = nil
                completion(.failure(error))
            }
        }
    }

    /// Layers that can't be loaded are said when they are assigned.
    func preload(_ layers: LayerSpan, completion: @escaping @Sendable () -> Void) {
        enqueue { [self] in
            _ = try? loaded(layers)
            completion()
        }
    }

    private func loaded(_ layers: LayerSpan) throws(WorkerError) -> Stage {
        if let stage, stage.layers == layers { return stage }
        stage = nil  // the old weights go before the new ones come
        loadedLayers.withLock { $0 = nil }
        defer { loading.rest() }
        let loaded = try loading.load(layers)
        stage = loaded
        loadedLayers.withLock { $0 = layers }
        return loaded
    }

    func stop() {
        loading.giveUp()
        thread.stopAndWait()
    }

    func forget() {
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

    func compute(
        _ message: Message, tensors: [Frame],
        completion: @escaping @Sendable (Result<(Message, [Frame]), MessageError>) -> Void
    ) {
        let received = ProcessClock.microseconds
        enqueue { [self] in
            guard let stage, let limits, case .microBatch(let microBatch) = message else {
                completion(.failure(MessageError("micro_batch", "no layers are loaded")))
                return
            }
            let clock = ContinuousClock()
            let start = clock.now
            defer { counts.add(rows: microBatch.segments.reduce(0) { $0 + $1.positions.count }, since: start, clock) }
            do {
                var work = try MicroBatchWork(microBatch, tensors: tensors, limits: limits)
                work.begin(received: received)
                completion(.success(try compute(work, on: stage, limits: limits)))
            } catch let error as MessageError {
                completion(.failure(error))
            } catch {
                completion(.failure(MessageError("micro_batch \(microBatch.id)", "\(error)")))
            }
        }
    }

    private func compute(
        _ given: MicroBatchWork, on stage: Stage, limits: StageLimits
    ) throws -> (Message, [Frame]) {
        let clock = ContinuousClock()
        let start = clock.now
        var work = given
        for part in work.parts {
            if let problem = open(part, stage: stage, limits: limits) { work.fail(part.segment.request, problem) }
        }
        work.dropFailed()
        var hidden: Matrix?
        do {
            hidden = try forward(work, on: stage, limits: limits)
        } catch let error as StageError where error.code == .noMemory {
            // Nothing has changed; whoever else is held goes on.
            for part in work.parts { work.fail(part.segment.request, error.problem) }
            work.dropFailed()
        }
        guard stage.isLast else {
            let frames = try hidden.map { [try Self.frame($0, as: limits.wireType)] } ?? []
            return (.microBatch(work.forwarded(computeMicroseconds: microseconds(since: start, clock))), frames)
        }
        var outcome = WireOutcome(microBatch: work.id, failures: work.failures, stageTimes: work.stageTimes)
        if let hidden { try read(work, hidden: hidden, stage: stage, into: &outcome) }
        outcome.stageMicroseconds = work.stageMicroseconds + [microseconds(since: start, clock)]
        return (.outcome(outcome), [])
    }

    /// The rows of all that has not failed, passed through the layers; nil: there are none.
    private func forward(_ work: MicroBatchWork, on stage: Stage, limits: StageLimits) throws -> Matrix? {
        guard work.rows > 0 else { return nil }
        let rows = try input(of: work, stage: stage, limits: limits)
        let segments = work.parts.compactMap { part in
            held[part.segment.request].map {
                Segment(
                    cache: $0.cache, positions: part.segment.positions,
                    decodedFrom: part.rows - part.segment.decoded)
            }
        }
        try stage.forward(
            rows, segments: segments, outputs: work.outputs.map(\.row),
            progress: { [self] in progress.add(1, ordering: .relaxed) })
        return rows
    }

    private func microseconds(since start: ContinuousClock.Instant, _ clock: ContinuousClock) -> UInt64 {
        UInt64(max(0, start.duration(to: clock.now) / .microseconds(1)))
    }

    /// Makes room for a request with its first part. Returns what is wrong when that can't be, or when it should have been.
    private func open(_ part: MicroBatchWork.Part, stage: Stage, limits: StageLimits) -> String? {
        let request = part.segment.request
        guard let opening = part.segment.opening, let sampling = part.sampling else { return takeUp(part.segment) }
        guard held[request] == nil else { return "it is open on this stage already" }
        guard reservedRows + opening.kvRows <= limits.kvRows else {
            return "its \(opening.kvRows) KV rows do not fit: \(reservedRows) of \(limits.kvRows) are taken"
        }
        let cache: KVCache
        do throws(MemoryError) {
            cache = try stage.reserveCache(capacity: opening.kvRows)
        } catch {
            return "\(error)"
        }
        held[request] = Held(
            cache: cache, sampling: sampling, topTargets: opening.topTargets,
            kvRows: opening.kvRows)
        reservedRows += opening.kvRows
        publishUse()
        return nil
    }

    /// Goes on with a request that is open, without the guesses that were wrong. Returns why that can't be.
    private func takeUp(_ segment: WireSegment) -> String? {
        guard let cache = held[segment.request]?.cache else { return "it is not open on this stage" }
        guard (cache.count - Protocol.maxDrafts...cache.count).contains(segment.cached) else {
            return "\(segment.cached) rows are said to be on this stage, which has \(cache.count)"
        }
        cache.truncate(to: segment.cached)
        return nil
    }

    private func input(of work: MicroBatchWork, stage: Stage, limits: StageLimits) throws -> Matrix {
        guard let frame = work.hidden else { return try stage.embed(work.parts.flatMap(\.segment.tokens)) }
        let columns = stage.configuration.hiddenSize
        let hidden: Matrix
        do throws(MemoryError) {
            hidden = try Matrix(rows: work.rows, columns: columns, for: "activations")
        } catch {
            throw StageError(code: .noMemory, operation: "input", problem: "\(error)")
        }
        hidden.withUnsafeMutableBufferPointer { target in
            frame.withBytes { source in
                var row = 0
                for part in work.parts {
                    let size = part.rows * columns
                    let bytes = UnsafeRawBufferPointer(
                        rebasing: source[
                            part.firstRow * columns * limits.wireType.bytes..<(part.firstRow + part.rows)
                                * columns * limits.wireType.bytes])
                    HiddenRows.read(
                        bytes, as: limits.wireType,
                        into: UnsafeMutableBufferPointer(rebasing: target[row * columns..<row * columns + size]))
                    row += part.rows
                }
            }
        }
        return hidden
    }

    private static func frame(_ hidden: Matrix, as type: WireType) throws -> Frame {
        try hidden.withUnsafeMutableBufferPointer { rows in
            switch type {
            case .f32: try Frame(lending: UnsafeMutableRawBufferPointer(rows), owner: hidden)
            case .bf16:
                try Frame(size: rows.count * 2) { target in
                    HiddenRows.narrow(UnsafeBufferPointer(rows), into: target)
                }
            }
        }
    }

    /// Samples and scores the rows that are wanted. A scored prompt wants them all: logits are made of a few rows at a
    /// time, so that they stay small beside the weights.
    private func read(_ work: MicroBatchWork, hidden: Matrix, stage: Stage, into outcome: inout WireOutcome) throws {
        let wanted = work.outputs
        // Parts of which a guess was wrong: what was computed behind it is of no use.
        var isOver: Set<Int> = []
        let block = max(1, Self.logitsAtOnce / stage.configuration.vocabularySize)
        for first in stride(from: 0, to: wanted.count, by: block) {
            let outputs = wanted[first..<min(first + block, wanted.count)]
            let logits = try stage.logits(hidden, rows: outputs.map(\.row))
            for (row, output) in outputs.enumerated() {
                let segment = work.parts[output.part].segment
                guard let request = held[segment.request] else { continue }
                // Others in the micro-batch have logits of their own: where they are not finite, only this request ends.
                switch output.purpose {
                case .score(let target):
                    let token = try? Sampler.score(logits, row: row, token: target, top: request.topTargets)
                    outcome.targets.append(sample(segment.request, step: 0, token))
                case .sample(let draft):
                    guard !isOver.contains(output.part) else { continue }
                    let token = try? Sampler.sample(
                        logits, row: row, parameters: request.sampling, step: segment.step + draft)
                    outcome.samples.append(sample(segment.request, step: segment.step + draft, token))
                    guard draft < segment.drafts.count, token?.token == segment.drafts[draft] else {
                        isOver.insert(output.part)
                        continue
                    }
                }
            }
        }
    }

    private func sample(_ request: UInt64, step: Int, _ token: SampledToken?) -> WireSample {
        token.map { WireSample(request: request, step: step, token: $0) }
            ?? .withoutToken(request: request, step: step)
    }

    /// Logits held at a time, 16 MiB of them; at the least those of one row.
    private static let logitsAtOnce = 4 << 20
}
