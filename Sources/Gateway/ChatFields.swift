// The body of POST /v1/chat/completions.

import Checkpoint
import OutsideText
import Tokenizer

/// A conversation, and how to answer it.
struct ChatFields: Decodable, Sendable {
    var asked: ConversationFields
    var answer: AnswerFields
    var maxTokens: Int?
    /// Log-probabilities to report per token besides the chosen one's; `nil`: report none.
    var logProbabilities: Int?

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, called: "The request body")
        answer = try AnswerFields(
            fields, own: ConversationFields.names.union(["max_completion_tokens", "top_logprobs"]))
        maxTokens = try AnswerFields.maxTokens(fields, names: ["max_completion_tokens", "max_tokens"])
        logProbabilities = try Self.logProbabilities(fields)
        asked = try ConversationFields(fields, decoder)
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

    /// One message, checked. Its values are read where the order of their members is kept.
    struct Message: Decodable, Sendable {
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
            if fields.has("function_call") {
                throw APIError.invalid(
                    fields.place("function_call"),
                    "'\(fields.place("function_call"))' is not supported: send 'tool_calls'.",
                    code: "unsupported_field")
            }
            let calls: [ToolCall] = try fields.value("tool_calls", expected: "an array of tool calls") ?? []
            let hasReasoning = ["reasoning_content", "reasoning"].contains(where: fields.has)
            try Self.checkContent(fields, isOptional: role == "assistant" && (!calls.isEmpty || hasReasoning))
        }

        private static func checkContent(_ fields: Fields, isOptional: Bool) throws {
            let place = fields.place("content")
            guard fields.has("content") else {
                if isOptional { return }
                throw APIError.invalid(place, "'\(place)' is missing.")
            }
            if (try? fields.string("content")) != nil { return }
            _ = try fields.value("content", as: [Part].self, expected: "a string or an array of text parts")
        }

        /// A call that the assistant made: `{"function": {"name": ..., "arguments": ...}}`.
        private struct ToolCall: Decodable {
            init(from decoder: any Decoder) throws {
                let fields = try Fields(decoder, called: "tool_calls")
                let function: Function? = try fields.value("function", expected: "an object")
                guard function != nil else {
                    throw APIError.invalid(fields.place("function"), "'\(fields.place("function"))' is missing.")
                }
            }

            private struct Function: Decodable {
                init(from decoder: any Decoder) throws {
                    let fields = try Fields(decoder, called: "function")
                    guard try fields.string("name") != nil else {
                        throw APIError.invalid(fields.place("name"), "'\(fields.place("name"))' is missing.")
                    }
                    // A string holds the JSON of an object, which templates get as an object.
                    guard let text = try? fields.string("arguments") else { return }
                    guard text.isEmpty || JSONParser.parse(Array(text.utf8))?.object != nil else {
                        throw APIError.invalid(
                            fields.place("arguments"), "'\(fields.place("arguments"))' must be the JSON of an object.")
                    }
                }
            }
        }

        private struct Part: Decodable {
            init(from decoder: any Decoder) throws {
                let fields = try Fields(decoder, called: "content")
                let type = try fields.string("type") ?? "text"
                guard type == "text" else {
                    throw APIError.invalid(
                        fields.place("type"),
                        "'\(fields.place("type"))' is \"\(type.shown)\"; only \"text\" parts are supported.",
                        code: "unsupported_field")
                }
                guard try fields.string("text") != nil else {
                    throw APIError.invalid(fields.place("text"), "'\(fields.place("text"))' is missing.")
                }
            }
        }
    }
}

extension Conversation {
    /// Which messages are kept whole when the prompt is pruned: what says how to behave, or what a tool found out.
    var protectedMessages: [Int] {
        messages.indices.filter { ["system", "developer", "tool"].contains(messages[$0].role) }
    }
}
