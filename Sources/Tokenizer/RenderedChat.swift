// From a conversation to tokens, with the place of every message.

/// A conversation as the model is to read it.
public struct RenderedChat: Sendable, Equatable {
    /// The tokens, generation prompt included.
    public var tokens: [Int32]
    /// For each message, in order, the tokens of its text with its header and end mark; what the template adds of
    /// itself (BOS, a default system message, the generation prompt) belongs to none. A token that two messages
    /// share belongs to the first.
    public var messageSpans: [Range<Int>]

    /// A rendered conversation.
    public init(tokens: [Int32], messageSpans: [Range<Int>]) {
        self.tokens = tokens
        self.messageSpans = messageSpans
    }
}

extension Tokenizer {
    /// Writes a conversation in the model's form, with the prompt for the assistant's answer behind it.
    ///
    /// What messages contain is text and nothing else: special tokens and the template's marks in them are not parsed.
    /// Throws when the model's template is unknown, a role is unknown or the roles come in an order that the model
    /// does not know.
    public func encode(chat messages: [ChatMessage]) throws(TokenizerError) -> RenderedChat {
        let script = try ChatScript(messages, template: try chatTemplate.get())
        var writer = ChatWriter(tokenizer: self)
        for part in script.parts { writer.write(part) }
        writer.flush()
        let bounds = writer.boundaries
        return RenderedChat(
            tokens: writer.tokens, messageSpans: zip(bounds, bounds.dropFirst()).map { $0..<$1 })
    }

    /// The text that `encode(chat:)` encodes, its marks and special tokens written out.
    package func render(chat messages: [ChatMessage]) throws(TokenizerError) -> String {
        let script = try ChatScript(messages, template: try chatTemplate.get())
        return script.parts.reduce(into: "") { text, part in
            switch part {
            case .boundary: break
            case .prefix: text += decode(prefix, skipSpecialTokens: false)
            case .bos: text += decode(bosToken.map { [$0] } ?? [], skipSpecialTokens: false)
            case .eos: text += decode(eosToken.map { [$0] } ?? [], skipSpecialTokens: false)
            case .mark(let mark): text += mark
            case .text(let more): text += more
            }
        }
    }
}

/// Collects a conversation's tokens. Text between two tokens is encoded as one, so that it merges as it would in the
/// rendered text.
private struct ChatWriter {
    let tokenizer: Tokenizer
    private(set) var tokens: [Int32] = []
    /// Token indices at which messages begin.
    private(set) var boundaries: [Int] = []
    /// Nothing of the rendered text is encoded yet. What the tokenizer puts before texts is not part of it.
    private var isFirst = true
    private var text: [UInt8] = []
    /// Byte offsets of boundaries in `text`.
    private var offsets: [Int] = []

    init(tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
    }

    mutating func write(_ part: ChatScript.Part) {
        switch part {
        case .boundary: offsets.append(text.count)
        case .prefix: tokens += tokenizer.prefix
        case .bos: write(tokenizer.bosToken)
        case .eos: write(tokenizer.eosToken)
        case .text(let more): text.append(contentsOf: more.utf8)
        case .mark(let mark):
            if let id = tokenizer.addedToken(mark) {
                write(id)
            } else {
                text.append(contentsOf: mark.utf8)
            }
        }
    }

    private mutating func write(_ id: Int32?) {
        guard let id else { return }
        flush()
        tokens.append(id)
        isFirst = false
    }

    /// Encodes the text collected so far.
    mutating func flush() {
        let output = tokenizer.encodeContent(text, isFirst: isFirst, offsets: offsets)
        boundaries += output.marks.map { $0 + tokens.count }
        tokens += output.ids
        isFirst = isFirst && text.isEmpty
        text = []
        offsets = []
    }
}
