// What a host says of itself before a launch.

internal import Layers

/// What is asked of a host.
public struct HostQuestion: Codable, Equatable, Sendable {
    /// Paths of models its processes will read.
    public var models: [String]
    /// Those of them whose tokenizer is read too.
    public var tokenizers: [String] = []
    /// Where its processes will listen, `tcp://HOST:PORT`.
    public var endpoints: [String]
    /// Folders of the weights cache that its processes will use; empty text: the default one.
    public var caches: [String] = []

    /// A question.
    public init(models: [String] = [], endpoints: [String] = []) {
        self.models = models
        self.endpoints = endpoints
    }
}

/// What a host answers.
public struct HostFacts: Codable, Equatable, Sendable {
    /// What a model there is.
    public struct Model: Codable, Equatable, Sendable {
        /// Why it can't be read; nil: it can.
        public var problem: String?
        /// The weights' fingerprint, hexadecimal.
        public var fingerprint = ""
        /// The tokenizer's fingerprint; nil: it was not asked for, or can't be read, and ``problem`` says why.
        public var tokenizer: String?
        /// Number of its layers.
        public var layerCount = 0
        /// The layers that are there, as `--layers` takes them, or `none`; nil: all.
        public var held: String?
        /// Weights of all its layers together, and of embedding and head.
        public var layerParameters = 0
        /// Weights of embedding and head together.
        public var outerParameters = 0
        /// Values a token's keys and values take in one layer.
        public var cacheValues = 0

        /// A model of which nothing is known yet.
        public init() {}

        /// The layers that are there; nil: all.
        var heldLayers: LayerSpan? {
            held.flatMap { $0 == LayerSpan.none.description ? LayerSpan.none : LayerSpan($0, below: layerCount) }
        }
    }

    /// A folder of the weights cache.
    public struct Cache: Codable, Equatable, Sendable {
        /// Where it is.
        public var path = ""
        /// Why nothing can be kept there; nil: it can.
        public var problem: String?
        /// Bytes its disk has left for this user.
        public var free: Int?

        /// A folder of which nothing is known yet.
        public init() {}
    }

    /// The program's version.
    public var version = ""
    /// Seconds since 1970 by its clock; once heard, by how many its clock is ahead of the asker's.
    public var clock: Double = 0
    /// Levels of instructions its CPU has.
    public var cpuLevels: [String] = []
    /// CPUs a process there may use.
    public var cpus: [Int] = []
    /// CPUs' worth of time its cgroup grants, and the file that says so.
    public var cpuQuota: Double?
    /// The file that says ``cpuQuota``.
    public var quotaFile: String?
    /// Bytes of memory a process there can have, and the cgroup's file where that is the limit.
    public var memory: Int?
    /// The cgroup's file where that is the limit of ``memory``.
    public var memoryFile: String?
    /// Files a process may have open.
    public var openFiles: Int?
    /// For each number format what multiplies there.
    public var products: [String: String] = [:]
    /// For each number format why that is slow; nothing where it is not.
    public var slowProducts: [String: String] = [:]
    /// The models asked for, by path.
    public var models: [String: Model] = [:]
    /// Why an endpoint asked for can't be bound, by endpoint.
    public var busyEndpoints: [String: String] = [:]
    /// The folders of the weights cache asked for.
    public var caches: [String: Cache] = [:]

    /// A host of which nothing is known yet.
    public init() {}
}

/// A host's facts, or why there are none.
public enum HostAnswer: Equatable, Sendable {
    case facts(HostFacts)
    case silence(String)
}
