// The JSON that answers are made of, field by field as OpenAI's API names them.

import Coordinator

/// What surrounds the choices of every answer, whole or in parts.
struct AnswerBody<Choice: Encodable & Sendable>: Encodable, Sendable {
    var id: String
    var object: String
    /// Seconds since 1970.
    var created: Int
    var model: String
    /// Changes with what decides an answer besides the request: weights and release.
    var fingerprint: String
    var choices: [Choice]
    /// `null` in a stream's events before the one that has it.
    var usage: Nullable<Usage>?
    /// Of a lone choice; several have it each.
    var speculation: SpeculationFacts?
    /// Where there is something to tell.
    var winnow: ServiceFacts?

    enum CodingKeys: String, CodingKey {
        case id, object, created, model
        case fingerprint = "system_fingerprint"
        case choices, usage, winnow
        case speculation = "speculative_prefill"
    }
}

/// What happened to the answer on its way.
struct ServiceFacts: Encodable, Sendable {
    /// How often its pipeline was lost, and another one went on with it. No token is told twice.
    var replays: Int

    /// `nil` when nothing happened.
    init?(replays: Int) {
        guard replays > 0 else { return nil }
        self.replays = replays
    }
}

/// Token counts. The prompt counts unpruned: it is what the caller sent.
struct Usage: Encodable, Sendable, Equatable {
    struct PromptDetails: Encodable, Sendable, Equatable {
        /// No prompt's state outlives its request, so none is found again.
        var cachedTokens = 0
        var keptTokens: Int

        enum CodingKeys: String, CodingKey {
            case cachedTokens = "cached_tokens"
            case keptTokens = "kept_tokens"
        }
    }
    var promptTokens: Int
    var completionTokens: Int
    var totalTokens: Int
    var promptDetails: PromptDetails

    enum CodingKeys: String, CodingKey {
        case promptTokens = "prompt_tokens"
        case completionTokens = "completion_tokens"
        case totalTokens = "total_tokens"
        case promptDetails = "prompt_tokens_details"
    }

    init(promptTokens: Int, keptTokens: Int, completionTokens: Int) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        totalTokens = promptTokens + completionTokens
        promptDetails = PromptDetails(keptTokens: keptTokens)
    }
}

/// What was done to the prompt.
struct SpeculationFacts: Encodable, Sendable {
    var promptTokens: Int
    var keptTokens: Int
    var keepRate: Double
    /// Milliseconds the speculator took; `null` when it did not run.
    var speculationMilliseconds: Nullable<Double>
    /// Half-open ranges of kept position ids.
    var keptSpans: [[Int]]
    var fallback: Nullable<String>

    enum CodingKeys: String, CodingKey {
        case promptTokens = "prompt_tokens"
        case keptTokens = "kept_tokens"
        case keepRate = "keep_rate"
        case speculationMilliseconds = "speculation_ms"
        case keptSpans = "kept_spans"
        case fallback
    }

    init(_ report: SpeculationReport) {
        promptTokens = report.promptTokens
        keptTokens = report.keptTokens
        keepRate = report.keepRate
        speculationMilliseconds = Nullable(report.speculation?.milliseconds)
        keptSpans = report.keptSpans.map { [$0.lowerBound, $0.upperBound] }
        fallback = Nullable(report.fallback)
    }
}

/// `GET /v1/models`.
struct ModelList: Encodable, Sendable {
    var object = "list"
    var data: [Model]

    struct Model: Encodable, Sendable {
        var id: String
        var object = "model"
        var created: Int
        var owner = "winnow"
        /// The most tokens prompt and answer may have together.
        var contextLength: Int

        enum CodingKeys: String, CodingKey {
            case id, object, created
            case owner = "owned_by"
            case contextLength = "max_model_len"
        }
    }
}

/// `GET /health/live` and `GET /health/ready`.
struct HealthBody: Encodable, Sendable {
    var status: String
    var reason: String?
}

extension Duration {
    /// This duration in milliseconds.
    var milliseconds: Double { self / .milliseconds(1) }
}
