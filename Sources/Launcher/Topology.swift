// What a topology file says: one model, its coordinator, and the stages that hold its layers.

/// A cluster as an operator describes it, checked: every value in range, every path absolute or relative to
/// the working directory, every key known.
public struct Topology: Equatable, Sendable {
    /// The name clients use for the model (`"model"` in a request).
    public var name: String
    /// Directory of the main model, in Hugging Face layout.
    public var model: String
    /// Directory of the speculator; nil serves every prompt dense. The coordinator computes it, unless there are
    /// ``speculators``.
    public var speculator: String?
    /// Number formats of all processes: `auto`, `f32`, `bf16` or `int8`; nil lets each choose.
    public var dtype: String?
    /// The most instructions that all processes use, one of ``cpuLevels``; nil: what there are.
    public var cpuLevel: String?
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
    /// What a request that says nothing about speculation gets; nil fields keep the coordinator's defaults.
    public var speculation: SpeculationDefaults
    /// Variables set for every process, on top of the launcher's own environment.
    public var environment: [String: String]
    /// The hosts the file names.
    public var hosts: [String: HostPlace]
    /// The file's folder, as the file was named: relative paths start from it.
    public var folder: String

    /// Where and how the coordinator runs.
    public struct CoordinatorPlace: Equatable, Sendable {
        /// The host it runs on.
        public var host: String
        /// The HTTP address clients use, `HOST:PORT`; port 0 takes any free one.
        public var http: String
        /// The ZeroMQ endpoint workers register at; port `*` takes any free one; nil: ``Topology/coordinatorAddress``.
        public var listen: String?
        /// The endpoint last stages and speculators answer at; nil: the port after that of ``listen``.
        public var results: String?
        /// Compute threads of its own speculator; nil lets the coordinator choose.
        public var threads: Int?
        /// CPUs the compute threads are pinned to, for example `0-3,6`; nil pins nothing.
        public var cpus: String?
        /// Rows of KV cache every stage must be able to hold, in tokens over all requests; nil keeps the default.
        public var kvTokens: Int?
        /// Most token rows that travel between stages together; nil keeps the default.
        public var microBatchTokens: Int?
        /// Requests served at a time; nil keeps the default.
        public var maxRequests: Int?
        /// Prompt tokens waiting for their first token, at most; nil keeps the default.
        public var maxQueuedTokens: Int?
        /// The longest a request may take, in seconds; nil keeps the default.
        public var requestTimeout: Int?
        /// Web pages that may use the API from a browser: their origins, or `*`.
        public var corsOrigins: [String]
        /// The largest request body, in bytes; nil keeps the default.
        public var maxBodyBytes: Int?
        /// Requests answered at a time; nil keeps the default.
        public var maxConnections: Int?
        /// The most of them from one address; nil keeps the default.
        public var maxConnectionsPerAddress: Int?
        /// How long a request may wait for a pipeline after it has lost its own, in seconds; nil keeps the default.
        public var replayWait: Int?
        /// Pipelines a request may lose before it is suspected; nil keeps the default.
        public var maxReplays: Int?
        /// How long a busy worker may make no progress before it counts as lost, in seconds; nil keeps the default.
        public var stall: Int?
        /// Number format of hidden rows between stages, `f32` or `bf16`; nil keeps the default.
        public var wireDtype: String?
        /// File a trace of all requests is written to; nil writes none.
        public var trace: String?
        /// How long running requests may go on after the end has been asked for, in seconds; nil keeps the default.
        public var drainTime: Int?
        /// The name other hosts know its host by.
        public var advertise: String?
        /// Whether links may be plain text where other machines could read and change them.
        public var allowPlaintext: Bool
        /// The least that is logged, one of ``Topology/logLevels``; nil keeps the default.
        public var logLevel: String?
    }

    /// Levels of instructions, from the least to the most.
    public static let cpuLevels = ["portable", "avx2", "avx512", "avx512vnni", "avx512bf16"]
    /// The levels of logs, from all to little.
    public static let logLevels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    /// Stages in order; together they hold every layer of the model.
    public struct Pipeline: Equatable, Sendable {
        /// Its name in logs and metrics, as ``Topology/isPipelineName(_:)`` allows; no other pipeline has it.
        public var name: String
        /// At least one stage, first to last.
        public var stages: [WorkerPlace]
    }

    /// Where and how one worker runs: a stage, a spare or a speculator.
    public struct WorkerPlace: Equatable, Sendable {
        /// The host it runs on.
        public var host: String
        /// The layers it holds, first and last inclusive; nil lets the coordinator divide them. Stages only.
        public var layers: ClosedRange<Int>?
        /// Whether it measures how fast its host is, to be given layers accordingly. Stages and spares only.
        public var measuresSpeed: Bool
        /// The endpoint it takes hidden rows at; nil: any port of the loopback on one machine, else a port by its number.
        public var listen: String?
        /// Compute threads; nil lets the worker choose.
        public var threads: Int?
        /// CPUs the compute threads are pinned to, for example `4-7`; nil pins nothing.
        public var cpus: String?
        /// Rows of KV cache it may hold, in tokens over all requests; nil lets the worker choose. Not of speculators.
        public var kvTokens: Int?
        /// The name other hosts know its host by.
        public var advertise: String?
        /// Whether links may be plain text where other machines could read and change them.
        public var allowPlaintext: Bool
        /// The least that is logged, one of ``Topology/logLevels``; nil keeps the default.
        public var logLevel: String?
    }

    /// Defaults of speculation for requests that don't choose for themselves.
    public struct SpeculationDefaults: Equatable, Sendable {
        /// Share of the prompt to keep, over 0 and at most 1.
        public var keepRate: Double?
        /// How chunks are chosen: `windows`, `grid` or `reference`.
        public var selection: String?
        /// Queries that score the prompt: the last prompt token and the tokens decoded after it, in tokens.
        public var lookAhead: Int?
        /// Tokens of a chunk or window.
        public var chunk: Int?
        /// Tokens from one window to the next, at most a chunk.
        public var stride: Int?
        /// Width of the pooling along the prompt, in tokens, odd.
        public var pool: Int?
        /// Tokens at the prompt's end that are always kept.
        public var tail: Int?
        /// Prompts shorter than this many tokens go dense.
        public var threshold: Int?

        /// No choice made.
        public init() {}
    }

    /// Number of stages of all pipelines.
    public var stageCount: Int { pipelines.reduce(0) { $0 + $1.stages.count } }
}
