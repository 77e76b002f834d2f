// What a request says about a conversation: messages, tools, and how the model's template is to write them.

import Checkpoint
import Foundation
import Tokenizer

/// The fields that chats and `/tokenize` share.
struct ConversationFields: Sendable {
    static let names: Set<String> = [
        "messages", "tools", "tool_choice", "documents", "chat_template_kwargs", "add_generation_prompt",
        "continue_final_message",
    ]

    var conversation: Conversation
    /// The most bytes that may be written of it.
    var renderedBytes: Int

    /// Reads the fields; the error names the place. Objects keep the client's order, because templates write them out.
    init(_ fields: Fields, _ decoder: any Decoder) throws {
        // The decoder checks and names what is wrong; it loses the order of members, which the second reading keeps.
        let messages: [ChatFields.Message] = try fields.value("messages", expected: "an array of messages") ?? []
        guard !messages.isEmpty else {
            throw APIError.invalid("messages", "'messages' is missing or empty: send at least one message.")
        }
        let data = decoder.userInfo[.requestBody] as? Data ?? Data()
        renderedBytes = PromptBounds.renderedBytes(body: data.count)
        let body = try Self.body(data)
        let tools = try Self.tools(fields, body)
        conversation = Conversation(
            (body["messages"]?.array ?? []).map { message in
                ChatMessage(
                    members: (message.object ?? []).map { (String(decoding: $0.key, as: UTF8.self), $0.value) })
            },
            tools: tools, documents: try Self.objects("documents", fields, body),
            arguments: try Self.arguments(fields, body))
        let continues = try fields.boolean("continue_final_message") ?? false
        let adds = try fields.boolean("add_generation_prompt")
        guard !(continues && adds == true) else {
            throw APIError.invalid(
                "continue_final_message",
                "'continue_final_message' and 'add_generation_prompt' are both true: send one of them.")
        }
        conversation.continuesFinalMessage = continues
        conversation.addsGenerationPrompt = adds ?? !continues
    }

    /// The whole body, its objects in order.
    private static func body(_ data: Data) throws -> JSON {
        do {
            return try data.withUnsafeBytes { bytes in try JSONParser.parse(bytes) }
        } catch let fault as JSONParser.Fault {
            throw APIError.invalid(
                nil, "The request body is not usable JSON: \(fault.problem) at byte \(fault.offset).",
                code: "invalid_json")
        }
    }

    private static func tools(_ fields: Fields, _ body: JSON) throws -> [JSON]? {
        let choice = try? fields.string("tool_choice")
        guard !fields.has("tool_choice") || choice == "auto" || choice == "none" else {
            throw APIError.invalid(
                "tool_choice",
                "'tool_choice' is not supported with this value: the model is told of the tools and decides itself. Leave it out or send \"auto\" or \"none\".",
                code: "unsupported_field")
        }
        let checked: [Tool] = try fields.value("tools", expected: "an array of tools") ?? []
        // Who forbids calls wants no word of tools in the prompt.
        return checked.isEmpty || choice == "none" ? nil : body["tools"]?.array
    }

    private static func objects(
        _ name: String, _ fields: Fields, _ body: JSON
    ) throws -> [JSON]? {
        guard fields.has(name) else { return nil }
        guard let list = body[name]?.array else {
            throw APIError.wrongType(name, expected: "an array of objects", found: fields.kind(name))
        }
        if let index = list.firstIndex(where: { $0.object == nil }) {
            throw APIError.invalid("\(name)[\(index)]", "'\(name)[\(index)]' must be an object.", code: "invalid_type")
        }
        return list.isEmpty ? nil : list
    }

    private static func arguments(
        _ fields: Fields, _ body: JSON
    ) throws -> [(key: String, value: JSON)] {
        let name = "chat_template_kwargs"
        guard fields.has(name) else { return [] }
        guard let members = body[name]?.object else {
            throw APIError.wrongType(name, expected: "an object", found: fields.kind(name))
        }
        return members.map { (String(decoding: $0.key, as: UTF8.self), $0.value) }
    }

    /// A tool as OpenAI's API has it, as far as anybody must have it right.
    private struct Tool: Decodable {
        init(from decoder: any Decoder) throws {
            let fields = try Fields(decoder, called: "tools")
            guard let type = try fields.string("type"), type == "function" else {
                throw APIError.invalid(fields.place("type"), "'\(fields.place("type"))' must be \"function\".")
            }
            let function: Function? = try fields.value("function", expected: "an object")
            guard function != nil else {
                throw APIError.invalid(fields.place("function"), "'\(fields.place("function"))' is missing.")
            }
        }

        private struct Function: Decodable {
            init(from decoder: any Decoder) throws {
                let fields = try Fields(decoder, called: "function")
                guard let name = try fields.string("name"), !name.isEmpty else {
                    throw APIError.invalid(fields.place("name"), "'\(fields.place("name"))' is missing.")
                }
            }
        }
    }
}

extension CodingUserInfoKey {
    // A constant spelling, so it cannot be nil.
    /// The bytes that are decoded.
    static let requestBody = CodingUserInfoKey(rawValue: "requestBody")!
}
