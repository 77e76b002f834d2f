// Writes conversations in a family's form.

internal import Foundation

/// A conversation as parts: marks that may be tokens, text, and where messages begin.
struct ChatScript {
    enum Part: Equatable {
        /// The beginning of a message, or after the last one, of the generation prompt.
        case boundary
        /// What the tokenizer puts before any text.
        case prefix
        /// The BOS token.
        case bos
        /// The EOS token.
        case eos
        /// A mark of the template: one token where the vocabulary has it.
        case mark(String)
        /// Text, the template's or a message's.
        case text(String)
    }

    private(set) var parts: [Part] = []

    /// Writes `messages` with a generation prompt behind them; the error names the message that cannot be written.
    init(_ messages: [ChatMessage], template: ChatTemplate) throws(TokenizerError) {
        guard !messages.isEmpty else { throw Self.error("messages", "is empty", fix: "send at least one message") }
        var messages = messages
        for index in messages.indices {
            switch messages[index].role {
            case "system", "user", "assistant", "tool": break
            case "developer": messages[index].role = "system"
            case let other:
                throw Self.error(
                    "messages[\(index)].role", "\"\(other)\" is unknown", fix: "use system, user, assistant or tool")
            }
        }
        switch template.family {
        case .llama3: writeLlama3(messages, isDated: template.isDated, hasBOS: template.hasBOS)
        case .chatML: writeChatML(messages, template)
        case .llama2: try writeLlama2(messages)
        case .plain: writePlain(messages)
        }
    }

    private static func error(_ place: String, _ problem: String, fix: String) -> TokenizerError {
        TokenizerError(path: "chat", place: place, problem: problem, fix: fix)
    }

    /// `text` without white space at its end and, unless told otherwise, at its front: what jinja's `trim` takes away.
    private static func trimmed(_ text: String, front: Bool = true) -> String {
        func isSpace(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
        }
        var scalars = text.unicodeScalars[...]
        while front, let first = scalars.first, isSpace(first) { scalars.removeFirst() }
        while let last = scalars.last, isSpace(last) { scalars.removeLast() }
        return String(scalars)
    }

    // MARK: Llama 3

    private mutating func writeLlama3(_ messages: [ChatMessage], isDated: Bool, hasBOS: Bool) {
        if hasBOS { parts.append(.bos) }
        // The template's own default day: the same prompt gives the same tokens on any day.
        let dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
        if isDated, messages[0].role != "system" {
            writeHeader("system")
            parts += [.text(dates), .mark("<|eot_id|>")]
        }
        for (index, message) in messages.enumerated() {
            parts.append(.boundary)
            writeHeader(message.role == "tool" ? "ipython" : message.role)
            if isDated, index == 0, message.role == "system" { parts.append(.text(dates)) }
            let isQuoted = isDated && message.role == "tool"
            parts.append(.text(isQuoted ? Self.jsonQuoted(message.content) : Self.trimmed(message.content)))
            parts.append(.mark("<|eot_id|>"))
        }
        parts.append(.boundary)
        writeHeader("assistant")
    }

    private mutating func writeHeader(_ role: String) {
        parts += [.mark("<|start_header_id|>"), .text(role), .mark("<|end_header_id|>"), .text("\n\n")]
    }

    /// Llama 3.1's template writes tool results as JSON strings.
    private static func jsonQuoted(_ text: String) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        guard let data = try? encoder.encode(text) else { return text }
        return String(decoding: data, as: UTF8.self)
    }

    // MARK: ChatML

    private mutating func writeChatML(_ messages: [ChatMessage], _ template: ChatTemplate) {
        if template.hasBOS { parts.append(.bos) }
        if let system = template.defaultSystem, messages[0].role != "system" {
            parts += [.mark("<|im_start|>"), .text("system\n" + system), .mark("<|im_end|>"), .text("\n")]
        }
        for (index, message) in messages.enumerated() {
            parts.append(.boundary)
            guard message.role == "tool", template.wrapsToolResponses else {
                parts += [
                    .mark("<|im_start|>"), .text("\(message.role)\n\(message.content)"), .mark("<|im_end|>"),
                    .text("\n"),
                ]
                continue
            }
            // Tool messages in a row share one user message.
            if index == 0 || messages[index - 1].role != "tool" { parts += [.mark("<|im_start|>"), .text("user")] }
            parts.append(.text("\n<tool_response>\n\(message.content)\n</tool_response>"))
            if index == messages.count - 1 || messages[index + 1].role != "tool" {
                parts += [.mark("<|im_end|>"), .text("\n")]
            }
        }
        parts += [.boundary, .mark("<|im_start|>"), .text("assistant\n")]
    }

    // MARK: Llama 2

    private mutating func writeLlama2(_ messages: [ChatMessage]) throws(TokenizerError) {
        let hasSystem = messages[0].role == "system"
        guard !hasSystem || messages.count > 1 else {
            throw Self.error(
                "messages", "a system message alone",
                fix: "add a user message: Llama 2 writes the system message inside it")
        }
        for (index, message) in messages.enumerated().dropFirst(hasSystem ? 1 : 0) {
            let isUserTurn = (index - (hasSystem ? 1 : 0)) % 2 == 0
            guard message.role == (isUserTurn ? "user" : "assistant") else {
                throw Self.error(
                    "messages[\(index)].role", "expected \(isUserTurn ? "user" : "assistant"), found \(message.role)",
                    fix: "Llama 2 wants user and assistant in turns, after at most one system message")
            }
            if isUserTurn {
                if hasSystem, index == 1 {
                    parts += [.boundary, .bos, .mark("[INST]"), .text(" ")]
                    // The template trims system and user message as one text.
                    let system = "<<SYS>>\n\(messages[0].content)\n<</SYS>>\n\n"
                    parts += [.text(system), .boundary, .text(Self.trimmed(message.content, front: false))]
                } else {
                    parts += [.boundary, .bos, .mark("[INST]"), .text(" "), .text(Self.trimmed(message.content))]
                }
                parts += [.text(" "), .mark("[/INST]")]
            } else {
                parts += [.boundary, .text(" \(Self.trimmed(message.content)) "), .eos]
            }
        }
        parts.append(.boundary)
    }

    // MARK: Plain

    private mutating func writePlain(_ messages: [ChatMessage]) {
        parts.append(.prefix)
        for (index, message) in messages.enumerated() {
            parts += [.boundary, .text(index == 0 ? message.content : "\n" + message.content)]
        }
        parts.append(.boundary)
    }
}
