// The events of one streamed completion to what it said and when: a pure value, no socket, no clock.

import Foundation
import OutsideText

/// Reads a stream of completion or chat completion chunks.
///
/// A token is a token whatever it is part of: the answer, the thinking before it, a tool call or a refusal.
package struct CompletionStream {
    /// Starts before the first byte.
    package init() {}

    /// The answer's text is kept up to this many bytes, enough to look for what was expected in it.
    static let textLimit = 1 << 20
    /// Bytes that are kept of an answer's beginning, to say what it is when it is no event stream.
    private static let openingLimit = 120

    /// When the first token came; the finish chunk counts when there was none before.
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
    private var opening: [UInt8] = []
    private var hasEvents = false
    /// Tokens of the prompt by the server's count.
    package private(set) var promptTokens: Int?
    private var usageTokens: Int?
    /// All chunks with tokens, and those of them that came at the instant of the first.
    private var all = TokenTally()
    private var first = TokenTally()
    /// The server's count of tokens at the instant of the first.
    private var usageAtFirst: Int?

    /// Tokens generated: the server's count, or that of the tokens its chunks list, or the number of chunks with tokens
    /// where it says neither.
    package var tokens: Int { usageTokens ?? all.listed ?? all.chunks }

    /// Tokens that came with the first, itself among them: the time after the first token is that of the others.
    ///
    /// It is exact where the server counts as it goes (`continuous_usage_stats`) or lists tokens, and where a chunk is a
    /// token. Elsewhere the tokens are shared out over the chunks by their length.
    package var firstTokens: Int {
        let tokens = tokens
        guard first.chunks > 0 else { return tokens }
        if let known = usageAtFirst ?? first.listed, known > 0 { return min(known, tokens) }
        // Every chunk holds at least one token.
        let most = tokens - (all.chunks - first.chunks)
        guard tokens > all.chunks, most > first.chunks else { return min(first.chunks, tokens) }
        let share = Double(first.bytes) / Double(max(all.bytes, 1)) * Double(tokens)
        return min(max(Int(share.rounded()), first.chunks), most)
    }

    /// Takes the next bytes and the time at which they came.
    package mutating func receive(_ bytes: some Sequence<UInt8>, at instant: ContinuousClock.Instant) {
        guard failure == nil, !isDone else { return }
        if opening.count < Self.openingLimit { opening += bytes.prefix(Self.openingLimit - opening.count) }
        do {
            for event in try parser.append(bytes) where failure == nil && !isDone {
                receive(event, at: instant)
            }
        } catch {
            failure = (.brokenStream, hasEvents ? error.description : Self.otherAnswer(opening) ?? error.description)
        }
    }

    /// Tells that no more bytes come.
    package mutating func finish() {
        guard failure == nil, !isDone, end == nil else { return }
        let ending =
            parser.hasPartialEvent ? "the stream ended within an event" : "the stream ended before [DONE]"
        failure = (.brokenStream, hasEvents ? ending : Self.otherAnswer(opening) ?? ending)
    }

    /// What an answer without any event is; nil when it begins as an event stream does.
    private static func otherAnswer(_ opening: [UInt8]) -> String? {
        let text = String(decoding: opening, as: UTF8.self)
        let line = text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }
        guard let start = line.first else { return "the answer is empty" }
        if start == "{" || start == "[" {
            return "the answer is JSON, not an event stream (\"stream\": true was asked for): "
                + line.shown(upTo: openingLimit)
        }
        let fields = [":", "data", "event", "id", "retry"]
        guard !fields.contains(where: { line.hasPrefix($0) || $0.hasPrefix(line) }) else { return nil }
        return "the answer is no event stream: it begins with '\(line.shown(upTo: 60))'"
    }

    private mutating func receive(_ event: ServerSentEvent, at instant: ContinuousClock.Instant) {
        hasEvents = true
        if event.data.elementsEqual("[DONE]".utf8) {
            isDone = true
            end = end ?? instant
            if firstToken == nil { failure = (.brokenStream, "[DONE] came before any token") }
            return
        }
        guard let chunk = try? JSONDecoder().decode(StreamChunk.self, from: Data(event.data)) else {
            let start = String(decoding: event.data.prefix(Self.openingLimit), as: UTF8.self)
            failure = (.badJSON, "not a completion chunk: \(start.shown(upTo: Self.openingLimit))")
            return
        }
        if let error = chunk.error {
            failure = (.serverError, error.shown(upTo: 200))
            return
        }
        report = chunk.report ?? report
        usageTokens = chunk.completionTokens ?? usageTokens
        promptTokens = chunk.promptTokens ?? promptTokens
        if chunk.hasTokens {
            all.add(chunk)
            if text.utf8.count < Self.textLimit { text += chunk.text }
        }
        if chunk.hasTokens || chunk.isFinish { firstToken = firstToken ?? instant }
        if firstToken == instant, chunk.hasTokens {
            first.add(chunk)
            usageAtFirst = chunk.completionTokens ?? usageAtFirst
        }
        if chunk.isFinish { end = end ?? instant }
    }
}

/// What a number of chunks held.
private struct TokenTally {
    /// Chunks with tokens.
    var chunks = 0
    /// The length of what they say.
    var bytes = 0
    /// Tokens they list; nil once one did not.
    var listed: Int? = 0

    mutating func add(_ chunk: StreamChunk) {
        chunks += 1
        bytes += chunk.bytes
        if let count = listed { listed = chunk.listedTokens.map { count + $0 } }
    }
}
