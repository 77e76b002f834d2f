// A prompt as an answer repeats it.

import Tokenizer
import Transformer

/// The text of a prompt and its tokens, which get their log-probabilities as the model reads them.
///
/// The text is the tokens' own, special ones spelled out, without those the gateway added around a text. So it is the text
/// that was sent, unless the tokenizer writes texts in a form of its own.
struct EchoedPrompt: Sendable {
    private(set) var piece = AnswerText.Piece()
    /// The piece's length in Unicode scalars: where the answer begins.
    let scalars: Int
    /// Tokens that have their log-probability, or need none.
    private var scored: Int

    /// - Parameters:
    ///   - text: which of the tokens stand for text; those around it were added.
    ///   - isScored: whether log-probabilities will come.
    init(_ tokens: [Int32], text: Range<Int>, isScored: Bool, tokenizer: Tokenizer) {
        var detokenizer = StreamingDetokenizer(tokenizer: tokenizer, skipSpecialTokens: false)
        var scalars = 0
        for (index, token) in tokens.enumerated() {
            piece.tokens.append(AnswerText.Token(token: token, offset: scalars))
            guard text.contains(index) else { continue }
            let part = detokenizer.append(token)
            piece.text += part
            scalars += part.unicodeScalars.count
        }
        let rest = detokenizer.finish()
        piece.text += rest
        self.scalars = scalars + rest.unicodeScalars.count
        // Nothing precedes the first token, so nothing says how likely it is.
        scored = isScored ? 1 : tokens.count
    }

    /// Whether nothing is waited for.
    var isComplete: Bool { scored >= piece.tokens.count }

    /// Takes the log-probabilities of the next tokens.
    mutating func score(_ tokens: [SampledToken]) {
        for token in tokens where !isComplete {
            piece.tokens[scored].logProbability = token.logProbability
            piece.tokens[scored].top = token.top
            scored += 1
        }
    }
}
