// Characters per token: assumed, or learned from the server's own tokenizer.

/// Something that knows the server's tokenizer.
public protocol TokenCounter: Sendable {
    /// The tokens the server would see as the prompt, those that it adds itself included.
    func count(_ text: String) async throws(LoadGeneratorError) -> Int
    /// The context of the model, in tokens; nil when it is not known. A server may refuse to count a longer text.
    var contextTokens: Int? { get }
}

extension TokenCounter {
    /// Most tokenizers count whatever they are given.
    public var contextTokens: Int? { nil }

    /// A count that a tokenizer can have made: at most 4 tokens for each byte, and some that the server adds.
    func plausibleCount(_ text: String) async throws(LoadGeneratorError) -> Int {
        let count = try await count(text)
        guard count > 0, count <= 4 * text.utf8.count + 4096 else {
            throw LoadGeneratorError(
                .unreachable, "token counts",
                "\(count) tokens in \(text.utf8.count) characters cannot be right: go without the server's tokenizer")
        }
        return count
    }
}

/// How long a synthetic text must be to have a number of tokens.
public struct TokenGauge: Sendable, Equatable {
    /// What a token of English is in most vocabularies.
    public static let assumedCharactersPerToken = 4.0
    /// A gauge that has asked no one. Real lengths differ by tens of percent.
    public static let assumed = TokenGauge(
        charactersPerToken: assumedCharactersPerToken, addedTokens: 0, measuredError: nil)

    /// Characters of synthetic text for each token.
    public let charactersPerToken: Double
    /// Tokens the server adds to every prompt, for example at its beginning.
    public let addedTokens: Int
    /// The greatest relative error of the texts the gauge was checked on: 0.01 is 1 %. nil when it is only assumed.
    public let measuredError: Double?

    private init(charactersPerToken: Double, addedTokens: Int, measuredError: Double?) {
        self.charactersPerToken = charactersPerToken
        self.addedTokens = addedTokens
        self.measuredError = measuredError
    }

    /// Whether the server's tokenizer was asked.
    public var isMeasured: Bool { measuredError != nil }

    /// Learns from a tokenizer with 8 counts, and checks what it learned on texts it has not seen.
    ///
    /// - Parameters:
    ///   - sampleTokens: about how long the texts are, in tokens; the error of shorter prompts is greater. A quarter of
    ///     the context at most: before anything is known, a text may have several times the tokens it is meant to have.
    ///   - seed: of the texts.
    /// - Throws: what the counter throws; a usage error for a sample length that is not 16...1,000,000; an unreachable
    ///   error for counts that cannot be right.
    public static func calibrated(
        by counter: any TokenCounter, sampleTokens: Int = 1000, seed: UInt64 = 0
    ) async throws(LoadGeneratorError) -> TokenGauge {
        guard (16...1_000_000).contains(sampleTokens) else {
            throw LoadGeneratorError(.usage, "sample length", "\(sampleTokens) tokens is not 16 to 1000000")
        }
        let sampleTokens = min(sampleTokens, max(16, (counter.contextTokens ?? .max) / 4))
        // A text twice has twice its tokens, but only once those that are added.
        let short = "the house and the garden"
        let once = try await counter.plausibleCount(short)
        let added = max(2 * once - (try await counter.plausibleCount(short + " " + short)), 0)

        func sample(_ number: UInt64, _ characters: Int) -> String {
            SyntheticText(seed: seed &+ (number &* 0x9FB2_1C65_1E98_DF25)).text(characters: characters)
        }
        var characters = 0
        var tokens = 0
        for number in 0..<3 as Range<UInt64> {
            let text = sample(number, Int(Double(sampleTokens) * assumedCharactersPerToken))
            let count = try await counter.plausibleCount(text)
            guard count > added else {
                throw LoadGeneratorError(
                    .unreachable, "token counts",
                    "\(count) in a text, \(added) of them added by the server: go without the server's tokenizer")
            }
            characters += text.utf8.count
            tokens += count - added
        }
        let learned = TokenGauge(
            charactersPerToken: Double(characters) / Double(tokens), addedTokens: added, measuredError: nil)
        var worst = 0.0
        for number in 3..<6 as Range<UInt64> {
            let count = try await counter.plausibleCount(sample(number, learned.characters(for: sampleTokens + added)))
            worst = max(worst, abs(Double(count - added - sampleTokens)) / Double(sampleTokens))
        }
        return TokenGauge(
            charactersPerToken: learned.charactersPerToken, addedTokens: added, measuredError: worst)
    }

    /// The length of a whole prompt, in characters.
    ///
    /// - Parameter tokens: what the server should count, with what it adds.
    public func characters(for tokens: Int) -> Int {
        Self.whole((Double(tokens) - Double(addedTokens)) * charactersPerToken)
    }

    /// The length of a part of a prompt in characters, the space after it not counted.
    func characters(ofPart tokens: Int) -> Int {
        Self.whole(Double(tokens) * charactersPerToken - 1)
    }

    /// At least 1, and never too great for arithmetic.
    private static func whole(_ number: Double) -> Int { Int(min(max(number.rounded(), 1), 1e15)) }

    /// About how many tokens the server counts in a whole prompt of so many characters.
    public func tokens(in characters: Int) -> Int {
        Self.whole(Double(characters) / charactersPerToken) + addedTokens
    }
}

/// A text, and how many tokens it has.
public struct SizedText: Sendable, Equatable {
    /// The text.
    public let text: String
    /// Its length in tokens: counted by the server's tokenizer, or only computed by a gauge.
    public let tokens: Int
    /// Whether the server's tokenizer counted exactly what was asked for.
    public let isExact: Bool
}
