// What a server says it did to a prompt.

/// What the server says it did to a prompt (`speculative_prefill` in the response). Fields a server leaves out are nil.
public struct PrefillReport: Sendable, Equatable, Decodable {
    /// Tokens of the prompt.
    public var promptTokens: Int?
    /// Tokens that were prefilled.
    public var keptTokens: Int?
    /// Their share, protected spans included.
    public var keepRate: Double?
    /// Time the speculator took, in milliseconds.
    public var speculationMilliseconds: Double?
    /// Why the prompt was prefilled whole although pruning was asked for.
    public var fallback: String?

    /// A report that says nothing yet.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case promptTokens = "prompt_tokens"
        case keptTokens = "kept_tokens"
        case keepRate = "keep_rate"
        case speculationMilliseconds = "speculation_ms"
        case fallback
    }
}
