// An answer as bytes: one JSON body, or the events of a stream.

import Coordinator
import Foundation
import NIOCore
import Tokenizer

/// Writes the answer to one call.
struct AnswerWriter: Sendable {
    let call: Call
    let model: String
    /// `system_fingerprint`.
    let fingerprint: String
    let tokenizer: Tokenizer
    /// The answer's id; also in the log, and in the `x-request-id` header unless the client sent one of its own.
    let id: String
    private let created = Int(Date().timeIntervalSince1970)

    init(call: Call, id: String, for service: any GenerationService, version: String) {
        self.call = call
        model = service.modelName
        fingerprint = Self.fingerprint(weights: service.modelFingerprint, version: version)
        tokenizer = service.tokenizer
        self.id = id
    }

    /// A choice, or the next part of one.
    struct Part: Sendable {
        var index: Int
        var piece = AnswerText.Piece()
        /// Of a stream's parts, the choice's first.
        var isFirst = false
        /// Why the choice ended, if it did.
        var reason: String?
        /// What was done to its prompt, where the part is to say it.
        var speculation: SpeculationFacts?
        /// In a choice's last part: pipelines that fell under it.
        var replays = 0
    }

    /// The whole answer, its choices in order.
    func whole(_ parts: [Part], _ usage: Usage) throws -> ByteBuffer {
        switch call.endpoint {
        case .completions:
            try encoded(body("text_completion", parts.map(completion), usage: Nullable(usage), alone: parts))
        case .chat:
            try encoded(body("chat.completion", parts.map(message), usage: Nullable(usage), alone: parts))
        }
    }

    /// An event of a stream; `usage` is that of all choices so far.
    func event(_ part: Part, _ usage: Usage) throws -> ByteBuffer {
        let options = call.streamOptions
        let usage = options.continuousUsage ? Nullable(usage) : options.includeUsage ? Nullable<Usage>(nil) : nil
        return switch call.endpoint {
        case .completions: try Self.event(body(chunkObject, [completion(part)], usage: usage, alone: [part]))
        case .chat: try Self.event(body(chunkObject, [delta(part)], usage: usage, alone: [part]))
        }
    }

    /// What ends a stream: the usage if it was asked for, then the mark of the end.
    ///
    /// - Parameter speculation: what was done to a lone choice's prompt, where the usage is the last event with data.
    func ending(_ usage: Usage, speculation: SpeculationFacts?) throws -> ByteBuffer {
        var buffer = ByteBuffer()
        if call.streamOptions.includeUsage {
            let choices: [CompletionChoice] = []
            var last = body(chunkObject, choices, usage: Nullable(usage), alone: [])
            last.speculation = speculation
            buffer.writeImmutableBuffer(try Self.event(last))
        }
        buffer.writeString("data: [DONE]\n\n")
        return buffer
    }

    /// A failure after the stream began.
    static func event(_ error: APIError) throws -> ByteBuffer { try event(ErrorBody(error)) }

    /// A line that clients skip: it shows that the answer is on its way.
    static let comment = ByteBuffer(string: ": winnow is at work\n\n")

    private var chunkObject: String { call.endpoint == .chat ? "chat.completion.chunk" : "text_completion" }

    private func completion(_ part: Part) -> CompletionChoice {
        CompletionChoice(
            index: part.index, text: part.piece.text,
            logprobs: Nullable(
                call.wantsLogProbabilities
                    ? CompletionLogProbabilities(part.piece.tokens, tokenizer: tokenizer) : nil),
            finishReason: Nullable(part.reason), speculation: own(part))
    }

    private func message(_ part: Part) -> ChatChoice {
        ChatChoice(
            index: part.index, message: .init(content: part.piece.text), logprobs: chatLogProbabilities(part),
            finishReason: Nullable(part.reason), speculation: own(part))
    }

    private func delta(_ part: Part) -> ChatDeltaChoice {
        let isBare = part.reason != nil && part.piece.text.isEmpty
        return ChatDeltaChoice(
            index: part.index,
            delta: .init(role: part.isFirst ? "assistant" : nil, content: isBare ? nil : part.piece.text),
            logprobs: chatLogProbabilities(part), finishReason: Nullable(part.reason), speculation: own(part))
    }

    private func chatLogProbabilities(_ part: Part) -> Nullable<ChatLogProbabilities> {
        Nullable(call.wantsLogProbabilities ? ChatLogProbabilities(part.piece.tokens, tokenizer: tokenizer) : nil)
    }

    /// What a choice says of its prompt; a lone one leaves it to the answer.
    private func own(_ part: Part) -> SpeculationFacts? { call.choices.count == 1 ? nil : part.speculation }

    private func body<Choice>(
        _ object: String, _ choices: [Choice], usage: Nullable<Usage>?, alone parts: [Part]
    ) -> AnswerBody<Choice> {
        AnswerBody(
            id: id, object: object, created: created, model: model, fingerprint: fingerprint, choices: choices,
            usage: usage, speculation: call.choices.count == 1 ? parts.first?.speculation : nil,
            winnow: ServiceFacts(replays: parts.reduce(0) { $0 + $1.replays }))
    }

    private static func event(_ value: some Encodable) throws -> ByteBuffer {
        var buffer = ByteBuffer(string: "data: ")
        buffer.writeImmutableBuffer(try encoded(value))
        buffer.writeString("\n\n")
        return buffer
    }

    /// `fp_` and 16 hexadecimal digits: FNV-1a (64 bits) over what decides an answer besides the request.
    private static func fingerprint(weights: String, version: String) -> String {
        let hash = "\(weights) \(version)".utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01B3
        }
        let digits = String(hash, radix: 16)
        return "fp_" + String(repeating: "0", count: 16 - digits.count) + digits
    }
}
