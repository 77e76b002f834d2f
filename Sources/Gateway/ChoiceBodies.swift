// The choices of an answer, field by field as OpenAI's API names them.

/// A completion, or a part of one.
struct CompletionChoice: Encodable, Sendable {
    var index: Int
    var text: String
    var logprobs: Nullable<CompletionLogProbabilities>
    var finishReason: Nullable<String>
    /// Where the answer has several choices.
    var speculation: SpeculationFacts?

    enum CodingKeys: String, CodingKey {
        case index, text, logprobs
        case finishReason = "finish_reason"
        case speculation = "speculative_prefill"
    }
}

/// A whole chat answer.
struct ChatChoice: Encodable, Sendable {
    struct Message: Encodable, Sendable {
        var role = "assistant"
        var content: String
        var refusal = Nullable<String>(nil)
    }
    var index: Int
    var message: Message
    var logprobs: Nullable<ChatLogProbabilities>
    var finishReason: Nullable<String>
    /// Where the answer has several choices.
    var speculation: SpeculationFacts?

    enum CodingKeys: String, CodingKey {
        case index, message, logprobs
        case finishReason = "finish_reason"
        case speculation = "speculative_prefill"
    }
}

/// A part of a chat answer.
struct ChatDeltaChoice: Encodable, Sendable {
    struct Delta: Encodable, Sendable {
        /// Only in the first part.
        var role: String?
        var content: String?
    }
    var index: Int
    var delta: Delta
    var logprobs: Nullable<ChatLogProbabilities>
    var finishReason: Nullable<String>
    /// Where the answer has several choices.
    var speculation: SpeculationFacts?

    enum CodingKeys: String, CodingKey {
        case index, delta, logprobs
        case finishReason = "finish_reason"
        case speculation = "speculative_prefill"
    }
}
