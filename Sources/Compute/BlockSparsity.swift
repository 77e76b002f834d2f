// Which blocks of keys the rows of a long prompt look at, chosen from a sample of their own attention.

/// Block-sparse attention for a model that need not be exact, such as one that only scores a prompt.
///
/// Query rows go in blocks of ``queryRows``, keys in blocks of ``keyRows``, both counted from cache row 0, so that it does
/// not matter how a prompt is cut as long as it is cut between blocks of queries. Every ``sampling``-th row of a block of
/// queries attends to every ``keyStep``-th key first, which says how much of the block's attention falls on each block of
/// keys (as SampleAttention, arXiv 2406.15486, does by rows and XAttention, arXiv 2503.16428, by antidiagonals). All rows
/// then see the blocks of keys that hold most of it; another counts as so many keys like its mean, with its mean value
/// (``KeyMeans``). The heads that share a KV head share a choice.
public struct BlockSparsity: Sendable, Equatable {
    /// Query rows that see the same blocks of keys.
    public static let queryRows = 128
    /// Keys that are seen, or not, together.
    public static let keyRows = 64
    /// One row of so many is sampled.
    package static let sampling = 8
    /// Of that, a row attends to one key of so many, the next row to others: half the work, and no key is left out by all.
    package static let keyStep = 2

    /// The share of the sampled attention to look at, over 0, at most 1; 1 is all keys.
    public var coverage: Float
    /// The most keys to look at for that, as a share of those before a row, 0 to 1.
    public var mostKeys: Float
    /// Keys before a row that are always looked at, as many as these and those of its own block of queries, and the first
    /// block.
    public var nearKeys: Int
    /// A row with at most so many keys before it looks at all of them.
    public var exactKeys: Int
    /// Cache rows from this one on look at all keys.
    public var exactFrom: Int

    /// The defaults are those of a speculator.
    public init(
        coverage: Float = 0.98, mostKeys: Float = 0.3, nearKeys: Int = 256, exactKeys: Int = 1024,
        exactFrom: Int = .max
    ) {
        self.coverage = coverage
        self.mostKeys = mostKeys
        self.nearKeys = nearKeys
        self.exactKeys = exactKeys
        self.exactFrom = exactFrom
    }

    /// Whether cache rows `rows`, of one block of queries, look at all keys before them.
    package func isExact(rows: Range<Int>) -> Bool {
        coverage >= 1 || rows.upperBound > exactFrom || rows.upperBound <= exactKeys
    }

    /// The blocks of keys that cache rows `rows`, of one block of queries, look at.
    ///
    /// - Parameter weights: the share of their attention that falls on each block, `[blocks up to their last row's]`.
    /// - Returns: for each block whether it is one of them.
    package func visibleBlocks(_ weights: UnsafeBufferPointer<Float>, rows: Range<Int>) -> [Bool] {
        var visible = [Bool](repeating: false, count: weights.count)
        guard !visible.isEmpty else { return visible }
        var held: Float = 0
        var count = 0
        func see(_ block: Int) {
            guard !visible[block] else { return }
            visible[block] = true
            held += weights[block]
            count += 1
        }
        see(0)
        for block in max(0, rows.lowerBound - nearKeys) / Self.keyRows..<visible.count { see(block) }
        let keys = max(Float(exactKeys), mostKeys * Float(rows.upperBound))
        let most = Int((min(keys, Float(rows.upperBound)) / Float(Self.keyRows)).rounded(.up))
        for block in weights.indices.sorted(by: { weights[$0] > weights[$1] }) {
            if count >= most || held >= coverage { break }
            see(block)
        }
        return visible
    }
}
