// From sampled tokens to text that may be sent: whole characters only, nothing of a stop string.

import Tokenizer
import Transformer

/// Assembles the text of one answer, token by token.
struct AnswerText {
    /// Text that became safe to send, and the tokens that made it.
    struct Piece: Sendable {
        var text: String = ""
        var tokens: [Token] = []
    }

    /// One token and where its text begins.
    struct Token: Sendable {
        var token: Int32
        /// `nil` where nothing precedes the token.
        var logProbability: Float?
        /// The most likely tokens in its place, best first.
        var top: [TokenLogProbability] = []
        /// Offset of the token's first character in the answer, in Unicode scalars.
        var offset: Int
    }

    private var detokenizer: StreamingDetokenizer
    private var matcher: StopMatcher
    /// Scalars decoded and scalars released so far; what lies between waits for a possible stop string to be ruled out.
    private var decoded: Int
    private var released: Int
    private var waiting: [Token] = []
    /// Completions list the token that ended them among their log-probabilities; chats do not.
    private let showsEndToken: Bool

    /// - Parameters:
    ///   - isContinuation: the answer goes on from the prompt's text, so a space at its start counts.
    ///   - offset: Unicode scalars that go before it.
    init(tokenizer: Tokenizer, stop: [String], isContinuation: Bool, offset: Int = 0) {
        showsEndToken = isContinuation
        decoded = offset
        released = offset
        detokenizer = StreamingDetokenizer(tokenizer: tokenizer, isContinuation: isContinuation)
        matcher = StopMatcher(stop)
    }

    /// Whether a stop string has appeared; nothing may follow.
    var isStopped: Bool { matcher.isStopped }

    /// Takes a token; returns what may be sent now, which may be nothing.
    mutating func append(_ token: SampledToken) -> Piece {
        waiting.append(
            Token(token: token.token, logProbability: token.logProbability, top: token.top, offset: decoded))
        return release(detokenizer.append(token.token))
    }

    /// Takes the token that ends the answer, which makes no text.
    mutating func end(_ token: SampledToken) {
        guard showsEndToken else { return }
        waiting.append(
            Token(token: token.token, logProbability: token.logProbability, top: token.top, offset: decoded))
    }

    /// Returns what is left at the end of the answer.
    mutating func finish() -> Piece {
        guard !isStopped else { return Piece() }
        var piece = release(detokenizer.finish())
        if !isStopped { piece.text += matcher.finish() }
        piece.tokens += waiting
        waiting = []
        return piece
    }

    private mutating func release(_ text: String) -> Piece {
        decoded += text.unicodeScalars.count
        let safe = matcher.append(text)
        released += safe.unicodeScalars.count
        // A token goes with the text in which it begins; one that makes no text of its own with what precedes it.
        let ready = waiting.prefix { isStopped ? $0.offset < released : decoded == released || $0.offset < released }
        let piece = Piece(text: safe, tokens: Array(ready))
        waiting = isStopped ? [] : Array(waiting.dropFirst(ready.count))
        return piece
    }
}
