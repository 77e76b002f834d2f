// What a topology file says: one model, its coordinator, and the stages that hold its layers.

public import Layers
public import Settings

/// A cluster as an operator describes it, checked: every value in range, every path absolute or relative to
/// the working directory, every key known.
///
/// What its processes can be told is in the table of settings (``Setting/table``); this value only says where each
/// process is and which of the table's values it gets.
public struct Topology: Equatable, Sendable {
    /// What is said at the top for all processes: `model`, `speculator`, `name`, `dtype`, ...
    public var shared: SettingValues
    /// The process that takes requests and owns the speculator.
    public var coordinator: CoordinatorPlace
    /// The pipelines, at least one, each with a name of its own.
    public var pipelines: [Pipeline]
    /// Workers that take the place of any stage that is lost.
    public var spares: [WorkerPlace]
    /// Workers that score prompts; where there is none, the coordinator does.
    public var speculators: [WorkerPlace]
    /// Where the processes have their keys from.
    public var keys: KeySource
    /// What becomes of processes that end by themselves.
    public var restart: RestartPolicy
    /// What a request that says nothing about speculation gets.
    public var speculation: SettingValues
    /// Variables set for every process, on top of the launcher's own environment.
    public var environment: [String: String]
    /// The hosts the file names.
    public var hosts: [String: HostPlace]
    /// The file's folder, as the file was named: relative paths start from it.
    public var folder: String

    /// The name clients use for the model (`"model"` in a request).
    public var name: String { shared.text("name") ?? "" }
    /// Directory of the main model, in Hugging Face layout, or a GGUF file.
    public var model: String {
        get { shared.text("model") ?? "" }
        set { shared.set("model", newValue) }
    }
    /// The speculator likewise; nil serves every prompt dense. The coordinator computes it, unless there are
    /// ``speculators``.
    public var speculator: String? {
        get { shared.text("speculator") }
        set { shared.set("speculator", newValue) }
    }

    /// Where and how the coordinator runs.
    public struct CoordinatorPlace: PlacedSettings, Equatable, Sendable {
        /// The host it runs on.
        public var host: String
        /// What the file says of it.
        public var settings: SettingValues

        /// The HTTP address clients use, `HOST:PORT`; port 0 takes any free one.
        public var http: String {
            get { settings.text("http") ?? "" }
            set { settings.set("http", newValue) }
        }
        /// The ZeroMQ endpoint workers register at; port `*` takes any free one; nil: ``Topology/coordinatorAddress``.
        public var listen: String? {
            get { settings.said("listen").last }
            set { settings.set("listen", newValue) }
        }
        /// The endpoint last stages and speculators answer at; nil: the port after that of ``listen``.
        public var results: String? {
            get { settings.said("results").last }
            set { settings.set("results", newValue) }
        }
        /// File a trace of all requests is written to; nil writes none.
        public var trace: String? { settings.text("trace") }
    }

    /// Stages in order; together they hold every layer of the model.
    public struct Pipeline: Equatable, Sendable {
        /// Its name in logs and metrics, as ``SettingKind/isName(_:)`` allows; no other pipeline has it.
        public var name: String
        /// At least one stage, first to last.
        public var stages: [WorkerPlace]
    }

    /// Where and how one worker runs: a stage, a spare or a speculator.
    public struct WorkerPlace: PlacedSettings, Equatable, Sendable {
        /// The host it runs on.
        public var host: String
        /// What the file says of it.
        public var settings: SettingValues

        /// The layers it holds; nil lets the coordinator divide them. Stages and spares only.
        public var layers: LayerSpan? { settings.layers }
        /// Whether it measures how fast its host is, to be given layers accordingly.
        public var measuresSpeed: Bool { settings.text("layers") == "auto" }
        /// The endpoint it takes hidden rows at; nil: any port of the loopback on one machine, else a port by its number.
        public var listen: String? {
            get { settings.said("listen").last }
            set { settings.set("listen", newValue) }
        }
    }

    /// Number of stages of all pipelines.
    public var stageCount: Int { pipelines.reduce(0) { $0 + $1.stages.count } }
}

/// What processes of every kind have.
public protocol PlacedSettings {
    /// What the file says of it.
    var settings: SettingValues { get set }
}

extension PlacedSettings {
    /// Compute threads; nil lets the process choose.
    public var threads: Int? { settings.said("threads").last.flatMap { Int($0) } }
    /// CPUs it stays on, for example `0-3,6`; nil: any.
    public var cpus: String? {
        get { settings.text("cpus") }
        set { settings.set("cpus", newValue) }
    }
    /// The name other hosts know its host by.
    public var advertise: String? {
        get { settings.text("advertise") }
        set { settings.set("advertise", newValue) }
    }
    /// Whether links may be plain text where other machines could read and change them.
    public var isInsecure: Bool { settings.boolean("insecure") }
}
