// An answer as bytes: one JSON body, or the events of a stream.

import Coordinator
import Foundation
import NIOCore
import Tokenizer

/// Writes the answer to one call.
struct AnswerWriter: Sendable {
    let call: Call
    let model: String
    let tokenizer: Tokenizer
    /// The answer's id, also in the log and the `x-request-id` header.
    let id: String
    private let created = Int(Date().timeIntervalSince1970)

    init(call: Call, model: String, tokenizer: Tokenizer) {
        self.call = call
        self.model = model
        self.tokenizer = tokenizer
        let prefix = call.endpoint == .chat ? "chatcmpl-" : "cmpl-"
        id = prefix + UUID().uuidString.lowercased().filter { $0 != "-" }
    }

    /// The whole answer.
    func whole(_ piece: AnswerText.Piece, reason: String, _ end: End) throws -> ByteBuffer {
        switch call.endpoint {
        case .completions:
            let choice = CompletionChoice(
                text: piece.text, logprobs: completionLogProbabilities(piece), finishReason: Nullable(reason))
            return try encoded(body("text_completion", [choice], usage: end.usage, speculation: end.speculation))
        case .chat:
            let choice = ChatChoice(
                message: .init(content: piece.text), logprobs: chatLogProbabilities(piece),
                finishReason: Nullable(reason))
            return try encoded(body("chat.completion", [choice], usage: end.usage, speculation: end.speculation))
        }
    }

    /// The event of one token; the first of a chat says who speaks.
    func event(_ piece: AnswerText.Piece, isFirst: Bool) throws -> ByteBuffer {
        try event(piece, isFirst: isFirst, reason: nil, speculation: nil)
    }

    /// What ends a stream: the reason, then the usage if it was asked for, then the mark of the end.
    /// The last event with data says what was done to the prompt.
    func ending(_ piece: AnswerText.Piece, isFirst: Bool, reason: String, _ end: End) throws -> ByteBuffer {
        let withUsage = call.includeUsage
        var buffer = try event(
            piece, isFirst: isFirst, reason: reason, speculation: withUsage ? nil : end.speculation)
        if withUsage {
            let choices: [CompletionChoice] = []
            let usage = body(chunkObject, choices, usage: end.usage, speculation: end.speculation)
            buffer.writeImmutableBuffer(try Self.event(usage))
        }
        buffer.writeString("data: [DONE]\n\n")
        return buffer
    }

    /// A failure after the stream began.
    static func event(_ error: APIError) throws -> ByteBuffer { try event(ErrorBody(error)) }

    /// What is known only at the end.
    struct End: Sendable {
        var usage: Usage
        var speculation: SpeculationFacts?
    }

    private var chunkObject: String { call.endpoint == .chat ? "chat.completion.chunk" : "text_completion" }

    private func event(
        _ piece: AnswerText.Piece, isFirst: Bool, reason: String?, speculation: SpeculationFacts?
    ) throws -> ByteBuffer {
        switch call.endpoint {
        case .completions:
            let choice = CompletionChoice(
                text: piece.text, logprobs: completionLogProbabilities(piece), finishReason: Nullable(reason))
            return try Self.event(body(chunkObject, [choice], usage: nil, speculation: speculation))
        case .chat:
            let isBare = reason != nil && piece.text.isEmpty
            let delta = ChatDeltaChoice.Delta(
                role: isFirst ? "assistant" : nil, content: isBare ? nil : piece.text)
            let choice = ChatDeltaChoice(
                delta: delta, logprobs: chatLogProbabilities(piece), finishReason: Nullable(reason))
            return try Self.event(body(chunkObject, [choice], usage: nil, speculation: speculation))
        }
    }

    private func body<Choice>(
        _ object: String, _ choices: [Choice], usage: Usage?, speculation: SpeculationFacts?
    ) -> AnswerBody<Choice> {
        AnswerBody(
            id: id, object: object, created: created, model: model, choices: choices, usage: usage,
            speculation: speculation)
    }

    private func completionLogProbabilities(_ piece: AnswerText.Piece) -> Nullable<CompletionLogProbabilities> {
        Nullable(
            call.wantsLogProbabilities ? CompletionLogProbabilities(piece.tokens, tokenizer: tokenizer) : nil)
    }

    private func chatLogProbabilities(_ piece: AnswerText.Piece) -> Nullable<ChatLogProbabilities> {
        Nullable(call.wantsLogProbabilities ? ChatLogProbabilities(piece.tokens, tokenizer: tokenizer) : nil)
    }

    private static func event(_ value: some Encodable) throws -> ByteBuffer {
        var buffer = ByteBuffer(string: "data: ")
        buffer.writeImmutableBuffer(try encoded(value))
        buffer.writeString("\n\n")
        return buffer
    }
}

/// A value as JSON text.
func encoded(_ value: some Encodable) throws -> ByteBuffer {
    let encoder = JSONEncoder()
    // Sorted, so that the same answer is the same bytes.
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return ByteBuffer(bytes: try encoder.encode(value))
}
