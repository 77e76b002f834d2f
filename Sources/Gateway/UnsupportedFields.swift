// Fields of OpenAI's API (and of its popular servers) that Winnow does not implement.

/// A field that would change the answer is refused unless it says what happens anyway; one that would not is ignored.
enum UnsupportedFields {
    /// Fields with no bearing on the answer.
    static let ignored: Set<String> = [
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        "prediction", "parallel_tool_calls",
    ]

    /// The value at which a field asks for nothing special.
    enum Neutral {
        case number(Double)
        case boolean(Bool)
        /// One of these strings.
        case text(Set<String>)
        case empty
        /// An array of exactly these strings.
        case list([String])
        /// An object whose `type` is this.
        case type(String)
        case absent
    }

    static let neutral: [String: Neutral] = [
        "suffix": .text([""]), "echo": .boolean(false),
        "presence_penalty": .number(0), "frequency_penalty": .number(0), "repetition_penalty": .number(1),
        "length_penalty": .number(1), "min_tokens": .number(0), "logit_bias": .empty, "stop_token_ids": .empty,
        "tools": .empty, "tool_choice": .text(["none", "auto"]), "functions": .empty,
        "function_call": .text(["none", "auto"]), "response_format": .type("text"), "modalities": .list(["text"]),
        "audio": .absent, "reasoning_effort": .text(["none"]), "verbosity": .absent, "web_search_options": .absent,
        "use_beam_search": .boolean(false), "skip_special_tokens": .boolean(true),
        "spaces_between_special_tokens": .boolean(true), "include_stop_str_in_output": .boolean(false),
        "add_special_tokens": .boolean(false), "add_generation_prompt": .boolean(true),
        "continue_final_message": .boolean(false), "guided_json": .absent, "guided_regex": .absent,
        "guided_choice": .absent, "guided_grammar": .absent, "chat_template": .absent, "chat_template_kwargs": .empty,
    ]

    /// Throws for the first field that asks for something Winnow does not do. `own`: what the endpoint reads itself.
    static func refuse(in fields: Fields, except own: Set<String>) throws {
        for name in fields.names where fields.has(name) && !own.contains(name) {
            guard let value = neutral[name], !isNeutral(name, value, fields) else { continue }
            throw APIError.invalid(
                name, "'\(name)' is not supported with this value: \(advice(value)).", code: "unsupported_field")
        }
    }

    private static func isNeutral(_ name: String, _ neutral: Neutral, _ fields: Fields) -> Bool {
        switch neutral {
        case .number(let value): (try? fields.number(name)) == value
        case .boolean(let value): (try? fields.boolean(name)) == value
        case .text(let values): (try? fields.string(name)).flatMap { $0 }.map(values.contains) ?? false
        case .list(let values): (try? fields.value(name, as: [String].self, expected: "")) == values
        case .empty: (try? fields.value(name, as: Emptiness.self, expected: ""))?.isEmpty ?? false
        case .type(let value): (try? fields.value(name, as: TypeOnly.self, expected: ""))?.type == value
        case .absent: false
        }
    }

    private static func advice(_ neutral: Neutral) -> String {
        switch neutral {
        case .number(let value): "leave it out or send \(Int(value))"
        case .boolean(let value): "leave it out or send \(value)"
        case .text(let values):
            "leave it out or send " + values.sorted().map { "\"\($0)\"" }.joined(separator: " or ")
        case .list(let values): "leave it out or send \(values)"
        case .empty: "leave it out or send it empty"
        case .type(let value): "leave it out or send {\"type\": \"\(value)\"}"
        case .absent: "leave it out"
        }
    }

    private struct Emptiness: Decodable {
        var isEmpty: Bool
        init(from decoder: any Decoder) throws {
            if let list = try? decoder.unkeyedContainer() {
                isEmpty = list.isAtEnd
            } else {
                isEmpty = try decoder.container(keyedBy: FieldName.self).allKeys.isEmpty
            }
        }
    }

    private struct TypeOnly: Decodable { var type: String }
}
