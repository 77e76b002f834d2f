import Checkpoint
import Compute
import Layers
import Speculation
import Synchronization
import Transformer
import Wire

/// The computing half of a speculator worker: scores one prompt after the other.
///
/// `@unchecked Sendable`: `speculator` is used on `thread` alone; the rest is atomic or behind a mutex.
final class SpeculatorExecutor: Executor, @unchecked Sendable {
    private let loading: StageLoading
    private let endTokens: [Int32]
    private let thread: WorkThread
    private var speculator: Speculator?
    /// Requests that wait or are being scored, and whether they are given up; looked at between two blocks of a prompt.
    private let jobs = Mutex<[UInt64: Bool]>([:])
    private let life = Atomic<Int>(0)
    private let pending = Atomic<Int>(0)
    private let progress = Atomic<UInt64>(0)
    private let isLoaded = Atomic<Bool>(false)
    private let counts = Counts()

    init(loading: StageLoading, endTokens: [Int32], thread: WorkThread) {
        self.loading = loading
        self.thread = thread
        self.endTokens = endTokens
    }

    var load: WorkerState.Load {
        var load = WorkerState.Load()
        load.progress = progress.load(ordering: .relaxed)
        load.requests = pending.load(ordering: .relaxed)
        load.isBusy = load.requests > 0
        load.loading = loading.loaded
        load.cpuWait = loading.pool.waiting.total()
        if isLoaded.load(ordering: .relaxed) { load.loaded = loading.checkpoint.configuration.allLayers }
        counts.fill(&load)
        return load
    }

    func stop() {
        forget()
        loading.giveUp()
        thread.stopAndWait()
    }

    private func enqueue(_ work: @escaping @Sendable () -> Void) {
        pending.add(1, ordering: .relaxed)
        thread.submit { [self] in
            loading.pool.waiting.enter(place: 0)
            work()
            pending.subtract(1, ordering: .relaxed)
        }
    }

    func begin(_ assignment: Assignment, completion: @escaping @Sendable (Result<Void, WorkerError>) -> Void) {
        forget()
        enqueue { [self] in
            completion(Result { () throws(WorkerError) in try prepare() })
        }
    }

    func preload(_ layers: LayerSpan, completion: @escaping @Sendable () -> Void) {
        enqueue { [self] in
            _ = try? prepare()
            completion()
        }
    }

    private func prepare() throws(WorkerError) {
        guard speculator == nil else { return }
        defer { loading.rest() }
        let stage = try loading.load(loading.checkpoint.configuration.allLayers)
        speculator = Speculator(stage: stage, eosTokens: endTokens)
        isLoaded.store(true, ordering: .relaxed)
    }

    /// What is being scored is given up, and what waits is not begun.
    func forget() {
        life.add(1, ordering: .relaxed)
        jobs.withLock { $0.removeAll() }
    }

    func release(_ requests: [UInt64], completion: @escaping @Sendable () -> Void) {
        jobs.withLock { jobs in for request in requests where jobs[request] != nil { jobs[request] = true } }
        completion()
    }

    func compute(
        _ message: Message, tensors: [Frame],
        completion: @escaping @Sendable (Result<(Message, [Frame]), MessageError>) -> Void
    ) {
        let born = life.load(ordering: .relaxed)
        let received = ProcessClock.microseconds
        if case .score(let score) = message { jobs.withLock { $0[score.request] = false } }
        enqueue { [self] in
            guard case .score(let score) = message, let speculator else {
                completion(.failure(MessageError("score", "no speculator is loaded")))
                return
            }
            let clock = ContinuousClock()
            let start = clock.now
            defer { counts.add(rows: score.prompt.count, since: start, clock) }
            var scored = WireScored(
                request: score.request,
                time: WireStageTime(received: received, started: ProcessClock.microseconds))
            var frames: [Frame] = []
            var parameters = SpeculationParameters(
                lookAhead: score.lookAhead, pool: score.pool, attention: score.isSparse ? .sparse : .exact)
            if let mostKeys = score.mostKeys { parameters.mostKeys = Double(mostKeys) }
            do {
                let importance = try speculator.importance(
                    of: score.prompt, parameters: parameters,
                    isCancelled: { [self] in
                        progress.add(1, ordering: .relaxed)
                        return life.load(ordering: .relaxed) != born
                            || jobs.withLock { $0[score.request] == true }
                    })
                frames = [
                    try importance.withUnsafeBytes { bytes in
                        try Frame(size: bytes.count) { $0.copyMemory(from: bytes) }
                    }
                ]
            } catch {
                scored.error = "\(error)"
            }
            _ = jobs.withLock { $0.removeValue(forKey: score.request) }
            scored.microseconds = UInt64(max(0, start.duration(to: clock.now) / .microseconds(1)))
            completion(.success((.scored(scored), frames)))
        }
    }
}
