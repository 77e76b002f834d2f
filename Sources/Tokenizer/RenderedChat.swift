// From a conversation to tokens, with the place of every message.

public import Jinja

/// A conversation as the model is to read it.
public struct RenderedChat: Sendable, Equatable {
    /// The tokens, the header of the answer included.
    public var tokens: [Int32]
    /// For each message, in order, the tokens of its words with its header and end mark, which may stand in several
    /// places; none when the template left it out. What the template adds of itself (BOS, a default system message, the
    /// header of the answer) belongs to none. A token that two messages share belongs to the first.
    public var messageSpans: [[Range<Int>]]
    /// The tokens of the definitions of tools and of what the template says about them.
    public var toolSpans: [Range<Int>]

    /// A rendered conversation.
    public init(tokens: [Int32], messageSpans: [[Range<Int>]], toolSpans: [Range<Int>] = []) {
        self.tokens = tokens
        self.messageSpans = messageSpans
        self.toolSpans = toolSpans
    }
}

/// A conversation as its template writes it, not yet tokens.
public struct ChatText: Sendable {
    let text: Text
    let messageCount: Int

    /// Its length in UTF-8.
    public var byteCount: Int { text.bytes.count }

    /// The text itself.
    public var string: String { text.description }
}

extension Tokenizer {
    /// Writes a conversation in the model's form: what the model's own chat template makes of it.
    ///
    /// Throws when the model has no template, or the template fails or refuses the conversation.
    ///
    /// - Parameters:
    ///   - clock: where templates that write the day take it from.
    ///   - longest: the most bytes of text that the template may write, or hold in a variable.
    public func text(
        of conversation: Conversation, clock: Clock = .system, longest: Int = Limits().textBytes
    ) throws(TokenizerError) -> ChatText {
        guard let template = try chatTemplate.get() else {
            throw .chat(
                "chat_template", "the model has none, so it is not known how it wants conversations written",
                fix:
                    "send the whole text as 'prompt' to /v1/completions, or put a chat_template.jinja beside the model's files"
            )
        }
        return ChatText(
            text: try template.render(conversation, clock: clock, longest: longest),
            messageCount: conversation.messages.count)
    }

    /// The tokens of a conversation and the places of its messages.
    ///
    /// What messages, tools and documents contain is text and nothing else: special tokens and the template's marks in
    /// them are not parsed.
    public func encode(_ chat: ChatText) -> RenderedChat {
        let text = chat.text
        let bos = bosToken.map(bytes(of:)) ?? []
        let spans = MessageSpans(text, bos: bos) { range in encoder.markEnd(in: text.bytes, range) }.spans
        let offsets = Set(spans.values.joined().flatMap { [$0.lowerBound, $0.upperBound] }).sorted()
        let output = encoder.encode(text.bytes, scope: .trusted(Self.trusted(text)), isFirst: true, offsets: offsets)
        let places = Dictionary(uniqueKeysWithValues: zip(offsets, output.marks))
        func tokens(_ owner: UInt32) -> [Range<Int>] {
            (spans[owner] ?? []).compactMap { span in
                guard let start = places[span.lowerBound], let end = places[span.upperBound], start < end else {
                    return nil
                }
                return start..<end
            }
        }
        return RenderedChat(
            tokens: output.ids, messageSpans: (0..<chat.messageCount).map { tokens(ChatOwner.message($0)) },
            toolSpans: tokens(ChatOwner.tools))
    }

    /// Writes messages in the model's form, with the header of the answer behind them, as tokens.
    public func encode(chat messages: [ChatMessage]) throws(TokenizerError) -> RenderedChat {
        encode(try text(of: Conversation(messages)))
    }

    /// The byte ranges in which marks are the template's.
    private static func trusted(_ text: Text) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = 0
        for run in text.runs {
            defer { start = run.end }
            guard !run.origin.isInput else { continue }
            if let last = ranges.last, last.upperBound == start {
                ranges[ranges.count - 1] = last.lowerBound..<run.end
            } else {
                ranges.append(start..<run.end)
            }
        }
        return ranges
    }
}
