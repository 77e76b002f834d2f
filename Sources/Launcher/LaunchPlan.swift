// From a topology to the processes to run: a pure value, nothing is started here.

internal import Wire

/// One process of a launch.
public struct ProcessPlan: Equatable, Sendable {
    /// What the cluster needs a process for.
    public enum Part: Equatable, Sendable {
        case coordinator
        /// A stage of this pipeline.
        case stage(pipeline: String)
        case spare
        case speculator
    }

    /// Its name in logs and reports: `coordinator`, `worker-0`, `spare-0`, `speculator-0`, ...
    public var name: String
    /// What it is needed for.
    public var part: Part
    /// Arguments after the executable.
    public var arguments: [String]
    /// Variables set on top of the launcher's own environment.
    public var environment: [String: String]
    /// Files of the launch's keys that it needs, wherever it runs.
    public var keyFiles: [String] = []
    /// Where it runs.
    public var place: Place

    /// Creates a plan for one process.
    public init(
        name: String, part: Part, arguments: [String], environment: [String: String] = [:], place: Place = .here
    ) {
        self.place = place
        self.name = name
        self.part = part
        self.arguments = arguments
        self.environment = environment
    }
}

/// The processes of a launch. The workers' arguments need the endpoint the coordinator really bound, so they are
/// asked for when it is known.
public struct LaunchPlan: Equatable, Sendable {
    /// The topology's name.
    public var name: String
    /// The program all processes run.
    public var executable: String
    /// Started first.
    public var coordinator: ProcessPlan
    /// Stages, speculators and spares, started in order once the coordinator listens. Arguments lack `--coordinator`.
    public var workers: [ProcessPlan]
    /// What becomes of processes that end by themselves.
    public var restart: RestartPolicy
    /// How long the coordinator lets running requests go on once it is asked to end.
    public var drainTime: Duration

    /// The option that makes a process end when its standard input ends, so that none outlives the launcher.
    static let endWithInput = "--exit-with-stdin"
    /// Seconds that running requests are given where nothing else is said.
    public static let defaultDrainSeconds = 10

    /// Plans the processes of `topology`.
    ///
    /// - Parameters:
    ///   - topology: The checked file.
    ///   - executable: Path of the program, normally the launcher's own.
    ///   - http: An HTTP address to serve at instead of the topology's.
    ///   - drainTime: Seconds for running requests at the end, instead of the topology's.
    ///   - availableCPUs: CPUs to share out among processes that name none; empty leaves that to the system, and so
    ///     does a process on another host.
    ///   - places: Where the file's hosts are.
    ///   - hasFixedPorts: Whether nothing is left to the system on one machine either, for who can't be told later.
    public init(
        topology: Topology, executable: String, http: String? = nil, drainTime: Int? = nil, availableCPUs: [Int] = [],
        places: Places = Places(), hasFixedPorts: Bool = false
    ) {
        let shares = CPUShares(topology, available: places.remote.isEmpty ? availableCPUs : [])
        let address = topology.coordinatorAddress(hasFixedPorts: hasFixedPorts)
        func file(_ path: String) -> String { places.path(path, on: topology.coordinator.host) }
        name = topology.name
        self.executable = executable
        let place = topology.coordinator
        let speculation = topology.speculation
        let drainSeconds = drainTime ?? place.drainTime
        self.drainTime = .seconds(drainSeconds ?? Self.defaultDrainSeconds)
        let arguments =
            ["coordinator", "--model", file(topology.model)]
            + Self.option("--speculator", topology.speculator.map(file))
            + ["--name", topology.name, "--http", http ?? place.http, "--listen", address.listen]
            + Self.option("--results", place.results)
            + Self.flag("--speculator-workers", !topology.speculators.isEmpty)
            + Self.shape(topology)
            + Self.option("--threads", place.threads)
            + Self.option("--cpus", place.cpus ?? shares?.coordinator.map(CPUShares.text))
            + Self.option("--dtype", topology.dtype)
            + Self.option("--cpu-level", topology.cpuLevel)
            + Self.option("--kv-tokens", place.kvTokens)
            + Self.option("--micro-batch-tokens", place.microBatchTokens)
            + Self.option("--max-requests", place.maxRequests)
            + Self.option("--max-queued-tokens", place.maxQueuedTokens)
            + Self.option("--request-timeout", place.requestTimeout)
            + (place.corsOrigins.isEmpty ? [] : ["--cors-origin"] + place.corsOrigins)
            + Self.option("--max-body-bytes", place.maxBodyBytes)
            + Self.option("--max-connections", place.maxConnections)
            + Self.option("--max-connections-per-address", place.maxConnectionsPerAddress)
            + Self.option("--drain-time", drainSeconds)
            + Self.option("--replay-wait", place.replayWait)
            + Self.option("--max-replays", place.maxReplays)
            + Self.option("--stall", place.stall)
            + Self.option("--wire-dtype", place.wireDtype)
            + Self.option("--trace", place.trace.map(file))
            + Self.option("--advertise", address.advertise)
            + Self.flag("--allow-plaintext", place.allowPlaintext)
            + Self.option("--log-level", place.logLevel)
            + Self.option("--keep-rate", speculation.keepRate)
            + Self.option("--selection", speculation.selection)
            + Self.option("--look-ahead", speculation.lookAhead)
            + Self.option("--chunk", speculation.chunk)
            + Self.option("--stride", speculation.stride)
            + Self.option("--pool", speculation.pool)
            + Self.option("--tail", speculation.tail)
            + Self.option("--threshold", speculation.threshold)
        coordinator = ProcessPlan(
            name: "coordinator", part: .coordinator, arguments: arguments + [Self.endWithInput],
            environment: topology.environment, place: places.place(of: place.host))
        restart = topology.restart
        workers = Self.workers(of: topology, shares, places, hasFixedPorts: hasFixedPorts)
    }

    /// `--stages N` for one pipeline that is called as it would be anyway, else each with its name.
    private static func shape(_ topology: Topology) -> [String] {
        if let only = topology.pipelines.first, topology.pipelines.count == 1,
            only.name == Topology.Pipeline.defaultName
        {
            return ["--stages", String(only.stages.count)]
        }
        return topology.pipelines.flatMap { ["--pipeline", "\($0.name)=\($0.stages.count)"] }
    }

    /// The workers, told where the coordinator listens.
    ///
    /// - Parameter endpoint: The endpoint from the coordinator's `listening` line.
    public func workers(coordinatorAt endpoint: String) -> [ProcessPlan] {
        workers.map { worker in
            var worker = worker
            worker.arguments.insert(contentsOf: ["--coordinator", endpoint], at: min(1, worker.arguments.count))
            return worker
        }
    }

    static func option(_ flag: String, _ value: (some CustomStringConvertible)?) -> [String] {
        value.map { [flag, $0.description] } ?? []
    }

    static func flag(_ flag: String, _ isSet: Bool) -> [String] { isSet ? [flag] : [] }
}
