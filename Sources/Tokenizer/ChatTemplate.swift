// The known ways of writing a conversation, recognised from a model's template.

internal import Foundation

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// "system" (or "developer"), "user", "assistant" or "tool".
    public var role: String
    /// What was said.
    public var content: String

    /// A message.
    public init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}

/// How a model wants conversations written.
///
/// Models describe this by a jinja program. It is not run: the families that most open models use are recognised by
/// the marks they write, and rendered by code that gives the same text.
public struct ChatTemplate: Sendable, Equatable {
    /// The families that are known.
    public enum Family: String, Sendable, CaseIterable {
        /// `<|start_header_id|>user<|end_header_id|>`, blank line, text, `<|eot_id|>`.
        case llama3
        /// `<|im_start|>user`, line break, text, `<|im_end|>`.
        case chatML
        /// `[INST] text [/INST]`, the system message between `<<SYS>>` and `<</SYS>>` in the first user message.
        case llama2
        /// No template (base models): the contents of the messages, a line break between two; roles are not written.
        case plain
    }

    /// The family.
    public let family: Family
    /// A BOS token goes first.
    let hasBOS: Bool
    /// ChatML: the system message written when there is none.
    let defaultSystem: String?
    /// Llama 3.1 and later: the system message says when the model's knowledge ends and what day it is.
    let isDated: Bool
    /// ChatML: tool messages are user messages with the content between `<tool_response>` marks.
    let wrapsToolResponses: Bool

    /// Recognises a template; nil stands for a model without one.
    init(_ jinja: String?, path: String) throws(TokenizerError) {
        guard let jinja, jinja.contains(where: { !$0.isWhitespace }) else {
            self.init(family: .plain, hasBOS: true)
            return
        }
        if jinja.contains("<|start_header_id|>") {
            // Llama 3's own template names BOS, or writes it itself.
            self.init(
                family: .llama3, hasBOS: jinja.contains("bos_token") || jinja.contains("<|begin_of_text|>"),
                isDated: jinja.contains("Cutting Knowledge Date"))
        } else if jinja.contains("<|im_start|>"), !jinja.contains("<|im_sep|>") {
            self.init(
                family: .chatML, hasBOS: jinja.contains("bos_token"), defaultSystem: Self.defaultSystem(in: jinja),
                wrapsToolResponses: jinja.contains("<tool_response>"))
        } else if jinja.contains("[INST]"), jinja.contains("<<SYS>>") {
            self.init(family: .llama2, hasBOS: true)
        } else {
            let found =
                jinja.contains("[INST]")
                ? "[INST] without <<SYS>>, as Mistral's models have it"
                : jinja.contains("<|im_sep|>") ? "<|im_sep|>, as Phi 4 has it" : "none of their marks"
            throw TokenizerError(
                path: path, place: "chat_template",
                problem: "is none of the known ones: Llama 3 (<|start_header_id|>), ChatML (<|im_start|>), "
                    + "Llama 2 ([INST] with <<SYS>>); it has \(found)",
                fix: "send the rendered conversation as a plain completion instead")
        }
    }

    private init(
        family: Family, hasBOS: Bool, defaultSystem: String? = nil, isDated: Bool = false,
        wrapsToolResponses: Bool = false
    ) {
        self.family = family
        self.hasBOS = hasBOS
        self.defaultSystem = defaultSystem
        self.isDated = isDated
        self.wrapsToolResponses = wrapsToolResponses
    }

    /// The marks it writes, which are tokens where the vocabulary has them and which no message can write.
    var marks: [String] {
        switch family {
        case .llama3: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
        case .chatML: ["<|im_start|>", "<|im_end|>"]
        case .llama2: ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"]
        case .plain: []
        }
    }

    /// The system message that a ChatML template writes out in full between its marks.
    private static func defaultSystem(in jinja: String) -> String? {
        let start = "<|im_start|>system"
        for piece in jinja.components(separatedBy: start).dropFirst() {
            // The line break is written as it is or as the escape \n.
            let rest = piece.hasPrefix("\\n") ? piece.dropFirst(2) : piece.hasPrefix("\n") ? piece.dropFirst() : ""
            guard let end = rest.range(of: "<|im_end|>") else { continue }
            let text = rest[..<end.lowerBound]
            if !text.isEmpty, !text.contains(where: { "'\"{}".contains($0) }) {
                return text.replacingOccurrences(of: "\\n", with: "\n")
            }
        }
        return nil
    }
}
