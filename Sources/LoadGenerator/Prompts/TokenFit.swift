// Texts of an exact number of tokens: cut by the gauge, counted, and cut again.

extension SyntheticText {
    /// The beginning of the text that has about so many tokens, at the word of a gauge. Never exact.
    public func text(tokens: Int, gauge: TokenGauge) -> SizedText {
        let text = text(characters: gauge.characters(for: tokens))
        return SizedText(text: text, tokens: gauge.tokens(in: text.utf8.count), isExact: false)
    }

    /// The beginning of the text that has just so many tokens, possibly with a few short words after it.
    ///
    /// - Returns: a text that is exact, or within 1 % or 2 tokens of it when no text found is.
    /// - Throws: a usage error for a length outside 1...``Trace/maximumTokens``; a prompts error when the nearest text
    ///   is further off; what the counter throws; an unreachable error for counts that cannot be right.
    public func text(
        tokens: Int, gauge: TokenGauge, counter: any TokenCounter
    ) async throws(LoadGeneratorError) -> SizedText {
        guard (1...Trace.maximumTokens).contains(tokens) else {
            throw LoadGeneratorError(.usage, "text length", "\(tokens) tokens is not 1 to \(Trace.maximumTokens)")
        }
        return try await TokenFit(gauge: gauge, counter: counter).fit(tokens, [(source: self, tokens: tokens)])
    }
}

/// The search for a text of so many tokens, by few counts.
struct TokenFit {
    /// Most texts are exact after 2 to 5.
    private static let maximumCounts = 16
    /// They fill the gap that a word of several tokens leaves: the first is one token in most vocabularies, the last in those
    /// that spell everything out.
    private static let fillers = [" a", "."]
    /// Counts for each filler: how many tokens it makes, and then the right number of it.
    private static let fillerCounts = 3

    let gauge: TokenGauge
    let counter: any TokenCounter

    /// Fits a prompt of several texts by cutting the last one; those before it stay as the gauge cuts them.
    ///
    /// - Parameter pieces: at least one, each with its length; the last one fills what is missing. One that finds no
    ///   room is left out.
    func fit(
        _ target: Int, _ pieces: [(source: SyntheticText, tokens: Int)]
    ) async throws(LoadGeneratorError) -> SizedText {
        var nearest: SizedText?
        for count in stride(from: pieces.count, to: 0, by: -1) {
            var head: [UInt8] = []
            for piece in pieces.prefix(count - 1) {
                piece.source.append(characters: gauge.characters(ofPart: piece.tokens), to: &head)
            }
            let (text, isTooLong) = try await fit(target, head: head, tail: pieces[count - 1].source)
            if nearest.map({ abs(text.tokens - target) < abs($0.tokens - target) }) ?? true { nearest = text }
            if !isTooLong { break }
        }
        guard let nearest, abs(nearest.tokens - target) <= max(target / 100, 2) else {
            throw LoadGeneratorError(
                .prompts, "prompt of \(target) tokens",
                "the nearest text has \(nearest?.tokens ?? 0): ask for a length that the server's tokenizer can make")
        }
        return nearest
    }

    /// - Returns: the nearest text found, and whether even one word after the head is too much.
    private func fit(
        _ target: Int, head: [UInt8], tail: SyntheticText
    ) async throws(LoadGeneratorError) -> (SizedText, isTooLong: Bool) {
        let wanted = max(gauge.characters(for: target) - head.count, 1)
        var (bytes, ends) = tail.words(characters: wanted * 5 / 4 + 64)
        let tokensPerWord = Double(bytes.count) / Double(ends.count) / gauge.charactersPerToken
        let prefix = head.isEmpty ? "" : String(decoding: head, as: UTF8.self) + " "
        func text(words: Int) -> String { prefix + String(decoding: bytes[..<ends[words - 1]], as: UTF8.self) }

        var low: SizedText?
        // Counts of words. A tokenizer that makes one token of eight times the text is not worth looking further.
        var tooFew = 0
        var tooMany = ends.count * 8
        var nearest: SizedText?
        var guess = (ends.firstIndex { $0 >= wanted } ?? 0) + 1
        for _ in 0..<Self.maximumCounts {
            while guess > ends.count { (bytes, ends) = tail.words(characters: bytes.count * 2) }
            let sized = try await sized(text(words: guess), target)
            if sized.isExact { return (sized, false) }
            nearest = nearer(nearest, sized, target)
            if sized.tokens < target {
                tooFew = guess
                low = sized
            } else {
                tooMany = guess
            }
            if tooMany - tooFew <= 1 { break }
            let step = Int((Double(target - sized.tokens) / tokensPerWord).rounded())
            guess = min(max(guess + (step == 0 ? (target - sized.tokens).signum() : step), tooFew + 1), tooMany - 1)
        }
        for filler in Self.fillers {
            guard var base = low else { break }
            var count = base.tokens < target ? min(target - base.tokens, 64) : 0
            for _ in 0..<Self.fillerCounts where count > 0 {
                let sized = try await sized(base.text + String(repeating: filler, count: count), target)
                nearest = nearer(nearest, sized, target)
                if sized.isExact { return (sized, false) }
                if sized.tokens < target, sized.tokens > base.tokens {
                    (base, count) = (sized, min(target - sized.tokens, 64))
                } else {
                    let tokensPerFiller = max((sized.tokens - base.tokens) / count, 1)
                    count = min((target - base.tokens) / tokensPerFiller, count - 1)
                }
            }
            low = base
        }
        return (nearest ?? SizedText(text: prefix, tokens: 0, isExact: false), tooFew == 0)
    }

    private func sized(_ text: String, _ target: Int) async throws(LoadGeneratorError) -> SizedText {
        let count = try await counter.plausibleCount(text)
        return SizedText(text: text, tokens: count, isExact: count == target)
    }

    private func nearer(_ one: SizedText?, _ other: SizedText, _ target: Int) -> SizedText {
        guard let one, abs(one.tokens - target) <= abs(other.tokens - target) else { return other }
        return one
    }
}
