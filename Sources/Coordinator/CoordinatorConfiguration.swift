public import Compute
public import Speculation
public import Wire

/// What a coordinator must be told.
public struct CoordinatorConfiguration: Sendable {
    /// The main model's directory or GGUF file: shape, tokenizer, and the weights' fingerprint that workers are held to.
    public var modelDirectory: String
    /// The speculator's directory or GGUF file; `nil`: every prompt goes dense.
    public var speculatorDirectory: String?
    /// The id under which the main model is served; `nil`: the last part of its path.
    public var modelName: String?
    /// Where workers say hello.
    public var listen: Endpoint
    /// Where last stages and speculators answer; `nil`: the port after that of `listen`.
    public var results: Endpoint?
    /// The host name under which other machines reach this one; `nil`: as bound, for a wildcard the default route's address.
    public var advertisedHost: String?
    /// The pipelines to stand, at least one, each under a name of its own.
    public var pipelines: [PipelineShape]
    /// Prompts are scored by speculator workers; this process reads of the speculator only what tells that the pair belongs
    /// together.
    public var speculatorsAreWorkers: Bool
    /// The speculator's compute threads, at least 1. `nil`: as many as there are CPUs for this process while no pipeline
    /// computes, which may be on the same ones, and one meanwhile.
    public var threads: Int?
    /// The CPUs that compute threads beyond the first are pinned to, `nil`: any. `ThreadPool.pinProcess` pins the first
    /// along with the rest of the process.
    public var cpus: [Int]?
    /// The number formats the speculator computes in.
    public var precision: Precision
    /// The directory where the speculator's packed weights are kept for the next start; `nil`: nowhere.
    public var weightsCache: String?
    /// Most rows of one micro-batch.
    public var microBatchRows: Int
    /// KV rows over all requests that each stage must be able to hold.
    public var kvRows: Int
    /// Requests admitted at a time; more are refused with 429.
    public var maxRequests: Int
    /// Prompt tokens of admitted requests that have no first token yet; more are refused with 429.
    public var maxQueuedTokens: Int
    /// The longest a request may take.
    public var requestTimeout: Duration
    /// What a request gets that says nothing about speculation.
    public var speculation: SpeculationParameters
    /// The longest a request waits for a pipeline while none stands.
    public var replayWait: Duration
    /// The most pipelines that may fall under a request before it is suspected of it.
    public var maxReplays: Int
    /// A busy worker without progress for this long hangs, and counts as lost.
    public var stallLimit: Duration
    /// How hidden rows travel between stages.
    public var wireType: WireType
    /// Speculative decoding: the most tokens that the speculator guesses ahead of an answer, 0 to 16; 0: none. Needs a
    /// speculator in this process.
    public var draftTokens = 0
    /// Guess as many always, instead of as many as pay: so that a test's guesses don't hang on how fast the machine is.
    package var draftsAlways = false
    /// Where to write a trace of every request and stage; `nil`: nowhere.
    public var traceFile: String?
    /// Allow plain text on links that other machines can read and write.
    public var isInsecure: Bool
    /// Its own key, and whose may join: links are encrypted, and nobody else may speak. `nil`: plain text.
    public var keys: Keys?

    /// What a coordinator needs of keys.
    public struct Keys: Sendable {
        public var own: KeyFile
        public var allowed: AllowListFile

        public init(own: KeyFile, allowed: AllowListFile) {
            self.own = own
            self.allowed = allowed
        }
    }

    /// - Parameter stageCount: of the one pipeline, where `pipelines` names none.
    public init(
        modelDirectory: String, speculatorDirectory: String? = nil, modelName: String? = nil, listen: Endpoint,
        results: Endpoint? = nil, advertisedHost: String? = nil, stageCount: Int = 1, pipelines: [PipelineShape]? = nil,
        speculatorsAreWorkers: Bool = false, threads: Int? = nil, cpus: [Int]? = nil,
        precision: Precision = .automatic, weightsCache: String? = nil,
        microBatchRows: Int = 512, kvRows: Int = 131_072, maxRequests: Int = 256, maxQueuedTokens: Int = 1 << 20,
        requestTimeout: Duration = .seconds(600), speculation: SpeculationParameters = .init(),
        replayWait: Duration = .seconds(30), maxReplays: Int = 5, stallLimit: Duration = .seconds(60),
        wireType: WireType = .f32, traceFile: String? = nil, isInsecure: Bool = false, keys: Keys? = nil
    ) {
        self.modelDirectory = modelDirectory
        self.speculatorDirectory = speculatorDirectory
        self.modelName = modelName
        self.listen = listen
        self.results = results
        self.advertisedHost = advertisedHost
        self.pipelines = pipelines ?? [PipelineShape(name: PipelineShape.defaultName, stageCount: stageCount)]
        self.speculatorsAreWorkers = speculatorsAreWorkers
        self.replayWait = replayWait
        self.maxReplays = maxReplays
        self.stallLimit = stallLimit
        self.wireType = wireType
        self.traceFile = traceFile
        self.threads = threads
        self.cpus = cpus
        self.precision = precision
        self.weightsCache = weightsCache
        self.microBatchRows = microBatchRows
        self.kvRows = kvRows
        self.maxRequests = maxRequests
        self.maxQueuedTokens = maxQueuedTokens
        self.requestTimeout = requestTimeout
        self.speculation = speculation
        self.isInsecure = isInsecure
        self.keys = keys
    }

    /// Endpoints that other machines reach, and whose links are plain text.
    var openEndpoints: [Endpoint] {
        keys == nil ? [listen, results].compactMap(\.self).filter { !$0.isLocal } : []
    }
}

/// Why a coordinator could not start, or had to end.
public enum CoordinatorError: Error, Sendable, CustomStringConvertible {
    /// A setting is out of its range; the text names it and the fix.
    case badConfiguration(String)
    /// A model or tokenizer could not be read, or the pair does not belong together.
    case model(String)
    /// A socket could not be opened or bound.
    case transport(String)

    public var description: String {
        switch self {
        case .badConfiguration(let text), .model(let text), .transport(let text): text
        }
    }
}
