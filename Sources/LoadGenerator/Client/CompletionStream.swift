// The events of one streamed completion to what it said and when: a pure value, no socket, no clock.

import Foundation

/// What the server says it did to a prompt (`speculative_prefill` in the response). Fields a server leaves out are nil.
public struct PrefillReport: Sendable, Equatable, Decodable {
    /// Tokens of the prompt.
    public var promptTokens: Int?
    /// Tokens that were prefilled.
    public var keptTokens: Int?
    /// Their share, protected spans included.
    public var keepRate: Double?
    /// Time the speculator took, in milliseconds.
    public var speculationMilliseconds: Double?
    /// Why the prompt was prefilled whole although pruning was asked for.
    public var fallback: String?

    /// A report that says nothing yet.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case promptTokens = "prompt_tokens"
        case keptTokens = "kept_tokens"
        case keepRate = "keep_rate"
        case speculationMilliseconds = "speculation_ms"
        case fallback
    }
}

/// Reads a stream of completion or chat completion chunks.
package struct CompletionStream {
    /// Starts before the first byte.
    package init() {}

    /// The answer's text is kept up to this many bytes, enough to look for what was expected in it.
    static let textLimit = 1 << 20

    /// When the first text came; the finish chunk counts when there was none before.
    package private(set) var firstToken: ContinuousClock.Instant?
    /// When the finish chunk came, or `[DONE]` where there was none: what follows holds no tokens.
    package private(set) var end: ContinuousClock.Instant?
    /// The answer.
    package private(set) var text = ""
    package private(set) var report: PrefillReport?
    /// What is wrong with the stream; the first thing wrong ends it.
    package private(set) var failure: (kind: FailureKind, detail: String)?
    package private(set) var isDone = false

    private var parser = ServerSentEventParser()
    /// Tokens of the prompt by the server's count.
    package private(set) var promptTokens: Int?
    private var usageTokens: Int?
    private var textChunks = 0

    /// Tokens generated: the server's count, or the number of chunks with text where it gives none.
    package var tokens: Int { usageTokens ?? textChunks }

    /// Takes the next bytes and the time at which they came.
    package mutating func receive(_ bytes: some Sequence<UInt8>, at instant: ContinuousClock.Instant) {
        guard failure == nil, !isDone else { return }
        do {
            for event in try parser.append(bytes) where failure == nil && !isDone {
                receive(event, at: instant)
            }
        } catch {
            failure = (.brokenStream, error.description)
        }
    }

    /// Tells that no more bytes come.
    package mutating func finish() {
        guard failure == nil, !isDone, end == nil else { return }
        failure = (
            .brokenStream,
            parser.hasPartialEvent ? "the stream ended within an event" : "the stream ended before [DONE]"
        )
    }

    private mutating func receive(_ event: ServerSentEvent, at instant: ContinuousClock.Instant) {
        if event.data.elementsEqual("[DONE]".utf8) {
            isDone = true
            end = end ?? instant
            if firstToken == nil { failure = (.brokenStream, "[DONE] came before any token") }
            return
        }
        guard let chunk = try? JSONDecoder().decode(StreamChunk.self, from: Data(event.data)) else {
            failure = (.badJSON, "not a completion chunk: \(String(decoding: event.data.prefix(120), as: UTF8.self))")
            return
        }
        if let error = chunk.error {
            failure = (.serverError, error)
            return
        }
        report = chunk.report ?? report
        usageTokens = chunk.completionTokens ?? usageTokens
        promptTokens = chunk.promptTokens ?? promptTokens
        if !chunk.text.isEmpty {
            textChunks += 1
            if text.utf8.count < Self.textLimit { text += chunk.text }
        }
        if !chunk.text.isEmpty || chunk.isFinish { firstToken = firstToken ?? instant }
        if chunk.isFinish { end = end ?? instant }
    }
}

/// The parts of a chunk that matter here, from either endpoint.
private struct StreamChunk: Decodable {
    var text = ""
    var isFinish = false
    var completionTokens: Int?
    var promptTokens: Int?
    var report: PrefillReport?
    var error: String?

    private struct Choice: Decodable {
        struct Delta: Decodable {
            var content: String?
            var reasoning: String?

            private enum CodingKeys: String, CodingKey {
                case content
                case reasoning = "reasoning_content"
            }
        }
        var text: String?
        var delta: Delta?
        var finishReason: String?

        private enum CodingKeys: String, CodingKey {
            case text
            case delta
            case finishReason = "finish_reason"
        }
    }

    private struct Usage: Decodable {
        var completionTokens: Int?
        var promptTokens: Int?

        private enum CodingKeys: String, CodingKey {
            case completionTokens = "completion_tokens"
            case promptTokens = "prompt_tokens"
        }
    }

    private struct Failure: Decodable {
        var message: String?
    }

    private enum CodingKeys: String, CodingKey {
        case choices
        case usage
        case error
        case report = "speculative_prefill"
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if container.contains(.error), try !container.decodeNil(forKey: .error) {
            let failure = try? container.decode(Failure.self, forKey: .error)
            error = failure?.message ?? "an error event without a message"
            return
        }
        for choice in try container.decodeIfPresent([Choice].self, forKey: .choices) ?? [] {
            text += choice.text ?? ""
            text += choice.delta?.reasoning ?? ""
            text += choice.delta?.content ?? ""
            isFinish = isFinish || choice.finishReason != nil
        }
        let usage = try container.decodeIfPresent(Usage.self, forKey: .usage)
        completionTokens = usage?.completionTokens
        promptTokens = usage?.promptTokens
        // A report of another shape is no reason to fail the request it describes.
        report = try? container.decodeIfPresent(PrefillReport.self, forKey: .report)
    }
}
