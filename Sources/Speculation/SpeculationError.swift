// What can go wrong between a prompt and its importance.

public import Transformer

/// Why a prompt was not scored.
public enum SpeculationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A parameter outside its range. `field` is the parameter's name in requests, such as `keep_rate`.
    case invalidParameter(field: String, value: String, allowed: String)
    /// A prompt that the speculator cannot read: empty, or longer than its context.
    case invalidPrompt(problem: String)
    /// The model refused the work, for example because of a token id outside its vocabulary.
    case stage(StageError)
    /// The importance has values that are not numbers: the speculator's weights are broken, or overflow Float32.
    case notFinite
    /// The caller said so.
    case cancelled

    /// One sentence with what was found, what is allowed and, where there is one, the fix.
    public var description: String {
        switch self {
        case .invalidParameter(let field, let value, let allowed):
            "\(field) is \(value), but must be \(allowed)"
        case .invalidPrompt(let problem):
            problem
        case .stage(let error):
            "the speculator cannot score the prompt: \(error)"
        case .notFinite:
            "the speculator's scores are not finite: its weights are damaged or unfit for Float32"
        case .cancelled:
            "the speculation was cancelled"
        }
    }
}
