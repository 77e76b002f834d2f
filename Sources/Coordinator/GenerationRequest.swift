public import Speculation
public import Transformer

/// One prompt to answer, as the coordinator takes it: already tokenised, with every choice made.
public struct GenerationRequest: Sendable {
    /// By which logs, traces and the status know the request; `nil`: by the coordinator's number. It need not be unique, and
    /// is cut after ``longestName`` characters.
    public var name: String?
    /// Token ids of the whole prompt, BOS included. Count: 1 to the model's context.
    public var prompt: [Int32]
    /// Half-open ranges of prompt indices that pruning must keep (system and tool messages, spans the caller marked).
    /// Ignored in reference mode, as in the paper.
    public var protected: [Range<Int>]
    /// The most tokens to generate; prompt and answer together must fit the context. 0 only reads the prompt.
    public var maxTokens: Int
    public var sampling: SamplingParameters
    /// Report the log-probability of every prompt token but the first, each with so many of the most likely tokens in its
    /// place, 0...20; `nil` reports none. Such a prompt goes dense: a token's probability depends on all before it.
    public var promptLogProbabilities: Int?
    /// Go on after an end-of-sequence token (for measurements of a fixed length).
    public var ignoreEOS: Bool
    /// How to prune; `enabled == false` means dense prefill.
    public var speculation: SpeculationParameters
    /// The longest the request may take from submission to its end; `nil`: the coordinator's own limit.
    public var deadline: Duration?

    /// The longest name of a request, in Unicode scalars.
    public static let longestName = 160

    public init(
        prompt: [Int32], protected: [Range<Int>] = [], maxTokens: Int, sampling: SamplingParameters = .init(),
        promptLogProbabilities: Int? = nil, ignoreEOS: Bool = false, speculation: SpeculationParameters = .init(),
        deadline: Duration? = nil, name: String? = nil
    ) {
        self.name = name
        self.prompt = prompt
        self.protected = protected
        self.maxTokens = maxTokens
        self.sampling = sampling
        self.promptLogProbabilities = promptLogProbabilities
        self.ignoreEOS = ignoreEOS
        self.speculation = speculation
        self.deadline = deadline
    }
}

/// What was done to a prompt before its first token; every response carries it.
public struct SpeculationReport: Sendable, Equatable {
    /// Tokens in the unpruned prompt (M).
    public var promptTokens: Int
    /// Tokens that went down the pipeline (K).
    public var keptTokens: Int
    /// The effective keep rate K/M.
    public var keepRate: Double
    /// Time the speculator took, queueing for it excluded; `nil` when it did not run.
    public var speculation: Duration?
    /// Half-open ranges of kept position ids, ascending and disjoint.
    public var keptSpans: [Range<Int>]
    /// Why a request that asked for pruning went dense; `nil` when it was pruned, or asked for dense.
    public var fallback: String?

    public init(
        promptTokens: Int, keptTokens: Int, keepRate: Double, speculation: Duration?, keptSpans: [Range<Int>],
        fallback: String?
    ) {
        self.promptTokens = promptTokens
        self.keptTokens = keptTokens
        self.keepRate = keepRate
        self.speculation = speculation
        self.keptSpans = keptSpans
        self.fallback = fallback
    }
}

/// Why a generation ended well.
public enum FinishReason: String, Sendable {
    /// The model said so (an end-of-sequence token).
    case stop
    /// `maxTokens` were generated.
    case length
}

/// What a generation tells, in this order: one `prompt`, then prompt tokens, then tokens, then perhaps an end token, then
/// one `finished`. A `replayed` may come anywhere between.
public enum GenerationEvent: Sendable {
    /// The prompt was scored and pruned (or not); comes before the first token.
    case prompt(SpeculationReport)
    /// The next tokens of the prompt with their log-probabilities; together all of them but the first. Told only where
    /// ``GenerationRequest/promptLogProbabilities`` asks for it.
    case promptTokens([SampledToken])
    /// The pipeline was lost and the request goes on in another one, for so many times now. No token is told twice.
    case replayed(Int)
    /// A token was sampled.
    case token(SampledToken)
    /// The end-of-sequence token that ends the answer was sampled. It is no part of the answer, and counts as no token.
    case endToken(SampledToken)
    case finished(FinishReason)
}

/// Why a request was refused or ended without an answer.
public struct RequestError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// A field is out of its range; retrying the same request fails again.
        case invalidRequest
        /// Prompt and `maxTokens` do not fit the model's context, or the workers' KV budget.
        case promptTooLong
        /// Too much is queued; `retryAfter` says when to come back.
        case overloaded
        /// No complete pipeline stands at present.
        case unavailable
        /// A worker died or was cut off while it held the request.
        case workerLost
        case deadlineExceeded
        case cancelled
        /// A fault of Winnow's own.
        case internalError
    }
    public var code: Code
    public var message: String
    /// The request's field at fault, if one is.
    public var field: String?
    public var retryAfter: Duration?

    public init(_ code: Code, _ message: String, field: String? = nil, retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.field = field
        self.retryAfter = retryAfter
    }

    public var description: String { "\(code.rawValue): \(message)" }
}
