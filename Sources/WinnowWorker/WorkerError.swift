package import Compute

/// Why a worker could not start, or had to end.
public enum WorkerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A setting is out of its range: which field, and what is wrong with it.
    case badConfiguration(_ field: String, _ problem: String)
    /// The key file can't be used.
    case key(String)
    /// The model could not be opened or does not hold what the coordinator asked for.
    case model(String)
    /// Memory that can't be had: for what, and how much.
    case memory(purpose: String, bytes: Int)
    /// A socket could not be opened, bound or connected.
    case transport(String)
    /// The coordinator will not have this worker: other weights, layers outside the model, another release.
    case refused(String)
    /// The worker was run before.
    case ranBefore

    package init(_ error: MemoryError) { self = .memory(purpose: error.purpose, bytes: error.bytes) }

    public var description: String {
        switch self {
        case .badConfiguration(let field, let problem): "\(field): \(problem)"
        case .key(let text), .model(let text), .transport(let text): text
        case .memory(let purpose, let bytes): "\(MemoryError(purpose: purpose, bytes: bytes))"
        case .refused(let text): "the coordinator refused this worker: \(text)"
        case .ranBefore: "a worker runs once: make another one"
        }
    }
}
