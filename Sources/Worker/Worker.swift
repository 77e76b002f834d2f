import Checkpoint
import Compute
import Dispatch
import Foundation
import Layers
public import Logging
import Synchronization
import Tokenizer
import Transformer
public import Wire

/// A pipeline stage or a speculator behind sockets: reports to a coordinator, holds what it is given, computes and passes
/// on. Sets no signal handler and writes to no terminal, so it can live inside a host program.
///
/// `@unchecked Sendable`: edges and shell are used on the loop's thread alone.
public final class Worker: @unchecked Sendable {
    /// Where the stage before this one connects.
    public let dataEndpoint: Endpoint

    private let loop: SocketLoop
    private let shell: WorkerShell
    private let control: any Link
    private let data: any Listener
    private let hasKeys: Bool
    private let outcome: Outcomes
    private let logger: Logger
    private let precision: Precision
    /// Endpoints that other machines reach, and whose links are plain text.
    private let openEndpoints: [Endpoint]

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
    public convenience init(
        configuration: WorkerConfiguration, context: ZeroMQContext, logger: Logger
    ) throws(WorkerError) {
        // Nobody joins a worker: what it listens for are guests.
        let keys = configuration.key.map { ZeroMQTransport.Keyring(own: $0.pair, mayJoin: { _ in false }) }
        try self.init(
            configuration: configuration, transport: ZeroMQTransport(context: context, keys: keys), logger: logger)
    }

    /// The same over any transport.
    package init(
        configuration: WorkerConfiguration, transport: any Transport, logger: Logger
    ) throws(WorkerError) {
        let limits = ProcessLimits.current()
        let configuration = Self.within(limits, configuration, logger)
        let model = try Model(configuration)
        try Self.check(configuration, layerCount: model.checkpoint.configuration.layerCount)
        do {
            let notes = try Stage.notes(
                on: model.checkpoint, layers: configuration.layers ?? model.checkpoint.heldLayers,
                precision: configuration.precision)
            for note in notes { logger.notice("\(note)") }
        } catch {
            throw .model("\(error)")
        }
        let maxFrameBytes = Self.maxFrameBytes(model.checkpoint.configuration, role: configuration.role)
        let dataPeer = PeerID.random()
        do {
            data = try transport.listen(at: configuration.listen, as: .data(maxFrameBytes: maxFrameBytes))
            control = try transport.connect(
                to: configuration.coordinator.description, named: PeerID.random(), key: configuration.key?.coordinator,
                as: .control)
            loop = try SocketLoop(name: "winnow-worker")
        } catch {
            throw .transport("\(error)")
        }
        dataEndpoint = data.endpoint.known(
            as: configuration.advertisedHost, otherwise: Endpoint.ownHost(towards: configuration.coordinator))
        guard dataEndpoint.isConnectable else {
            throw .badConfiguration(
                "nobody can connect to \(dataEndpoint): give the name other hosts know this one by (--advertise HOST)")
        }
        let pool = ThreadPool(threads: configuration.threads, cpus: configuration.cpus, name: configuration.name)
        let profile = model.profile(
            configuration, limits: limits, pool: pool, dataEndpoint: dataEndpoint, dataPeer: dataPeer)
        if profile.speed > 0 {
            logger.info("measured", metadata: ["gflops": "\(Int((profile.speed / 1e9).rounded()))"])
        }
        let state = WorkerState(
            incarnation: .random(in: 1 ... .max), role: configuration.role, profile: profile,
            profileHash: .random(in: 1 ... .max))
        hasKeys = configuration.key != nil
        let outcome = Outcomes()
        self.outcome = outcome
        self.logger = logger
        precision = configuration.precision
        openEndpoints = configuration.openEndpoints
        shell = WorkerShell(
            state: state, control: control, data: data, transport: transport, dataPeer: dataPeer,
            executor: model.executor(configuration, pool: pool, logger: logger), maxFrameBytes: maxFrameBytes,
            logger: logger,
            now: { ContinuousClock.now }, hop: { [loop] work in loop.submit(work) }, ending: { outcome.set($0) })
    }

    /// The longest frame a neighbour may send, bytes: a micro-batch of the most rows, or a prompt.
    private static func maxFrameBytes(_ model: ModelConfiguration, role: WorkerRole) -> Int {
        switch role {
        case .stage:
            max(Protocol.maxBodyBytes, Protocol.maxRows * model.hiddenSize * 4)
        case .speculator: Protocol.maxBodyBytes
        }
    }

    /// What can be done of `configuration` within `limits`, which are logged: threads beyond the CPU quota would all stand
    /// still together whenever it is used up.
    static func within(
        _ limits: ProcessLimits, _ configuration: WorkerConfiguration, _ logger: Logger
    ) -> WorkerConfiguration {
        var plan = configuration
        plan.threads = limits.threads(of: configuration.threads)
        if let quota = limits.cpuQuota {
            let facts: Logger.Metadata = [
                "cpus": "\(quota.value)", "limit": "\(quota.file)", "threads": "\(plan.threads)",
                "wanted": "\(configuration.threads)",
            ]
            if plan.threads < configuration.threads {
                logger.warning("fewer threads than asked for: the cgroup grants less CPU time", metadata: facts)
            } else {
                logger.info("planning within the cgroup's CPU time", metadata: facts)
            }
        }
        if let memory = limits.groupMemory, memory.value < limits.hostMemory ?? .max {
            logger.info(
                "planning within the cgroup's memory",
                metadata: [
                    "available": "\(memory.value >> 20) MiB", "limit": "\(memory.file)",
                    "host": "\((limits.hostMemory ?? 0) >> 20) MiB",
                ])
        }
        return plan
    }

    private static func check(_ configuration: WorkerConfiguration, layerCount: Int) throws(WorkerError) {
        guard (1...1024).contains(configuration.threads) else {
            throw .badConfiguration("threads must be 1 to 1024, found \(configuration.threads)")
        }
        if let layers = configuration.layers {
            guard layers.isWithin(layerCount: layerCount) else {
                throw .badConfiguration(
                    "layers \(layers) lie outside the model, which has layers \(LayerSpan(0..<layerCount))"
                )
            }
        }
        if let key = configuration.key {
            guard key.coordinator != nil else {
                throw .badConfiguration(
                    "the key of \(key.name) does not name its coordinator: it is a coordinator's own")
            }
            return
        }
        if let endpoint = configuration.openEndpoints.first, !configuration.isInsecure {
            let what = endpoint == configuration.listen ? "listen" : "coordinator"
            throw .badConfiguration(
                "\(what) \(endpoint) is reachable from other hosts: give this worker a key (--key FILE, made by "
                    + "`winnow keys new`), or accept plain text, on a network you trust, with --insecure")
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
        loop.submit { [self] in
            control.watch(on: loop) { [shell] in shell.readControl() }
            data.watch(on: loop) { [shell] in shell.readData() }
            loop.every(WorkerShell.tickInterval) { [shell] in shell.tick() }
            PlainTextNotice.repeats(of: openEndpoints, on: loop, logger)
            shell.tick()
        }
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

    /// Ends `run` in good order: the coordinator is asked to give this worker's requests to others, which takes a moment
    /// where there are such, and ten seconds at the most. Called again it ends at once. From any thread.
    public func stop() {
        loop.submit { [shell] in shell.leave() }
    }
}
