// What a client sends to be written in a model's form.

package import Checkpoint

/// One message of a conversation.
public struct ChatMessage: Sendable {
    /// Its members, `role` among them, in the client's order.
    package var members: [(key: String, value: JSON)]

    /// A message with members of any kind: `role`, `content`, `tool_calls` and whatever else a template may know.
    package init(members: [(key: String, value: JSON)]) {
        self.members = members
    }

    /// A message of words.
    public init(role: String, content: String) {
        self.init(members: [("role", .text(role)), ("content", .text(content))])
    }

    /// A member; nil where there is none, or `null`.
    package subscript(name: String) -> JSON? {
        guard let value = members.last(where: { $0.key == name })?.value else { return nil }
        if case .null = value { return nil }
        return value
    }

    /// Who speaks.
    public var role: String { self["role"]?.text ?? "" }
}

/// A conversation and how it is to be written.
public struct Conversation: Sendable {
    /// The messages, at least one.
    public var messages: [ChatMessage]
    /// Definitions of tools, each an object; nil where there are none.
    package var tools: [JSON]?
    /// Documents to answer from, each an object; nil where there are none.
    package var documents: [JSON]?
    /// Further variables of the template, such as `enable_thinking`.
    package var arguments: [(key: String, value: JSON)]
    /// The header of the assistant's answer goes behind the last message.
    public var addsGenerationPrompt: Bool
    /// The last message is left open, for the model to go on with.
    public var continuesFinalMessage: Bool

    /// Messages, by default with the header of the answer behind them.
    public init(_ messages: [ChatMessage], addsGenerationPrompt: Bool = true, continuesFinalMessage: Bool = false) {
        self.messages = messages
        arguments = []
        self.addsGenerationPrompt = addsGenerationPrompt
        self.continuesFinalMessage = continuesFinalMessage
    }

    /// Messages with what else a template may be given.
    package init(
        _ messages: [ChatMessage], tools: [JSON]? = nil, documents: [JSON]? = nil,
        arguments: [(key: String, value: JSON)] = [], addsGenerationPrompt: Bool = true
    ) {
        self.init(messages, addsGenerationPrompt: addsGenerationPrompt)
        self.tools = tools
        self.documents = documents
        self.arguments = arguments
    }
}

extension TokenizerError {
    /// What is wrong with a conversation.
    static func chat(_ place: String, _ problem: String, fix: String? = nil) -> TokenizerError {
        TokenizerError(path: "chat", place: place, problem: problem, fix: fix)
    }
}
