// What is asked and answered, as JSON.

/// A completion request. Greedy unless told otherwise.
struct Ask: Encodable, Sendable {
    /// Text or token ids.
    enum Prompt: Encodable, Sendable, ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
        case text(String)
        case tokens([Int])

        init(stringLiteral text: String) { self = .text(text) }
        init(arrayLiteral tokens: Int...) { self = .tokens(tokens) }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .tokens(let tokens): try container.encode(tokens)
            }
        }
    }

    /// `speculative_prefill`.
    struct Pruning: Encodable, Sendable {
        var enabled = true
        var keepRate: Double?
        var selection: String?
        var chunk: Int?

        static let dense = Pruning(enabled: false)
        /// A tenth of the prompt by the default selection.
        static let windows = Pruning(keepRate: 0.1, selection: "windows")
        /// A tenth of the prompt exactly as the paper selects it.
        static let reference = Pruning(keepRate: 0.1, selection: "reference")
    }

    var model: String?
    var prompt: Prompt
    var maxTokens: Int
    var temperature = 0.0
    var stream: Bool?
    var ignoreEos: Bool?
    var logprobs: Int?
    var speculativePrefill: Pruning?
}

/// An answer, a part of a streamed one, or a refusal.
struct Completion: Decodable, Sendable {
    struct Choice: Decodable, Sendable {
        struct LogProbabilities: Decodable, Sendable { var tokenLogprobs: [Double] }
        var text: String?
        var finishReason: String?
        var logprobs: LogProbabilities?
    }
    struct Usage: Decodable, Sendable {
        var promptTokens: Int
        var completionTokens: Int
    }
    struct Facts: Decodable, Sendable {
        var promptTokens: Int
        var keptTokens: Int
        var keepRate: Double
        var keptSpans: [[Int]]
        var fallback: String?
    }
    struct Problem: Decodable, Sendable, Equatable {
        var message: String
        var type: String
        var param: String?
        var code: String
    }

    var choices: [Choice]?
    var usage: Usage?
    var speculativePrefill: Facts?
    var error: Problem?

    var text: String { choices?.first?.text ?? "" }
}

/// `GET /health/ready`.
struct Health: Decodable, Sendable {
    var status: String
    var reason: String?
}
