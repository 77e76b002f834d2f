// Synthetic prompts: lengths from distributions or a trace, text from a seed, beginnings shared as asked.

/// Requests made from a seed: each is a function of seed and index alone, so any of them can be made again.
public struct SyntheticRequests: PromptSource {
    /// The most groups that a shared beginning can have.
    public static let maximumGroups = 1_000_000

    /// The most requests that are counted before a run: their texts are held in memory.
    public static let maximumCounted = 1_000_000

    private enum Shape: Sendable {
        case drawn(promptTokens: LengthDistribution, outputTokens: LengthDistribution, prefixTokens: Int, groups: Int)
        case recorded(Trace)
    }

    private let shape: Shape
    /// What texts and lengths depend on.
    public let seed: UInt64
    /// What text is cut by.
    public let gauge: TokenGauge

    /// Requests of drawn lengths.
    ///
    /// - Parameters:
    ///   - promptTokens: the length of the whole prompt, a shared beginning included.
    ///   - outputTokens: the most tokens to generate.
    ///   - sharedPrefixTokens: how long a beginning the prompts of a group have in common, in tokens; 0 for none.
    ///     A prompt that is not longer is the beginning of it.
    ///   - prefixGroups: how many such beginnings there are; each request belongs to one drawn at random.
    /// - Throws: a usage error for a prefix that is negative or over ``Trace/maximumTokens``, or groups outside
    ///   1...``maximumGroups``.
    public init(
        promptTokens: LengthDistribution, outputTokens: LengthDistribution, sharedPrefixTokens: Int = 0,
        prefixGroups: Int = 1, seed: UInt64, gauge: TokenGauge = .assumed
    ) throws(LoadGeneratorError) {
        guard (0...Trace.maximumTokens).contains(sharedPrefixTokens) else {
            throw LoadGeneratorError(
                .usage, "shared prefix", "\(sharedPrefixTokens) tokens is not 0 to \(Trace.maximumTokens)")
        }
        guard (1...Self.maximumGroups).contains(prefixGroups) else {
            throw LoadGeneratorError(.usage, "prefix groups", "\(prefixGroups) is not 1 to \(Self.maximumGroups)")
        }
        shape = .drawn(
            promptTokens: promptTokens, outputTokens: outputTokens, prefixTokens: sharedPrefixTokens,
            groups: prefixGroups)
        self.seed = seed
        self.gauge = gauge
    }

    /// Requests of a trace's lengths, entry by entry and round again.
    ///
    /// Blocks of the same id have the same text, so prompts share their beginnings as they did in the trace; the
    /// second time round they share all their blocks with the first.
    public init(trace: Trace, seed: UInt64, gauge: TokenGauge = .assumed) {
        shape = .recorded(trace)
        self.seed = seed
        self.gauge = gauge
    }

    /// The lengths of one request, in tokens, before any error of the gauge.
    public func lengths(_ index: Int) -> (promptTokens: Int, outputTokens: Int) {
        switch shape {
        case .drawn(let promptTokens, let outputTokens, _, _):
            var generator = SplitMix64(seed: seed(.lengths, index))
            return (promptTokens.sample(&generator), outputTokens.sample(&generator))
        case .recorded(let trace):
            let entry = trace.entries[index % trace.entries.count]
            return (entry.promptTokens, entry.outputTokens)
        }
    }

    /// The request with this index, cut by the gauge.
    public func prompt(_ index: Int) -> Prompt {
        let lengths = lengths(index)
        let total = gauge.characters(for: lengths.promptTokens)
        let pieces = pieces(index, promptTokens: lengths.promptTokens)
        var bytes: [UInt8] = []
        for piece in pieces.dropLast() {
            piece.source.append(characters: gauge.characters(ofPart: piece.tokens), to: &bytes)
        }
        // The last piece makes up for the words that were cut too long or too short.
        pieces.last?.source.append(characters: total - bytes.count - (bytes.isEmpty ? 0 : 1), to: &bytes)
        return Prompt(.text(String(decoding: bytes, as: UTF8.self)), maxTokens: lengths.outputTokens)
    }

    /// The first requests, with prompts of as many tokens as the server's tokenizer counts.
    ///
    /// It takes some counts for each request: do it before a run. Shared beginnings stay shared.
    ///
    /// - Parameters:
    ///   - count: how many; the same come round again after them.
    ///   - onPrompt: called after each, with how many there are.
    /// - Throws: a usage error for a count outside 1...``maximumCounted``; a prompts error for a length that no text
    ///   has to 1 % or 2 tokens; what the counter throws.
    public func counted(
        _ count: Int, by counter: any TokenCounter, onPrompt: (Int) -> Void = { _ in }
    ) async throws(LoadGeneratorError) -> CountedRequests {
        guard (1...Self.maximumCounted).contains(count) else {
            throw LoadGeneratorError(.usage, "request count", "\(count) is not 1 to \(Self.maximumCounted)")
        }
        let fit = TokenFit(gauge: gauge, counter: counter)
        var prompts: [Prompt] = []
        var exact = 0
        var worst = 0.0
        for index in 0..<count {
            let lengths = lengths(index)
            let sized = try await fit.fit(
                lengths.promptTokens, pieces(index, promptTokens: lengths.promptTokens))
            prompts.append(Prompt(.text(sized.text), maxTokens: lengths.outputTokens))
            exact += sized.isExact ? 1 : 0
            worst = max(worst, abs(Double(sized.tokens - lengths.promptTokens)) / Double(lengths.promptTokens))
            onPrompt(prompts.count)
        }
        return CountedRequests(prompts: prompts, exactCount: exact, worstError: worst)
    }

    /// What a prompt is put together from: at least one text, with lengths in tokens.
    private func pieces(_ index: Int, promptTokens: Int) -> [(source: SyntheticText, tokens: Int)] {
        var pieces: [(source: SyntheticText, tokens: Int)] = []
        var rest = promptTokens
        switch shape {
        case .drawn(_, _, let prefixTokens, let groups):
            if prefixTokens > 0 {
                var generator = SplitMix64(seed: seed(.group, index))
                let group = Int(generator.next().multipliedFullWidth(by: UInt64(groups)).high)
                let tokens = min(prefixTokens, rest)
                pieces.append((SyntheticText(seed: seed(.prefix, group)), tokens))
                rest -= tokens
            }
        case .recorded(let trace):
            for block in trace.entries[index % trace.entries.count].blocks where rest > 0 {
                let tokens = min(Trace.blockTokens, rest)
                pieces.append((SyntheticText(seed: seed(.block, block)), tokens))
                rest -= tokens
            }
        }
        if rest > 0 { pieces.append((SyntheticText(seed: seed(.text, index)), rest)) }
        return pieces
    }

    /// What a seed is for: each purpose has its own, so that no choice leans on another.
    private enum Purpose: UInt64 {
        case lengths = 1
        case text, group, prefix, block
    }

    private func seed(_ purpose: Purpose, _ number: Int) -> UInt64 {
        var outer = SplitMix64(seed: seed &+ purpose.rawValue &* 0xD1B5_4A32_D192_ED03)
        var inner = SplitMix64(seed: outer.next() ^ UInt64(bitPattern: Int64(number)))
        return inner.next()
    }
}

/// Requests whose prompts were counted by the server's tokenizer, sent in order and round again.
public struct CountedRequests: PromptSource, Equatable {
    /// At least one prompt.
    public let prompts: [Prompt]
    /// How many of them have exactly the tokens they should.
    public let exactCount: Int
    /// The greatest relative error of a prompt's length: 0.01 is 1 %.
    public let worstError: Double

    /// The prompt of the request with this index.
    public func prompt(_ index: Int) -> Prompt { prompts[index % prompts.count] }
}
