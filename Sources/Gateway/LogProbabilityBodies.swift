// Log-probabilities in the two shapes OpenAI's API has for them.

import Tokenizer
import Transformer

/// Parallel arrays, one element per token.
struct CompletionLogProbabilities: Encodable, Sendable {
    var tokens: [String] = []
    /// `null` for a text's first token.
    var tokenLogProbabilities: [Nullable<Double>] = []
    var top: [Nullable<Alternatives>] = []
    /// Where each token begins in the text, in Unicode scalars.
    var offsets: [Int] = []

    enum CodingKeys: String, CodingKey {
        case tokens
        case tokenLogProbabilities = "token_logprobs"
        case top = "top_logprobs"
        case offsets = "text_offset"
    }

    /// Tokens and their log-probabilities, the likeliest first.
    struct Alternatives: Encodable, Sendable {
        private var members: [(token: String, logProbability: Double)] = []

        /// The likeliest tokens and, wherever it stands among them, the one that was chosen.
        init(_ top: [TokenLogProbability], chosen: TokenLogProbability, tokenizer: Tokenizer) {
            var ranked = top
            if !ranked.contains(where: { $0.token == chosen.token }) {
                let place = ranked.firstIndex { $0.logProbability < chosen.logProbability } ?? ranked.endIndex
                ranked.insert(chosen, at: place)
            }
            // Two tokens may spell the same. The chosen one stays, else the likelier one.
            let spelled = tokenizer.spelling(of: chosen.token)
            var taken: Set<String> = []
            for candidate in ranked {
                let spelling = tokenizer.spelling(of: candidate.token)
                guard spelling != spelled || candidate.token == chosen.token, taken.insert(spelling).inserted else {
                    continue
                }
                members.append((spelling, writable(candidate.logProbability)))
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: FieldName.self)
            for member in members {
                try container.encode(member.logProbability, forKey: FieldName(stringValue: member.token))
            }
        }
    }

    init(_ tokens: [AnswerText.Token], tokenizer: Tokenizer) {
        for token in tokens {
            self.tokens.append(tokenizer.spelling(of: token.token))
            tokenLogProbabilities.append(Nullable(token.logProbability.map(writable)))
            top.append(
                Nullable(
                    token.logProbability.map {
                        let chosen = TokenLogProbability(token: token.token, logProbability: $0)
                        return Alternatives(token.top, chosen: chosen, tokenizer: tokenizer)
                    }))
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
                token: tokenizer.readable(token.token), logprob: writable(token.logProbability ?? 0),
                bytes: tokenizer.bytes(of: token.token),
                top: token.top.map {
                    Alternative(
                        token: tokenizer.readable($0.token), logprob: writable($0.logProbability),
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
    /// A token's own bytes as text, half characters as U+FFFD; the bytes stand beside it.
    fileprivate func readable(_ id: Int32) -> String { String(decoding: bytes(of: id), as: UTF8.self) }

    /// A token's own bytes as text; where they are no whole characters, as OpenAI spells them: `bytes:\xe2\x80`.
    fileprivate func spelling(of id: Int32) -> String {
        let bytes = bytes(of: id)
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let digits = Array("0123456789abcdef")
        return "bytes:" + bytes.map { "\\x\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
    }
}
