// From a topology to the processes to run: a pure value, nothing is started here.

public import Settings

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
    /// The settings that the arguments say; nil where it is no process of Winnow's. As a document:
    /// ``SettingValues/document``.
    public var settings: SettingValues?
    /// Variables set on top of the launcher's own environment.
    public var environment: [String: String]
    /// Files of the launch's keys that it needs, wherever it runs.
    public var keyFiles: [String] = []
    /// Where it runs.
    public var place: Place

    /// Creates a plan for a process of Winnow's.
    public init(
        name: String, part: Part, settings: SettingValues, environment: [String: String] = [:], place: Place = .here
    ) {
        self.init(
            name: name, part: part, arguments: [settings.process.rawValue] + settings.words, environment: environment,
            place: place)
        self.settings = settings
    }

    /// Changes a setting, and the arguments with it.
    mutating func set(_ setting: String, _ value: String?) {
        guard var settings else { return }
        settings.set(setting, value)
        self.settings = settings
        arguments = [settings.process.rawValue] + settings.words
    }

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
        let host = topology.coordinator.host
        name = topology.name
        self.executable = executable
        var settings = topology.coordinator.settings.over(topology.speculation).over(topology.shared)
        settings.movePaths { places.path($0, on: host) }
        settings.set("http", http ?? topology.coordinator.http)
        settings.set("listen", address.listen)
        settings.set("advertise", address.advertise)
        if let drainTime { settings.set("drain_time", String(drainTime)) }
        if !settings.isSaid("cpus") { settings.set("cpus", shares?.coordinator.map(CPUShares.text)) }
        if !topology.speculators.isEmpty { settings.set("speculator_workers", "true") }
        // The pipeline that is called as the only one is anyway needs no name.
        if let only = topology.pipelines.first, topology.pipelines.count == 1,
            only.name == Topology.Pipeline.defaultName
        {
            settings.set("stages", String(only.stages.count))
        } else {
            settings.set("pipeline", to: topology.pipelines.map { "\($0.name)=\($0.stages.count)" })
        }
        settings.set("exit_with_stdin", "true")
        self.drainTime = .seconds(settings.integer("drain_time") ?? 0)
        coordinator = ProcessPlan(
            name: "coordinator", part: .coordinator, settings: settings, environment: topology.environment,
            place: places.place(of: host))
        restart = topology.restart
        workers = Self.workers(of: topology, shares, places, hasFixedPorts: hasFixedPorts)
    }

    /// The workers, told where the coordinator listens.
    ///
    /// - Parameter endpoint: The endpoint from the coordinator's `listening` line.
    public func workers(coordinatorAt endpoint: String) -> [ProcessPlan] {
        workers.map { worker in
            var worker = worker
            worker.set("coordinator", endpoint)
            return worker
        }
    }
}
