// What whoever runs a worker tells it: plain values, held against their ranges before anything is opened.

internal import Compute
internal import Layers
internal import OutsideText
internal import Wire

/// What a worker must be told. Every field but the first two has a default that serves.
///
/// A field out of its range is an error of ``Worker/init(configuration:logger:)`` that names the field.
public struct WorkerConfiguration: Sendable, Equatable {
    /// What a worker is for.
    public enum Role: String, Sendable, CaseIterable {
        /// Holds layers of the main model, one place of a pipeline.
        case stage
        /// Holds the whole speculator, and scores prompts.
        case speculator
    }

    /// The number formats that weights, activations and the KV cache are held and multiplied in.
    public enum Precision: String, Sendable, CaseIterable {
        /// The best for this CPU that loses nothing a bf16 checkpoint has.
        case automatic = "auto"
        /// Float32 throughout: the reference.
        case f32
        /// 16 bits a value.
        case bf16
        /// Weights in 8 bits, KV cache in bf16.
        case int8
    }

    /// The model's directory or GGUF file, or a part that `winnow model split` wrote: the coordinator's main model for a
    /// stage, its speculator for a speculator.
    public var model: String
    /// The coordinator's control endpoint: `tcp://HOST:PORT` or `ipc://PATH`.
    public var coordinator: String
    /// Where the stage before this one connects: an endpoint of this host, whose port may be `*` for a free one. Default
    /// nil: a free port of the loopback where the coordinator is on this host, else port 5710 of the address that the route
    /// to it begins at.
    public var listen: String?
    /// The host name under which other machines reach ``listen``. Default nil: the address itself, or where that stands for
    /// every interface the one that the route to the coordinator begins at.
    public var advertisedHost: String?
    /// What the worker is for. Default: a stage.
    public var role = Role.stage
    /// The layers to hold, absolute, not empty and inside the model. Default nil: the coordinator's choice, which may begin
    /// and end within a layer.
    public var layers: Range<Int>?
    /// The same to the half of a layer, as `winnow worker --layers` takes it: first and last, both included, as `0-4` or `2`.
    /// `0-7a` ends with the attention of layer 7, `7f-15` begins with its feed-forward; `0-7f34` ends with its feed-forward
    /// for the first 34 % of a request's rows, and `7f34-15` begins with it for the others. Default nil: ``layers`` says; not
    /// both.
    public var layerSpan: String?
    /// Whether to measure how fast this host multiplies, for some tenths of a second while the worker is made, so that the
    /// coordinator gives it layers accordingly. Default false.
    public var measuresSpeed = false
    /// The pipeline to serve, by name. Default nil: the coordinator's choice.
    public var pipeline: String?
    /// Compute threads, 1 to 1024; no more than the cgroup's CPU time are started. Default 1.
    public var threads = 1
    /// The CPUs to keep compute threads on, thread i on `cpus[i % cpus.count]`, each 0 to 1023; one that cannot be had is
    /// ignored. Default nil: any. Other threads of the process are left alone.
    public var cpus: [Int]?
    /// Number formats. Default ``Precision/automatic``. Stages of a pipeline may differ; the same request then gives other
    /// last digits.
    public var precision = Precision.automatic
    /// Room for keys and values, in tokens over all requests at a time, 1 and more; what the layers take for so many must
    /// fit the memory of this host. Default nil: what half of the free memory holds.
    public var kvTokens: Int?
    /// The directory where weights that were quantised to int8 are kept for the next start. Default nil: nowhere.
    public var weightsCache: String?
    /// The name in logs, in the coordinator's status and of the threads (their first 15 bytes), 1 to 128 bytes. Default
    /// `worker`.
    public var name = "worker"
    /// The worker's key file, made by `winnow keys new`: links are encrypted, and only the coordinator and the neighbours that
    /// it names may speak. Default nil: plain text.
    public var keyFile: String?
    /// Whether plain text is allowed on links that other machines can read and write. Default false.
    public var isInsecure = false

    /// Far more than any model has.
    private static let mostLayers = 1 << 20

    /// The settings that have no default; the rest are set on the value.
    public init(model: String, coordinator: String) {
        self.model = model
        self.coordinator = coordinator
    }

    /// The settings, held against their ranges and read.
    ///
    /// - Throws: `badConfiguration` that names the field; `key` for a key file; `transport` where no route leads to the
    ///   coordinator.
    package func plan() throws(WorkerError) -> WorkerPlan {
        guard !model.isEmpty else { throw .badConfiguration("model", "is empty: give a directory or a GGUF file") }
        let span = try span()
        guard (1...128).contains(name.utf8.count) else {
            throw .badConfiguration("name", "must have 1 to 128 bytes, has \(name.utf8.count)")
        }
        guard (1...1024).contains(threads) else {
            throw .badConfiguration("threads", "must be 1 to 1024, is \(threads)")
        }
        if let cpus {
            guard !cpus.isEmpty, cpus.count <= 1024, cpus.allSatisfy({ (0...1023).contains($0) }) else {
                throw .badConfiguration("cpus", "must be 1 to 1024 numbers, each 0 to 1023")
            }
        }
        if let kvTokens, kvTokens < 1 { throw .badConfiguration("kvTokens", "must be at least 1, is \(kvTokens)") }
        let coordinator = try Self.endpoint(coordinator, "coordinator")
        let key: KeyFile?
        do throws(KeyError) {
            key = try keyFile.map { path throws(KeyError) in try KeyFile(path: path) }
        } catch {
            throw .key("\(error)")
        }
        if let key, key.coordinator == nil {
            throw .badConfiguration(
                "keyFile", "the key of \(key.name) does not name its coordinator: it is a coordinator's own")
        }
        func checkReach(_ what: String, _ endpoint: Endpoint) throws(WorkerError) {
            guard key == nil, !isInsecure, !endpoint.isLocal else { return }
            throw .badConfiguration(
                what,
                "\(endpoint) is reachable from other hosts: give this worker a key (--key FILE, made by "
                    + "`winnow keys new`), or accept plain text, on a network you trust, with --insecure")
        }
        try checkReach("coordinator", coordinator)
        let given = try listen.map { text throws(WorkerError) in try Self.endpoint(text, "listen") }
        guard let listen = given ?? Endpoint.ofWorker(towards: coordinator) else {
            throw .transport("no route leads to \(coordinator): check the name, or say where to listen (--listen)")
        }
        try checkReach("listen", listen)
        return WorkerPlan(
            modelDirectory: model, coordinator: coordinator, listen: listen,
            advertisedHost: advertisedHost.map(HostAddress.bracketed),
            role: role == .stage ? .stage : .speculator, layers: span,
            measuresSpeed: measuresSpeed,
            pipeline: pipeline, threads: threads, cpus: cpus,
            precision: Compute.Precision(rawValue: precision.rawValue) ?? .automatic, kvRows: kvTokens,
            weightsCache: weightsCache, name: name, key: key)
    }

    private func span() throws(WorkerError) -> LayerSpan? {
        if let layers, layers.lowerBound < 0 || layers.upperBound > Self.mostLayers {
            throw .badConfiguration("layers", "must lie within 0..<\(Self.mostLayers), are \(layers)")
        }
        guard let layerSpan else { return layers.map { LayerSpan($0) } }
        guard layers == nil else { throw .badConfiguration("layerSpan", "is given beside layers: give one of them") }
        guard let span = LayerSpan(layerSpan, below: Self.mostLayers) else {
            throw .badConfiguration(
                "layerSpan",
                "must be layers, first and last, as 0-4, 2, 0-7a or 7f-15, is \"\(layerSpan.shown(upTo: 200))\"")
        }
        return span
    }

    private static func endpoint(_ text: String, _ field: String) throws(WorkerError) -> Endpoint {
        do throws(Endpoint.ParseError) {
            return try Endpoint(text)
        } catch {
            throw .badConfiguration(field, "\(error)")
        }
    }
}
