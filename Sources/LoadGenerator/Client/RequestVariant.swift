// What is asked of the server: a prompt, a mode, and the fields common to a run.

import Foundation

/// A named way of asking: fields laid over every request body of a mode.
public struct RequestVariant: Sendable, Equatable {
    /// How tables and reports call it.
    public let name: String
    /// Fields laid over the body; objects merge.
    public let extraBody: [String: JSONValue]

    /// Makes a variant of any fields.
    public init(name: String, extraBody: [String: JSONValue]) {
        self.name = name
        self.extraBody = extraBody
    }

    /// Nothing added: what the server does on its own, and what works with any OpenAI-compatible server.
    public static let asIs = RequestVariant(name: "as-is", extraBody: [:])

    /// The whole prompt is prefilled.
    public static let dense = RequestVariant(
        name: "dense", extraBody: ["speculative_prefill": .object(["enabled": .bool(false)])])

    /// The prompt is pruned to a share of its tokens.
    ///
    /// - Throws: a usage error unless 0 < rate <= 1.
    public static func keep(_ rate: Double) throws(LoadGeneratorError) -> RequestVariant {
        guard rate > 0, rate <= 1 else {
            throw LoadGeneratorError(.usage, "keep rate", "\(rate) is not above 0 and up to 1")
        }
        return RequestVariant(
            name: "keep \(rate)",
            extraBody: ["speculative_prefill": .object(["enabled": .bool(true), "keep_rate": .number(rate)])])
    }

    /// Reads `dense`, `as-is` or a keep rate.
    ///
    /// - Throws: a usage error for anything else.
    public init(parsing text: String) throws(LoadGeneratorError) {
        switch text {
        case "dense": self = .dense
        case "as-is": self = .asIs
        default:
            guard let rate = Double(text) else {
                throw LoadGeneratorError(
                    .usage, "'\(text)'", "not a mode: write dense, as-is, or a keep rate such as 0.1")
            }
            self = try .keep(rate)
        }
    }
}

/// The fields every request of a run has, and how a body is made of them.
public struct RequestTemplate: Sendable, Equatable {
    /// Tokens to generate where neither the run nor the prompt says.
    public static let defaultMaxTokens = 16
    /// Fields that belong to the load generator: without them it cannot measure.
    private static let reserved = ["stream", "stream_options", "prompt", "messages"]

    private let model: String
    private let maxTokens: Int?
    private let extraBody: [String: JSONValue]
    private let continuousUsage: Bool

    /// - Parameters:
    ///   - model: the model id to ask for.
    ///   - maxTokens: tokens to generate at most, before what a prompt says; nil leaves it to the prompt.
    ///   - extraBody: fields laid over every body.
    ///   - continuousUsage: asks for the count of tokens in every chunk, which not every server takes.
    /// - Throws: a usage error for a token count below 1, or an extra field that belongs to the load generator.
    public init(
        model: String, maxTokens: Int? = nil, extraBody: [String: JSONValue] = [:], continuousUsage: Bool = false
    ) throws(LoadGeneratorError) {
        if let maxTokens, maxTokens < 1 {
            throw LoadGeneratorError(.usage, "max tokens", "\(maxTokens) is not at least 1")
        }
        if let field = Self.reserved.first(where: { extraBody[$0] != nil }) {
            throw LoadGeneratorError(.usage, "extra body", "\"\(field)\" is set by the load generator itself")
        }
        self.model = model
        self.maxTokens = maxTokens
        self.extraBody = extraBody
        self.continuousUsage = continuousUsage
    }

    /// The request for one prompt in one mode. Greedy sampling unless the extra fields say otherwise.
    public func request(for prompt: Prompt, variant: RequestVariant) -> PreparedRequest {
        var fields: [String: JSONValue] = [
            "model": .string(model),
            "max_tokens": .integer(Int64(maxTokens ?? prompt.maxTokens ?? Self.defaultMaxTokens)),
            "temperature": .integer(0),
            "stream": .bool(true),
            "stream_options": .object(
                continuousUsage
                    ? ["include_usage": .bool(true), "continuous_usage_stats": .bool(true)]
                    : ["include_usage": .bool(true)]),
        ]
        let endpoint: String
        switch prompt.content {
        case .text(let text):
            fields["prompt"] = .string(text)
            endpoint = "/v1/completions"
        case .messages(let messages):
            fields["messages"] = .array(messages)
            endpoint = "/v1/chat/completions"
        }
        let body = JSONValue.object(JSONValue.merged(JSONValue.merged(fields, extraBody), variant.extraBody))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // The fields came from JSON or are made here; with this no number is left that JSON could not hold.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        let bytes = (try? encoder.encode(body)) ?? Data()
        return PreparedRequest(endpoint: endpoint, body: Array(bytes), expected: prompt.expected)
    }
}

/// A request ready to send: nothing is left to compute when its time comes.
public struct PreparedRequest: Sendable, Equatable {
    /// The path under the server's address.
    public let endpoint: String
    /// The JSON body.
    public let body: [UInt8]
    /// The right answer, where it is known.
    public let expected: String?
}
