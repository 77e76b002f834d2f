// Structs that the host fills, read no further than it says.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CWinnowWorker
import WinnowWorker

/// A struct of the interface that begins with its size.
protocol SizedStruct {
    var struct_size: Int { get set }
    /// Its size in each version of the interface that added to it, ascending; the first is the least that any program has.
    static var sizes: [Int] { get }
}

extension winnow_worker_config: SizedStruct {
    static var sizes: [Int] { [160, MemoryLayout<Self>.size] }
}
extension winnow_event: SizedStruct {
    static var sizes: [Int] { [48, MemoryLayout<Self>.size] }
}
extension winnow_worker_snapshot: SizedStruct {
    static var sizes: [Int] { [MemoryLayout<Self>.size] }
}

extension SizedStruct {
    /// Far more than any struct of this interface will have: a size beyond it was never set.
    private static var mostBytes: Int { 65_536 }

    /// The bytes of a struct of the host that both sides know: of a version's struct, as half a field is none.
    static func known(_ size: Int, of name: String) throws(CallError) -> Int {
        guard size <= mostBytes, let known = sizes.last(where: { $0 <= size }) else {
            throw .argument(
                "\(name)->struct_size",
                "is \(UInt(bitPattern: size)), must be at least \(sizes.first ?? 0): set it to sizeof")
        }
        return known
    }

    /// Writes a struct over the host's.
    static func write(_ value: Self, to target: UnsafeMutablePointer<Self>, of name: String) throws(CallError) {
        let size = target.pointee.struct_size
        let count = try known(size, of: name)
        var value = value
        value.struct_size = size
        withUnsafeBytes(of: value) { bytes in
            UnsafeMutableRawPointer(target).copyMemory(
                from: bytes.baseAddress ?? UnsafeRawPointer(target), byteCount: count)
        }
    }
}

extension winnow_worker_config {
    static var defaults: winnow_worker_config {
        var config = winnow_worker_config()
        config.struct_size = MemoryLayout<winnow_worker_config>.size
        (config.first_layer, config.end_layer) = (-1, -1)
        config.threads = 1
        config.log_level = winnow_log_level(WINNOW_LOG_INFO)
        return config
    }

    /// What it says, in Swift.
    func configuration() throws(CallError) -> WorkerConfiguration {
        var configuration = WorkerConfiguration(
            model: try Self.text(model, "model") ?? "", coordinator: try Self.text(coordinator, "coordinator") ?? "")
        guard model != nil else { throw .argument("model", "is NULL") }
        guard coordinator != nil else { throw .argument("coordinator", "is NULL") }
        configuration.listen = try Self.text(listen, "listen")
        configuration.advertisedHost = try Self.text(advertised_host, "advertised_host")
        configuration.pipeline = try Self.text(pipeline, "pipeline")
        configuration.weightsCache = try Self.text(weights_cache, "weights_cache")
        configuration.name = try Self.text(name, "name") ?? "worker"
        configuration.keyFile = try Self.text(key_file, "key_file")
        switch Int(role) {
        case Int(WINNOW_ROLE_STAGE): configuration.role = .stage
        case Int(WINNOW_ROLE_SPECULATOR): configuration.role = .speculator
        default: throw .argument("role", "is \(role), must be 0 or 1")
        }
        switch Int(precision) {
        case Int(WINNOW_PRECISION_AUTOMATIC): configuration.precision = .automatic
        case Int(WINNOW_PRECISION_F32): configuration.precision = .f32
        case Int(WINNOW_PRECISION_BF16): configuration.precision = .bf16
        case Int(WINNOW_PRECISION_INT8): configuration.precision = .int8
        default: throw .argument("precision", "is \(precision), must be 0 to 3")
        }
        if first_layer != -1 || end_layer != -1 {
            guard first_layer >= 0, end_layer > first_layer else {
                throw .argument(
                    "first_layer, end_layer", "are \(first_layer), \(end_layer): must be -1, -1, or a range not empty")
            }
            configuration.layers = Int(first_layer)..<Int(end_layer)
        }
        configuration.layerSpan = try Self.text(layers, "layers")
        guard layers == nil || configuration.layers == nil else {
            throw .argument("layers", "is given beside first_layer and end_layer: give one of them")
        }
        configuration.threads = Int(threads)
        configuration.measuresSpeed = measures_speed != 0
        if cpu_count != 0 {
            // Swift's Int is C's size_t here: a count of its upper half is negative.
            guard (1...1024).contains(cpu_count) else {
                throw .argument("cpu_count", "is \(UInt(bitPattern: cpu_count)), must be 0 to 1024")
            }
            guard let cpus else { throw .argument("cpus", "is NULL, and cpu_count is \(cpu_count)") }
            configuration.cpus = UnsafeBufferPointer(start: cpus, count: cpu_count).map { Int($0) }
        }
        guard kv_tokens >= 0 else { throw .argument("kv_tokens", "is \(kv_tokens), must not be negative") }
        configuration.kvTokens = kv_tokens == 0 ? nil : Int(kv_tokens)
        configuration.isInsecure = insecure != 0
        return configuration
    }

    private static func text(_ pointer: UnsafePointer<CChar>?, _ field: String) throws(CallError) -> String? {
        guard let pointer else { return nil }
        guard let text = String(validatingCString: pointer) else { throw .argument(field, "is not UTF-8") }
        return text
    }
}

extension winnow_worker_snapshot {
    init(_ snapshot: WorkerSnapshot) {
        self.init()
        phase = winnow_phase(WorkerSnapshot.Phase.allCases.firstIndex(of: snapshot.phase) ?? 0)
        stage = snapshot.assignment.map { Int32(clamping: $0.stage) } ?? -1
        stage_count = Int32(clamping: snapshot.assignment?.stageCount ?? 0)
        first_layer = Int32(clamping: snapshot.loadedLayers?.lowerBound ?? -1)
        end_layer = Int32(clamping: snapshot.loadedLayers?.upperBound ?? -1)
        requests = Int32(clamping: snapshot.requests)
        loaded_fraction = snapshot.loadedFraction
        kv_tokens_used = Int64(snapshot.kvTokensUsed)
        kv_tokens = Int64(snapshot.kvTokens)
        messages = snapshot.messages
        rows = snapshot.rows
        busy_ns = UInt64(max(0, snapshot.busy / .nanoseconds(1)))
        rows_per_second = snapshot.rowsPerSecond
        busy_share = snapshot.busyShare
    }
}

/// An event as C is told it; its text apart.
struct FlatEvent: Sendable {
    var kind: winnow_event_kind
    var code = winnow_code(WINNOW_OK)
    var place = WorkerAssignment(stage: 0, stageCount: 0, layers: 0..<0)
    var fraction = 0.0
    var text = ""
    /// Of an assignment.
    var layers = ""

    init(_ event: WorkerEvent) {
        switch event {
        case .registered: kind = winnow_event_kind(WINNOW_EVENT_REGISTERED)
        case .coordinatorLost: kind = winnow_event_kind(WINNOW_EVENT_COORDINATOR_LOST)
        case .assigned(let assignment):
            kind = winnow_event_kind(WINNOW_EVENT_ASSIGNED)
            place = assignment
            layers = assignment.layerSpan
        case .unassigned: kind = winnow_event_kind(WINNOW_EVENT_UNASSIGNED)
        case .loading(let layers, let fraction):
            kind = winnow_event_kind(WINNOW_EVENT_LOADING)
            place.layers = layers
            self.fraction = fraction
        case .ready: kind = winnow_event_kind(WINNOW_EVENT_READY)
        case .fault(let reason):
            kind = winnow_event_kind(WINNOW_EVENT_FAULT)
            text = reason
        case .draining: kind = winnow_event_kind(WINNOW_EVENT_DRAINING)
        case .ended(let error):
            kind = winnow_event_kind(WINNOW_EVENT_ENDED)
            if let error {
                let error = CallError(error)
                (code, text) = (error.code, error.message)
            }
        }
    }

    /// The struct, whose strings are `text` and `layers`.
    func event(text: UnsafePointer<CChar>?, layers: UnsafePointer<CChar>?) -> winnow_event {
        winnow_event(
            struct_size: MemoryLayout<winnow_event>.size, kind: kind, code: code, stage: Int32(clamping: place.stage),
            stage_count: Int32(clamping: place.stageCount), first_layer: Int32(clamping: place.layers.lowerBound),
            end_layer: Int32(clamping: place.layers.upperBound), fraction: fraction, text: text,
            layers: layers)
    }
}
