// One chunk of a streamed completion: the parts a measurement needs, from either endpoint.

/// A chunk of `/v1/completions` or `/v1/chat/completions`, in the spellings servers have for it.
struct StreamChunk: Decodable {
    /// What it adds to the answer, thinking included.
    private(set) var text = ""
    /// The length of all it adds, tool calls and refusals included.
    private(set) var bytes = 0
    /// Whether it adds anything.
    private(set) var hasTokens = false
    /// How many tokens it lists (`token_ids` or `logprobs`); nil when it does not.
    private(set) var listedTokens: Int?
    /// Whether a choice ends with it.
    private(set) var isFinish = false
    /// Tokens generated so far, by the server's count.
    private(set) var completionTokens: Int?
    /// Tokens of the prompt, by the server's count.
    private(set) var promptTokens: Int?
    private(set) var report: PrefillReport?
    /// The message of an error event.
    private(set) var error: String?

    private enum CodingKeys: String, CodingKey {
        case choices
        case usage
        case error
        case report = "speculative_prefill"
    }

    private struct Usage: Decodable {
        var completionTokens: Int?
        var promptTokens: Int?

        private enum CodingKeys: String, CodingKey {
            case completionTokens = "completion_tokens"
            case promptTokens = "prompt_tokens"
        }
    }

    private struct Failure: Decodable {
        var message: String?
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if container.contains(.error), try !container.decodeNil(forKey: .error) {
            let failure = try? container.decode(Failure.self, forKey: .error)
            error = failure?.message ?? "an error event without a message"
            return
        }
        for choice in try container.decodeIfPresent([StreamChoice].self, forKey: .choices) ?? [] {
            text += choice.text
            bytes += choice.bytes
            hasTokens = hasTokens || choice.hasTokens
            isFinish = isFinish || choice.finishReason != nil
            if let count = choice.listedTokens { listedTokens = (listedTokens ?? 0) + count }
        }
        let usage = try container.decodeIfPresent(Usage.self, forKey: .usage)
        completionTokens = usage?.completionTokens
        promptTokens = usage?.promptTokens
        // A report of another shape is no reason to fail the request it describes.
        report = try? container.decodeIfPresent(PrefillReport.self, forKey: .report)
    }
}

/// One choice of a chunk.
private struct StreamChoice: Decodable {
    var text: String
    var bytes: Int
    var hasTokens: Bool
    var listedTokens: Int?
    var finishReason: String?

    private enum CodingKeys: String, CodingKey {
        case text
        case delta
        case logprobs
        case tokens = "token_ids"
        case finishReason = "finish_reason"
    }

    /// Something that is only counted.
    private struct Entry: Decodable {
        init(from decoder: any Decoder) {}
    }

    /// `content` in a chat, `tokens` in a completion.
    private struct LogProbabilities: Decodable {
        var content: [Entry]?
        var tokens: [Entry]?
        var refusal: [Entry]?
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let plain = try container.decodeIfPresent(String.self, forKey: .text) ?? ""
        let delta = try container.decodeIfPresent(StreamDelta.self, forKey: .delta)
        text = plain + (delta?.text ?? "")
        bytes = plain.utf8.count + (delta?.bytes ?? 0)
        hasTokens = !plain.isEmpty || delta?.hasTokens ?? false
        finishReason = try container.decodeIfPresent(String.self, forKey: .finishReason)
        let ids = (try? container.decodeIfPresent([Entry].self, forKey: .tokens)).flatMap(\.self)
        let listed = (try? container.decodeIfPresent(LogProbabilities.self, forKey: .logprobs)).flatMap(\.self)
        let count = ids?.count ?? listed.map { ($0.content ?? $0.tokens ?? []).count + ($0.refusal ?? []).count }
        listedTokens = count.flatMap { $0 > 0 ? $0 : nil }
    }
}

/// What a chunk adds to a chat message: every field but the role is generated.
private struct StreamDelta: Decodable {
    private(set) var text = ""
    private(set) var bytes = 0
    private(set) var hasTokens = false

    private enum CodingKeys: String, CodingKey, CaseIterable {
        case reasoning
        case reasoningContent = "reasoning_content"
        case thinking
        case content
        case refusal
        case toolCalls = "tool_calls"
        case functionCall = "function_call"
    }

    /// A part of a content that is a list.
    private struct Part: Decodable {
        var text: String?
        var thinking: String?
    }

    private struct Function: Decodable {
        var name: String?
        var arguments: String?
        var bytes: Int { (name ?? "").utf8.count + (arguments ?? "").utf8.count }
    }

    private struct ToolCall: Decodable {
        var function: Function?
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        // Some servers send the thinking under two names at once.
        let thinking =
            [CodingKeys.reasoning, .reasoningContent, .thinking].lazy
            .compactMap { Self.text(container, $0) }.first { !$0.isEmpty } ?? ""
        let content = Self.text(container, .content) ?? ""
        let refusal = Self.text(container, .refusal) ?? ""
        text = thinking + content
        bytes = thinking.utf8.count + content.utf8.count + refusal.utf8.count
        hasTokens = bytes > 0
        if container.contains(.toolCalls), (try? container.decodeNil(forKey: .toolCalls)) == false {
            let calls = try? container.decode([ToolCall].self, forKey: .toolCalls)
            bytes += calls?.reduce(0) { $0 + ($1.function?.bytes ?? 0) } ?? 0
            hasTokens = hasTokens || calls.map { !$0.isEmpty } ?? true
        }
        if container.contains(.functionCall), (try? container.decodeNil(forKey: .functionCall)) == false {
            bytes += (try? container.decode(Function.self, forKey: .functionCall))?.bytes ?? 0
            hasTokens = true
        }
    }

    /// A string, or a list of parts with texts; nil for anything else.
    private static func text(_ container: KeyedDecodingContainer<CodingKeys>, _ key: CodingKeys) -> String? {
        guard container.contains(key), (try? container.decodeNil(forKey: key)) == false else { return nil }
        if let text = try? container.decode(String.self, forKey: key) { return text }
        let parts = try? container.decode([Part].self, forKey: key)
        return parts?.map { ($0.thinking ?? "") + ($0.text ?? "") }.joined()
    }
}
