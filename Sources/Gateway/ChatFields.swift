// The body of POST /v1/chat/completions.

import OutsideText
import Tokenizer

/// A conversation, and how to answer it.
struct ChatFields: Decodable, Sendable {
    var messages: [Message]
    var answer: AnswerFields
    var maxTokens: Int?
    /// Log-probabilities to report per token besides the chosen one's; `nil`: report none.
    var logProbabilities: Int?

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, called: "The request body")
        answer = try AnswerFields(fields, own: ["messages", "max_completion_tokens", "top_logprobs"])
        maxTokens = try AnswerFields.maxTokens(fields, names: ["max_completion_tokens", "max_tokens"])
        logProbabilities = try Self.logProbabilities(fields)
        messages = try fields.value("messages", expected: "an array of messages") ?? []
        guard !messages.isEmpty else {
            throw APIError.invalid("messages", "'messages' is missing or empty: send at least one message.")
        }
    }

    private static func logProbabilities(_ fields: Fields) throws -> Int? {
        let wanted = try fields.boolean("logprobs") ?? false
        guard let count = try fields.integer("top_logprobs") else { return wanted ? 0 : nil }
        guard wanted else {
            throw APIError.invalid("top_logprobs", "'top_logprobs' has a meaning only when 'logprobs' is true.")
        }
        guard (0...20).contains(count) else {
            throw APIError.invalid("top_logprobs", "'top_logprobs' is \(count); allowed is 0 to 20.")
        }
        return count
    }

    /// One message, its parts joined.
    struct Message: Decodable, Equatable, Sendable {
        var role: String
        var content: String

        /// What says how to behave, or what a tool found out, is kept whole when the prompt is pruned.
        var isProtected: Bool { ["system", "developer", "tool"].contains(role) }

        private static let roles: Set<String> = ["system", "developer", "user", "assistant", "tool"]

        init(from decoder: any Decoder) throws {
            let fields = try Fields(decoder, called: "messages")
            let place = fields.place("role")
            guard let role = try fields.string("role") else {
                throw APIError.invalid(place, "'\(place)' is missing.")
            }
            guard Self.roles.contains(role) else {
                let known = Self.roles.sorted().joined(separator: ", ")
                throw APIError.invalid(place, "'\(place)' is \"\(role.shown)\"; known are \(known).")
            }
            self.role = role
            for calls in ["tool_calls", "function_call"] where fields.has(calls) {
                throw APIError.invalid(
                    fields.place(calls), "'\(fields.place(calls))': tool calls are not supported.",
                    code: "unsupported_field")
            }
            content = try Self.content(fields)
        }

        private static func content(_ fields: Fields) throws -> String {
            let place = fields.place("content")
            guard fields.has("content") else {
                throw APIError.invalid(place, "'\(place)' is missing.")
            }
            if let text = try? fields.string("content") { return text }
            let parts: [Part]? = try fields.value("content", expected: "a string or an array of text parts")
            return (parts ?? []).map(\.text).joined(separator: "\n")
        }

        private struct Part: Decodable {
            var text: String

            init(from decoder: any Decoder) throws {
                let fields = try Fields(decoder, called: "content")
                let type = try fields.string("type") ?? "text"
                guard type == "text" else {
                    throw APIError.invalid(
                        fields.place("type"),
                        "'\(fields.place("type"))' is \"\(type.shown)\"; only \"text\" parts are supported.",
                        code: "unsupported_field")
                }
                guard let text = try fields.string("text") else {
                    throw APIError.invalid(fields.place("text"), "'\(fields.place("text"))' is missing.")
                }
                self.text = text
            }
        }
    }
}
