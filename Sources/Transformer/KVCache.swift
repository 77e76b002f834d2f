// The keys and values one request has left behind in the layers of a stage.

internal import Checkpoint
internal import Compute

/// Keys and values of one request in a stage's layers, Float32, rows in the order they were computed.
///
/// Rows are compact: row i belongs to the i-th token passed forward, whatever its position id. Memory is reserved for
/// ``capacity`` rows and becomes real as rows are written.
public final class KVCache: @unchecked Sendable {  // like its Stage, used by one thread at a time
    /// The layers it holds, absolute.
    public let layers: Range<Int>
    /// The number of rows it has room for.
    public let capacity: Int
    /// The number of rows it holds. While a forward pass runs, this counts the rows being computed too; a layer's are
    /// written before its observer is called.
    public internal(set) var count = 0

    private let kvHeadCount: Int
    private let headDim: Int
    /// Per layer, `[kvHeadCount * capacity, headDim]`.
    private let keys: [Matrix]
    private let values: [Matrix]

    init(configuration: ModelConfiguration, layers: Range<Int>, capacity: Int) {
        self.layers = layers
        self.capacity = capacity
        kvHeadCount = configuration.kvHeadCount
        headDim = configuration.headDim
        let rows = kvHeadCount * capacity
        keys = layers.map { _ in Matrix(rows: rows, columns: configuration.headDim) }
        values = layers.map { _ in Matrix(rows: rows, columns: configuration.headDim) }
    }

    /// Lends the keys of one KV head, `[count, headDim]`, after rotation; they must not be used after `body` returns.
    ///
    /// `layer` (absolute) and `kvHead` must exist.
    public func withKeys<R>(
        layer: Int, kvHead: Int, _ body: (UnsafeBufferPointer<Float>) throws -> R
    ) rethrows -> R {
        try rows(of: keys, layer, kvHead, body)
    }

    /// Lends the values of one KV head, `[count, headDim]`; they must not be used after `body` returns.
    ///
    /// `layer` (absolute) and `kvHead` must exist.
    public func withValues<R>(
        layer: Int, kvHead: Int, _ body: (UnsafeBufferPointer<Float>) throws -> R
    ) rethrows -> R {
        try rows(of: values, layer, kvHead, body)
    }

    /// Forgets all rows from `count` on; does nothing if there are none.
    public func truncate(to count: Int) {
        self.count = min(self.count, max(count, 0))
    }

    /// Whether the cache's rows have the shape of the model's.
    func fits(_ configuration: ModelConfiguration) -> Bool {
        kvHeadCount == configuration.kvHeadCount && headDim == configuration.headDim
    }

    private func rows<R>(
        of matrices: [Matrix], _ layer: Int, _ kvHead: Int, _ body: (UnsafeBufferPointer<Float>) throws -> R
    ) rethrows -> R {
        precondition(layers.contains(layer) && 0 <= kvHead && kvHead < kvHeadCount)
        return try matrices[layer - layers.lowerBound].withUnsafeBufferPointer { all in
            let first = kvHead * capacity * headDim
            return try body(UnsafeBufferPointer(rebasing: all[first..<first + count * headDim]))
        }
    }

    /// What attention needs to know of `layer` for rows `rows` of a call, the first of which is cache row `first`.
    func attentionSegment(layer: Int, firstCacheRow first: Int, rows: Range<Int>) -> AttentionSegment {
        AttentionSegment(
            keys: keys[layer - layers.lowerBound], values: values[layer - layers.lowerBound], capacity: capacity,
            firstCacheRow: first, rows: rows)
    }
}

/// The rows of one request in a forward pass.
public struct Segment: Sendable {
    /// Where the rows' keys and values are appended, and what the rows look back on.
    public var cache: KVCache
    /// A position id for each row. Rows see the cache rows before them whatever the position ids are.
    public var positions: [Int32]

    /// Pairs a cache with the position ids of the next rows.
    public init(cache: KVCache, positions: [Int32]) {
        self.cache = cache
        self.positions = positions
    }
}
