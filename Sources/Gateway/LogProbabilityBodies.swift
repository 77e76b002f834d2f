// Log-probabilities in the two shapes OpenAI's API has for them.

import Tokenizer
import Transformer

/// Parallel arrays, one element per token.
struct CompletionLogProbabilities: Encodable, Sendable {
    var tokens: [String] = []
    var tokenLogProbabilities: [Double] = []
    var top: [[String: Double]] = []
    /// Where each token begins in the text, in Unicode scalars.
    var offsets: [Int] = []

    enum CodingKeys: String, CodingKey {
        case tokens
        case tokenLogProbabilities = "token_logprobs"
        case top = "top_logprobs"
        case offsets = "text_offset"
    }

    init(_ tokens: [AnswerText.Token], tokenizer: Tokenizer) {
        for token in tokens {
            self.tokens.append(tokenizer.spelling(of: token.sampled.token))
            tokenLogProbabilities.append(writable(token.sampled.logProbability))
            let pairs = token.sampled.top.map {
                (tokenizer.spelling(of: $0.token), writable($0.logProbability))
            }
            // Two tokens may spell the same (both half a character): the likelier one comes first and stays.
            top.append(Dictionary(pairs, uniquingKeysWith: { first, _ in first }))
            offsets.append(token.offset)
        }
    }
}

/// One object per token.
struct ChatLogProbabilities: Encodable, Sendable {
    struct Alternative: Encodable, Sendable {
        var token: String
        var logprob: Double
        var bytes: [UInt8]
    }
    struct Entry: Encodable, Sendable {
        var token: String
        var logprob: Double
        var bytes: [UInt8]
        var top: [Alternative]

        enum CodingKeys: String, CodingKey {
            case token, logprob, bytes
            case top = "top_logprobs"
        }
    }
    var content: [Entry]

    init(_ tokens: [AnswerText.Token], tokenizer: Tokenizer) {
        content = tokens.map { token in
            Entry(
                token: tokenizer.spelling(of: token.sampled.token), logprob: writable(token.sampled.logProbability),
                bytes: tokenizer.bytes(of: token.sampled.token),
                top: token.sampled.top.map {
                    Alternative(
                        token: tokenizer.spelling(of: $0.token), logprob: writable($0.logProbability),
                        bytes: tokenizer.bytes(of: $0.token))
                })
        }
    }
}

/// JSON has no infinity; OpenAI writes an impossible token's log-probability as -9999.
private func writable(_ logProbability: Float) -> Double {
    logProbability.isFinite ? Double(logProbability) : -9999
}

extension Tokenizer {
    /// A token's own bytes as text, half characters as U+FFFD.
    fileprivate func spelling(of id: Int32) -> String { String(decoding: bytes(of: id), as: UTF8.self) }
}
