// The worker: what a host program makes and runs.

import Checkpoint
import Compute
import Dispatch
public import Logging
public import ServiceLifecycle
import Synchronization
import Transformer
package import Wire

/// A pipeline stage or a speculator: reports to a coordinator, holds what it is given, computes and passes on.
///
/// Made for life inside a host program, beside any number of others: it sets no signal handler, writes to no terminal,
/// keeps nothing in global state, and its threads end with it. Everything but ``run()`` may be called from any thread, at
/// any time.
///
/// `@unchecked Sendable`: edges and shell are used on the loop's thread alone.
public final class Worker: Service, @unchecked Sendable {
    /// Where the stage before this one connects.
    package let dataEndpoint: Endpoint

    private let loop: SocketLoop
    private let shell: WorkerShell
    private let control: any Link
    private let data: any Listener
    private let executor: any Executor
    private let board: WorkerBoard
    private let outcome: Outcome
    private let logger: Logger
    private let precision: Precision
    /// Those that other machines reach, and whose links are plain text.
    private let openEndpoints: [Endpoint]
    private let hasBegun = Mutex(false)
    private let hasLoop = Mutex(false)
    /// Seconds in which the loop's thread must have come to life: whoever starts a thread that the system refuses is not told.
    private static let loopLimit = 10.0

    /// Opens the model's files and a socket for the stage before; layers are loaded once the coordinator has assigned them.
    ///
    /// - Parameters:
    ///   - configuration: what the worker is told.
    ///   - logger: hears what an operator may want to know.
    /// - Throws: for a setting out of range, a model that can't be read, an address that can't be bound, memory that can't
    ///   be had.
    public convenience init(configuration: WorkerConfiguration, logger: Logger) throws(WorkerError) {
        let plan = try configuration.plan()
        // Nobody joins a worker: what it listens for are guests.
        let keys = plan.key.map { ZeroMQTransport.Keyring(own: $0.pair, mayJoin: { _ in false }) }
        let context: ZeroMQContext
        do throws(ZeroMQError) {
            context = try ZeroMQContext()
        } catch {
            throw .transport("\(error)")
        }
        try self.init(plan: plan, transport: ZeroMQTransport(context: context, keys: keys), logger: logger)
    }

    /// The same over any transport.
    package init(plan: WorkerPlan, transport: any Transport, logger: Logger) throws(WorkerError) {
        let limits = ProcessLimits.current()
        let plan = plan.within(limits, logger)
        let model = try Model(plan)
        let configuration = model.checkpoint.configuration
        try plan.check(layerCount: configuration.layerCount)
        try model.checkCache(plan, limits: limits)
        for note in try model.notes(plan) { logger.notice("\(note)") }
        let maxFrameBytes = Protocol.maxFrameBytes(hiddenSize: configuration.hiddenSize, role: plan.role)
        let dataPeer = PeerID.random()
        do {
            data = try transport.listen(at: plan.listen, as: .data(maxFrameBytes: maxFrameBytes))
            control = try transport.connect(
                to: plan.coordinator.description, named: PeerID.random(), key: plan.key?.coordinator, as: .control)
            loop = try SocketLoop(name: "winnow-worker")
        } catch {
            throw .transport("\(error)")
        }
        dataEndpoint = data.endpoint.known(
            as: plan.advertisedHost, otherwise: Endpoint.ownHost(towards: plan.coordinator))
        guard dataEndpoint.isConnectable else {
            throw .badConfiguration(
                "listen",
                "nobody can connect to \(dataEndpoint): give the name other hosts know this one by (--advertise HOST)")
        }
        let pool = ThreadPool(threads: plan.threads, cpus: plan.cpus, name: plan.name)
        let profile = model.profile(plan, limits: limits, pool: pool, dataEndpoint: dataEndpoint, dataPeer: dataPeer)
        if profile.speed > 0 {
            logger.info("measured", metadata: ["gflops": "\(Int((profile.speed / 1e9).rounded()))"])
        }
        let state = WorkerState(
            incarnation: .random(in: 1 ... .max), role: plan.role, profile: profile,
            profileHash: .random(in: 1 ... .max))
        let (outcome, board) = (Outcome(), WorkerBoard(kvTokens: profile.kvRows))
        self.outcome = outcome
        self.board = board
        self.logger = logger
        precision = plan.precision
        openEndpoints = plan.openEndpoints
        executor = try model.executor(plan, pool: pool, logger: logger)
        shell = WorkerShell(
            state: state, control: control, data: data, transport: transport, dataPeer: dataPeer,
            executor: executor, maxFrameBytes: maxFrameBytes, logger: logger,
            now: { ContinuousClock.now }, hop: { [loop] work in loop.submit(work) },
            watching: { board.show($0.status(load: $1), load: $1, at: $2) }, ending: { outcome.set($0) })
    }

    deinit {
        // Told to end and never run.
        loop.abandon()
    }

    // MARK: What it has

    /// Where the stage before this one connects, as other hosts are told it: `tcp://HOST:PORT` or `ipc://PATH`.
    public var endpoint: String { dataEndpoint.description }

    /// What happens to the worker from now on; ends after ``WorkerEvent/ended(_:)``. Each value of this property is another
    /// listener. Of events that nobody takes, the newest 256 are kept.
    public var events: AsyncStream<WorkerEvent> { board.events() }

    /// What the worker has and does at this moment.
    public var snapshot: WorkerSnapshot { board.snapshot }

    // MARK: Its life

    /// Serves until it is told to end. A coordinator that is away is no error: the worker says hello until it is back.
    ///
    /// A graceful shutdown of the service group is ``drain()``, cancellation of the task is ``stop()``.
    ///
    /// - Throws: `WorkerError.refused` when the coordinator will not have this worker, other cases when it can't go on, and
    ///   `CancellationError` when its task was cancelled.
    public func run() async throws {
        try begin()
        let result = await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await outcome.get()
            } onGracefulShutdown: {
                self.drain()
            }
        } onCancel: {
            self.stop()
        }
        await withCheckedContinuation { done in
            // Joining a thread blocks, which the cooperative pool must not.
            DispatchQueue.global().async { [self] in
                end(result)
                done.resume()
            }
        }
        try result.get()
        try Task.checkCancellation()
    }

    /// Ends `run` in good order: the coordinator is asked to give this worker's requests to others, which takes a moment
    /// where there are such, and ten seconds at the most. Called again it ends at once.
    public func drain() { loop.submit { [shell] in shell.leave() } }

    /// Ends `run` at once; requests under way are computed again elsewhere.
    public func stop() { loop.submit { [shell] in shell.stop() } }

    // MARK: For hosts without Swift's tasks

    /// Starts the worker's threads. It serves until it is told to end, and is ended by ``wait(until:)``.
    ///
    /// - Throws: `WorkerError.ranBefore`, and `memory` where the system allows no more threads.
    package func begin() throws(WorkerError) {
        let isFirst = hasBegun.withLock { hasBegun in
            defer { hasBegun = true }
            return !hasBegun
        }
        guard isFirst else { throw .ranBefore }
        logger.info(
            "matrix products", metadata: ["kernel": "\(precision.kernel)", "cpu_level": "\(CPULevel.inUse.rawValue)"])
        if let problem = precision.kernelProblem {
            logger.warning("slow matrix products", metadata: ["problem": "\(problem)"])
        }
        let lives = DispatchSemaphore(value: 0)
        loop.start()
        loop.submit { [self] in
            hasLoop.withLock { $0 = true }
            lives.signal()
            control.watch(on: loop) { [shell] in shell.readControl() }
            data.watch(on: loop) { [shell] in shell.readData() }
            loop.every(WorkerShell.tickInterval) { [shell] in shell.tick() }
            PlainTextNotice.repeats(of: openEndpoints, on: loop, logger)
            shell.tick()
        }
        guard lives.wait(timeout: .now() + Self.loopLimit) == .success else {
            loop.abandon()
            throw .memory(purpose: "a thread's stack", bytes: 8 << 20)
        }
    }

    /// Calls `done` once it is clear how the worker ends: at once if it has, else on the loop's thread.
    package func whenOver(_ done: @escaping @Sendable (Result<Void, WorkerError>) -> Void) { outcome.whenSet(done) }

    /// Lets the worker's threads go, once it is clear how it ends, and waits for them. Not from one of them.
    package func end(_ result: Result<Void, WorkerError>) {
        executor.stop()
        if hasLoop.withLock({ $0 }) { loop.stopAndWait() }
        board.end(result)
    }

    /// Hears every event, in order, on the loop's thread; the last on the thread that ends the worker.
    package func listen(_ listener: @escaping @Sendable (WorkerEvent) -> Void) { board.listen(listener) }
}

/// Carries the one ending from the loop's thread to whoever waits for it.
private final class Outcome: Sendable {
    private struct State {
        var result: Result<Void, WorkerError>?
        var waiters: [@Sendable (Result<Void, WorkerError>) -> Void] = []
    }
    private let state = Mutex(State())

    func set(_ result: Result<Void, WorkerError>) {
        let waiters = state.withLock { state in
            guard state.result == nil else { return state.waiters }
            state.result = result
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter(result) }
    }

    func whenSet(_ waiter: @escaping @Sendable (Result<Void, WorkerError>) -> Void) {
        let result = state.withLock { state in
            if state.result == nil { state.waiters.append(waiter) }
            return state.result
        }
        if let result { waiter(result) }
    }

    func get() async -> Result<Void, WorkerError> {
        await withCheckedContinuation { continuation in whenSet { continuation.resume(returning: $0) } }
    }
}

extension Protocol {
    /// The longest frame a neighbour may send, bytes: a micro-batch of the most rows, or a prompt.
    fileprivate static func maxFrameBytes(hiddenSize: Int, role: WorkerRole) -> Int {
        switch role {
        case .stage: max(maxBodyBytes, maxRows * hiddenSize * 4)
        case .speculator: maxBodyBytes
        }
    }
}
