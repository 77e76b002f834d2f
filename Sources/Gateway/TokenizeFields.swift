// The body of POST /tokenize, as vLLM has it.

import Coordinator
import Tokenizer

/// A text or a conversation to count the tokens of.
struct TokenizeFields: Decodable, Sendable {
    enum Source: Sendable {
        case text(String, addSpecialTokens: Bool)
        case chat(ConversationFields)
    }

    /// `nil`: whichever is served.
    var model: String?
    var source: Source

    private static let names: Set<String> = ConversationFields.names.subtracting(["tool_choice"]).union([
        "model", "prompt", "add_special_tokens",
    ])
    /// Fields of vLLM's that are taken with the value that says what happens anyway.
    private static let fixed: [String: Bool] = ["return_token_strs": false]

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder, called: "The request body")
        try fields.refuseUnknown(Self.names.union(Self.fixed.keys))
        for (name, value) in Self.fixed.sorted(by: { $0.key < $1.key }) {
            if let found = try fields.boolean(name), found != value { throw Self.unsupported(name, send: value) }
        }
        model = try fields.string("model")
        let addSpecialTokens = try fields.boolean("add_special_tokens")
        switch (try fields.string("prompt"), fields.has("messages")) {
        case (let text?, false):
            for name in ["tools", "documents", "chat_template_kwargs", "continue_final_message"] where fields.has(name)
            {
                throw APIError.invalid(name, "'\(name)' has a meaning only with 'messages'.")
            }
            source = .text(text, addSpecialTokens: addSpecialTokens ?? true)
        case (nil, true):
            // A conversation's special tokens are those of its template, and no others.
            if addSpecialTokens == true { throw Self.unsupported("add_special_tokens", send: false) }
            source = .chat(try ConversationFields(fields, decoder))
        case (nil, false):
            throw APIError.invalid("prompt", "'prompt' is missing: send a text as 'prompt', or 'messages'.")
        case (_?, true):
            throw APIError.invalid("messages", "'prompt' and 'messages' are both there: send one of them.")
        }
    }

    private static func unsupported(_ name: String, send value: Bool) -> APIError {
        .invalid(
            name, "'\(name)' is not supported with this value: leave it out or send \(value).",
            code: "unsupported_field")
    }

    /// The tokens that a request with the same text or conversation would have.
    func tokens(for service: any GenerationService) throws(APIError) -> [Int32] {
        if let model { try Call.checkModel(model, service) }
        switch source {
        case .text(let text, let addSpecialTokens):
            try PromptBounds.check(bytes: text.utf8.count, field: "prompt", for: service)
            return service.tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
        case .chat(let asked): return try Call.rendered(asked, service).tokens
        }
    }
}

/// The answer to it.
struct TokenizeBody: Encodable, Sendable {
    var count: Int
    /// The most tokens prompt and answer may have together.
    var contextLength: Int
    var tokens: [Int32]

    enum CodingKeys: String, CodingKey {
        case count
        case contextLength = "max_model_len"
        case tokens
    }
}
