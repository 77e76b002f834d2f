public import Compute
public import Layers
public import Wire

/// What a worker must be told.
public struct WorkerConfiguration: Sendable {
    /// What the worker is for.
    public var role: WorkerRole
    /// The model's directory or GGUF file: the coordinator's main model for a stage, its speculator for a speculator.
    public var modelDirectory: String
    /// The coordinator's control endpoint.
    public var coordinator: Endpoint
    /// Where the stage before this one connects; port 0 takes a free one.
    public var listen: Endpoint
    /// The host name under which other machines reach `listen`; needed when it is a wildcard.
    public var advertisedHost: String?
    /// The layers to hold, if not the coordinator's choice.
    public var layers: LayerSpan?
    /// Measure how fast this host multiplies, so that the coordinator gives it layers accordingly.
    public var measuresSpeed: Bool
    /// The pipeline to serve, if not the coordinator's choice.
    public var pipeline: String?
    /// Compute threads, at least 1.
    public var threads: Int
    /// The CPUs that compute threads beyond the first are pinned to, `nil`: any. The first is whichever thread the
    /// system runs the stage on; `ThreadPool.pinProcess` pins it along with the rest of the process.
    public var cpus: [Int]?
    /// The number formats to compute in. Stages of a pipeline may differ; the same request then gives other last digits.
    public var precision: Precision
    /// KV cache rows this host can hold over all requests; `nil`: what half of its free memory holds.
    public var kvRows: Int?
    /// The directory where packed weights are kept for the next start; `nil`: nowhere.
    public var weightsCache: String?
    /// For logs and error messages.
    public var name: String
    /// Its key, with its coordinator's: links are encrypted, and only the coordinator and neighbours it names may speak.
    /// `nil`: plain text.
    public var key: KeyFile?
    /// Allow plain text on links that other machines can read and write.
    public var isInsecure: Bool

    public init(
        modelDirectory: String, coordinator: Endpoint, listen: Endpoint, advertisedHost: String? = nil,
        role: WorkerRole = .stage, layers: LayerSpan? = nil, measuresSpeed: Bool = false, pipeline: String? = nil,
        threads: Int = 1,
        cpus: [Int]? = nil, precision: Precision = .automatic, kvRows: Int? = nil, weightsCache: String? = nil,
        name: String = "worker", key: KeyFile? = nil, isInsecure: Bool = false
    ) {
        self.role = role
        self.pipeline = pipeline
        self.modelDirectory = modelDirectory
        self.coordinator = coordinator
        self.listen = listen
        self.advertisedHost = advertisedHost
        self.layers = layers
        self.measuresSpeed = measuresSpeed
        self.threads = threads
        self.cpus = cpus
        self.precision = precision
        self.kvRows = kvRows
        self.weightsCache = weightsCache
        self.name = name
        self.key = key
        self.isInsecure = isInsecure
    }

    /// Endpoints that other machines reach, and whose links are plain text.
    var openEndpoints: [Endpoint] { key == nil ? [listen, coordinator].filter { !$0.isLocal } : [] }
}
