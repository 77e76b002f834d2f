// From a topology to the processes to run: a pure value, nothing is started here.

internal import Wire

/// One process of a launch.
public struct ProcessPlan: Equatable, Sendable {
    /// Its name in logs and reports: `coordinator`, `worker-0`, ...
    public var name: String
    /// Arguments after the executable.
    public var arguments: [String]
    /// Variables set on top of the launcher's own environment.
    public var environment: [String: String]

    /// Creates a plan for one process.
    public init(name: String, arguments: [String], environment: [String: String] = [:]) {
        self.name = name
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
    /// Started in order once the coordinator listens. Arguments lack `--coordinator`.
    public var workers: [ProcessPlan]
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
    ///   - availableCPUs: CPUs to share out among processes that name none; empty leaves that to the system.
    public init(
        topology: Topology, executable: String, http: String? = nil, drainTime: Int? = nil, availableCPUs: [Int] = []
    ) {
        let shares = CPUShares(topology, available: availableCPUs)
        name = topology.name
        self.executable = executable
        let place = topology.coordinator
        let speculation = topology.speculation
        let drainSeconds = drainTime ?? place.drainTime
        self.drainTime = .seconds(drainSeconds ?? Self.defaultDrainSeconds)
        let arguments =
            ["coordinator", "--model", topology.model]
            + Self.option("--speculator", topology.speculator)
            + ["--name", topology.name, "--http", http ?? place.http, "--listen", place.listen]
            + ["--stages", String(topology.stageCount)]
            + Self.option("--threads", place.threads)
            + Self.option("--cpus", place.cpus ?? shares.map { CPUShares.text($0.coordinator) })
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
            + Self.option("--advertise", place.advertise)
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
            name: "coordinator", arguments: arguments + [Self.endWithInput], environment: topology.environment)
        workers = topology.pipelines.flatMap(\.stages).enumerated().map { index, stage in
            let cpus = stage.cpus ?? shares.map { CPUShares.text($0.stages[index]) }
            let layers = stage.layers.map { Range($0).layersText }
            let arguments =
                ["worker", "--model", topology.model, "--listen", stage.listen, "--name", "worker-\(index)"]
                + Self.option("--layers", layers)
                + Self.option("--threads", stage.threads)
                + Self.option("--cpus", cpus)
                + Self.option("--dtype", topology.dtype)
                + Self.option("--cpu-level", topology.cpuLevel)
                + Self.option("--kv-tokens", stage.kvTokens)
                + Self.option("--advertise", stage.advertise)
                + Self.flag("--allow-plaintext", stage.allowPlaintext)
                + Self.option("--log-level", stage.logLevel)
            return ProcessPlan(
                name: "worker-\(index)", arguments: arguments + [Self.endWithInput], environment: topology.environment)
        }
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

    /// Shell commands that run the same processes by hand, coordinator first. `--exit-with-stdin` is left out:
    /// at a terminal each process ends with Ctrl-C.
    ///
    /// - Parameter endpoint: Where the workers find the coordinator.
    public func commands(coordinatorAt endpoint: String) -> [String] {
        ([coordinator] + workers(coordinatorAt: endpoint)).map { process in
            let variables = process.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.quoted($0.value))" }
            let words = ([executable] + process.arguments.filter { $0 != Self.endWithInput }).map(Self.quoted)
            return (variables + words).joined(separator: " ")
        }
    }

    private static func option(_ flag: String, _ value: (some CustomStringConvertible)?) -> [String] {
        value.map { [flag, $0.description] } ?? []
    }

    private static func flag(_ flag: String, _ isSet: Bool) -> [String] { isSet ? [flag] : [] }

    /// A word as a POSIX shell reads it back.
    private static func quoted(_ word: String) -> String {
        let plain = word.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII
                && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
                    || "-_./:=,@".unicodeScalars.contains(scalar))
        }
        return plain && !word.isEmpty
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
