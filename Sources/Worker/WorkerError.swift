/// Why a worker could not start, or had to end.
public enum WorkerError: Error, Sendable, CustomStringConvertible {
    /// A setting is out of its range; the text names it and the fix.
    case badConfiguration(String)
    /// The model could not be opened or does not hold what the coordinator asked for.
    case model(String)
    /// A socket could not be opened, bound or connected.
    case transport(String)
    /// The coordinator will not have this worker: other weights, layers outside the model, another release.
    case refused(String)

    public var description: String {
        switch self {
        case .badConfiguration(let text), .model(let text), .transport(let text): text
        case .refused(let text): "the coordinator refused this worker: \(text)"
        }
    }
}
