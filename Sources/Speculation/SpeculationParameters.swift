// How a prompt is scored and how much of it is kept.

/// The way kept tokens are chosen from their importance.
public enum SelectionMode: String, Sendable, Codable, CaseIterable {
    /// Sliding windows ranked by mean importance, and the protected tokens on top. The default.
    case windows
    /// The paper's fixed grid of chunks, and the protected tokens on top.
    case grid
    /// Exactly the paper: the fixed grid of chunks, and nothing kept by force.
    case reference
}

/// Which keys the speculator's rows look at while it reads the prompt.
public enum SpeculatorAttention: String, Sendable, Codable, CaseIterable {
    /// All before them.
    case exact
    /// Of a long prompt the blocks of keys that hold most of their attention: see ``BlockSparsity``. The rows at its end,
    /// and the look-ahead, look at all.
    case sparse
}

/// The parameters of speculative prefill (arXiv 2502.02789), with the additions of Winnow's default mode.
public struct SpeculationParameters: Sendable, Equatable {
    /// Whether to prune at all; if not, the whole prompt is prefilled.
    public var enabled: Bool
    /// The share of the prompt to keep, in tokens (windows) or chunks (grid, reference): above 0, up to 1.
    public var keepRate: Double
    /// Steps whose queries score the prompt: the last prompt token and the greedily decoded ones after it. 1...128.
    public var lookAhead: Int
    /// Tokens in a chunk or window: 1...65536.
    public var chunk: Int
    /// Tokens from the start of one window to the next: 1...`chunk`. Used by `.windows` only.
    public var stride: Int
    /// Width of the average pooling along the prompt, in tokens: odd, 1...65535. 1 does not pool.
    public var pool: Int
    /// The way kept tokens are chosen.
    public var selection: SelectionMode
    /// Whether the first token (BOS) is always kept. Not in reference mode.
    public var keepHead: Bool
    /// How many tokens at the end are always kept: 0 or more. Not in reference mode.
    public var tail: Int
    /// Prompts with fewer tokens are not pruned: 0 or more. Not in reference mode.
    public var threshold: Int
    /// How the speculator reads the prompt.
    public var attention: SpeculatorAttention
    /// The most keys that a row looks at in ``SpeculatorAttention/sparse``, as a share of those before it: above 0, up to 1. No
    /// fewer than 1,024 in any case (``BlockSparsity/exactKeys``).
    public var mostKeys: Double

    /// The defaults are those of Winnow's default mode.
    public init(
        enabled: Bool = true, keepRate: Double = 0.2, lookAhead: Int = 8, chunk: Int = 32, stride: Int = 8,
        pool: Int = 13, selection: SelectionMode = .windows, keepHead: Bool = true, tail: Int = 64,
        threshold: Int = 512, attention: SpeculatorAttention = .exact, mostKeys: Double = 0.3
    ) {
        self.attention = attention
        self.mostKeys = mostKeys
        self.enabled = enabled
        self.keepRate = keepRate
        self.lookAhead = lookAhead
        self.chunk = chunk
        self.stride = stride
        self.pool = pool
        self.selection = selection
        self.keepHead = keepHead
        self.tail = tail
        self.threshold = threshold
    }

    /// Whether a prompt of `promptCount` tokens is to be scored and pruned, rather than prefilled whole.
    public func prunes(promptCount: Int) -> Bool {
        enabled && keepRate < 1 && promptCount > 0 && (selection == .reference || promptCount >= threshold)
    }

    /// Checks every parameter.
    ///
    /// - Throws: ``SpeculationError/invalidParameter(field:value:allowed:)`` for the first one outside its range.
    public func validate() throws(SpeculationError) {
        guard keepRate > 0, keepRate <= 1 else {  // not a number fails both
            throw .invalidParameter(field: "keep_rate", value: "\(keepRate)", allowed: "above 0 and at most 1")
        }
        guard mostKeys > 0, mostKeys <= 1 else {
            throw .invalidParameter(
                field: "speculator_most_keys", value: "\(mostKeys)", allowed: "above 0 and at most 1")
        }
        try check("look_ahead", lookAhead, 1...128)
        try check("chunk", chunk, 1...65536)
        guard 1...chunk ~= stride else {
            throw .invalidParameter(field: "stride", value: "\(stride)", allowed: "from 1 to chunk, here \(chunk)")
        }
        guard 1...65535 ~= pool, pool % 2 == 1 else {
            throw .invalidParameter(field: "pool", value: "\(pool)", allowed: "an odd number from 1 to 65535")
        }
        try check("tail", tail, 0...Int(Int32.max))
        try check("threshold", threshold, 0...Int(Int32.max))
    }

    private func check(_ field: String, _ value: Int, _ allowed: ClosedRange<Int>) throws(SpeculationError) {
        guard allowed ~= value else {
            throw .invalidParameter(
                field: field, value: "\(value)", allowed: "from \(allowed.lowerBound) to \(allowed.upperBound)")
        }
    }
}
