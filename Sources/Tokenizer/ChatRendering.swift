// Runs a model's template over a conversation.

internal import Checkpoint
internal import Jinja

extension ChatTemplate {
    /// What stands at the end of a message that is to go on, to find out where it ends.
    private static let endMark = "CONTINUE_FINAL_MESSAGE_TAG "

    /// Names of the template's variables that have a place of their own in a conversation.
    private static let reserved: Set<String> = [
        "messages", "tools", "documents", "add_generation_prompt", "chat_template",
    ]

    /// The text of a conversation and whose words it is; of `longest` bytes at most.
    func render(_ conversation: Conversation, clock: Clock, longest: Int) throws(TokenizerError) -> Text {
        guard !conversation.messages.isEmpty else {
            throw .chat("messages", "is empty", fix: "send at least one message")
        }
        if let name = conversation.arguments.map(\.key).first(where: Self.reserved.contains) {
            throw .chat("chat_template_kwargs.\(name)", "is given by the request itself", fix: "leave it out")
        }
        guard !(conversation.continuesFinalMessage && conversation.addsGenerationPrompt) else {
            throw .chat(
                "continue_final_message", "contradicts add_generation_prompt", fix: "send one of them")
        }
        let variant = try variant(withTools: conversation.tools != nil)
        var messages = conversation.messages.map { $0.normalized.adapted(to: variant.contentForm) }
        if !variant.namesDeveloper {
            // A template that does not know the newer name for it would leave the message out.
            for index in messages.indices where messages[index].role == "developer" {
                messages[index].set("role", .text("system"))
            }
        }
        if conversation.continuesFinalMessage { try Self.mark(&messages[messages.count - 1]) }
        let text: Text
        do throws(TemplateError) {
            text = try variant.template.render(
                try variables(conversation, messages), clock: clock, limits: Limits(textBytes: longest))
        } catch {
            throw Self.failure(error)
        }
        return conversation.continuesFinalMessage ? try Self.cut(text, conversation) : text
    }

    private func variables(
        _ conversation: Conversation, _ messages: [ChatMessage]
    ) throws(TemplateError) -> [(String, Value)] {
        func list(_ items: [JSON]?, _ owner: UInt32) throws(TemplateError) -> Value {
            guard let items else { return .none }
            return try JSON.array(items).value(owner: owner)
        }
        var values: [Value] = []
        for (index, message) in messages.enumerated() {
            values.append(try message.value(owner: ChatOwner.message(index)))
        }
        var variables = ChatVariables.special(specialTokens)
        variables += [
            ("messages", try .array(values)), ("tools", try list(conversation.tools, ChatOwner.tools)),
            ("documents", try list(conversation.documents, ChatOwner.documents)),
            ("add_generation_prompt", .boolean(conversation.addsGenerationPrompt)),
        ]
        for (name, value) in conversation.arguments {
            variables.append((name, try value.value(owner: ChatOwner.arguments)))
        }
        return variables
    }

    private static func failure(_ error: TemplateError) -> TokenizerError {
        switch error.kind {
        case .raised: .chat("chat_template", "the model's template refuses it: \(error.message)")
        case .limit: .chat("chat_template", "\(error)", fix: "send a shorter conversation")
        default:
            .chat(
                "chat_template", "the model's template fails: \(error)",
                fix: "the template does not know a conversation of this form")
        }
    }

    // MARK: Going on with the last message

    /// Puts the end mark behind the last message's words.
    private static func mark(_ message: inout ChatMessage) throws(TokenizerError) {
        let mark = Array(endMark.utf8)
        switch message["content"] {
        case .string(let text)?: message.set("content", .string(text + mark))
        case .array(var parts)?:
            guard let last = parts.lastIndex(where: { $0["text"]?.bytes != nil }),
                case .object(var members) = parts[last],
                let place = members.lastIndex(where: { $0.key.elementsEqual("text".utf8) }),
                case .string(let text) = members[place].value
            else { fallthrough }
            members[place].value = .string(text + mark)
            parts[last] = .object(members)
            message.set("content", .array(parts))
        default:
            throw .chat(
                "continue_final_message", "the last message has no content to go on with",
                fix: "give it content, or leave the field out")
        }
    }

    /// The text up to the end mark. A mark that lost its space stood at the end of words that were trimmed, which then
    /// are trimmed too, as transformers does it.
    private static func cut(_ text: Text, _ conversation: Conversation) throws(TokenizerError) -> Text {
        let owner = ChatOwner.message(conversation.messages.count - 1)
        guard let open = text.beforeLast(endMark, of: owner), lastWords(conversation).map(open.holds) ?? true else {
            throw .chat(
                "continue_final_message", "the model's template changes or leaves out the end of the last message",
                fix: "leave the field out")
        }
        return open
    }

    /// The last of the words that are to be gone on with.
    private static func lastWords(_ conversation: Conversation) -> [UInt8]? {
        let content = conversation.messages.last?["content"]
        return content?.bytes ?? content?.array?.last { $0["text"]?.bytes != nil }?["text"]?.bytes
    }
}
