// The keys and values one request has left behind in the layers of a stage.

internal import Checkpoint
public import Compute

/// Keys and values of one request in a stage's layers, rows in the order they were computed.
///
/// Rows are compact: row i belongs to the i-th token passed forward, whatever its position id. Memory is reserved for
/// ``capacity`` rows, becomes real as rows are written, and is given back to the system with the cache.
public final class KVCache: @unchecked Sendable {  // like its Stage, used by one thread at a time
    /// The layers whose keys and values it holds, absolute; it may have none, and counts rows all the same.
    public let layers: Range<Int>
    /// The number of rows it has room for.
    public let capacity: Int
    /// The number of rows it holds. While a forward pass runs, this counts the rows being computed too; a layer's are
    /// written before its observer is called.
    public var count: Int { positions.count }

    /// The position id of each row.
    private(set) var positions: [Int32] = []
    private let kvHeadCount: Int
    private let headDim: Int
    private let precision: Precision
    /// Per layer, `[kvHeadCount * capacity, headDim]`.
    private let keys: [KVRows]
    private let values: [KVRows]
    /// Per layer; none where no row is to be passed sparsely.
    private let means: [KeyMeans]

    init(
        configuration: ModelConfiguration, layers: Range<Int>, precision: Precision, capacity: Int, isSparse: Bool
    ) throws(MemoryError) {
        self.layers = layers
        self.capacity = capacity
        self.precision = precision
        kvHeadCount = configuration.kvHeadCount
        headDim = configuration.headDim
        let isHalf = precision != .f32
        let columns = configuration.headDim
        let (rows, overflow) = configuration.kvHeadCount.multipliedReportingOverflow(by: capacity)
        let each = overflow ? nil : KVRows.byteCount(rows: rows, columns: columns, isHalf: isHalf)
        let (bytes, tooMany) = (each ?? .max).multipliedReportingOverflow(by: 2 * layers.count)
        let purpose = "the KV cache of a request of \(capacity) tokens"
        guard let each, !tooMany else { throw MemoryError(purpose: purpose, bytes: .max) }
        let memory = try KVMemory(byteCount: bytes, for: purpose)
        func blocks(from first: Int) -> [KVRows] {
            layers.map { layer in
                KVRows(
                    rows: rows, columns: columns, isHalf: isHalf, in: memory,
                    at: (first + layer - layers.lowerBound) * each)
            }
        }
        keys = blocks(from: 0)
        values = blocks(from: layers.count)
        means = try (isSparse ? layers : layers.prefix(0)).map { _ throws(MemoryError) in
            try KeyMeans(
                capacity: capacity, kvHeads: configuration.kvHeadCount, headDim: configuration.headDim,
                isHalf: precision != .f32)
        }
        positions.reserveCapacity(min(capacity, configuration.contextLength))
    }

    /// Lends the keys of one KV head, ``count`` rows of headDim values, after rotation; they must not be used after
    /// `body` returns.
    ///
    /// `layer` (absolute) and `kvHead` must exist.
    package func withKeys<R>(layer: Int, kvHead: Int, _ body: (KVSlice) throws -> R) rethrows -> R {
        try keys[index(of: layer)].withRows(rows(ofHead: kvHead), body)
    }

    /// Copies the keys of one KV head, `[count, headDim]`, after rotation.
    ///
    /// `layer` (absolute) and `kvHead` must exist.
    public func copyKeys(layer: Int, kvHead: Int) -> [Float] {
        keys[index(of: layer)].values(rows: rows(ofHead: kvHead))
    }

    /// Copies the values of one KV head, `[count, headDim]`.
    ///
    /// `layer` (absolute) and `kvHead` must exist.
    public func copyValues(layer: Int, kvHead: Int) -> [Float] {
        values[index(of: layer)].values(rows: rows(ofHead: kvHead))
    }

    /// Forgets all rows from `count` on; does nothing if there are none.
    public func truncate(to count: Int) {
        if count < positions.count { positions.removeLast(positions.count - max(count, 0)) }
    }

    /// Makes room in the count for rows at these positions.
    func append(positions new: [Int32]) { positions += new }

    /// Whether the cache's rows have the shape and format of the stage's.
    func fits(_ configuration: ModelConfiguration, _ precision: Precision) -> Bool {
        kvHeadCount == configuration.kvHeadCount && headDim == configuration.headDim
            && (self.precision == .f32) == (precision == .f32)
    }

    private func index(of layer: Int) -> Int {
        precondition(layers.contains(layer))
        return layer - layers.lowerBound
    }

    private func rows(ofHead kvHead: Int) -> Range<Int> {
        precondition(0 <= kvHead && kvHead < kvHeadCount)
        return kvHead * capacity..<kvHead * capacity + count
    }

    /// What attention needs to know of `layer` for rows `rows` of a call, the first of which is cache row `first`.
    func attentionSegment(
        layer: Int, firstCacheRow first: Int, rows: Range<Int>, firstVisible: [Int32]?, sparsity: BlockSparsity?,
        decodedFrom: Int
    ) -> AttentionSegment {
        AttentionSegment(
            keys: keys[index(of: layer)], values: values[index(of: layer)], capacity: capacity, firstCacheRow: first,
            rows: rows, firstVisible: firstVisible, sparsity: sparsity,
            means: means.isEmpty ? nil : means[index(of: layer)], decodedFrom: decodedFrom)
    }

    /// For each cache row from `first` on, the first row whose position is inside its window: over p - window.
    ///
    /// Positions ascend within a request; where they do not, a row still sees a run of rows that ends with itself.
    func firstVisible(from first: Int, window: Int) -> [Int32] {
        positions[first...].map { position in
            let bound = Int(position) - window
            var (low, high) = (0, positions.count)
            while low < high {
                let middle = (low + high) / 2
                if Int(positions[middle]) > bound { high = middle } else { low = middle + 1 }
            }
            return Int32(low)
        }
    }
}

/// The rows of one request in a forward pass.
public struct Segment: Sendable {
    /// Where the rows' keys and values are appended, and what the rows look back on.
    public var cache: KVCache
    /// A position id for each row. Rows see the cache rows before them whatever the position ids are.
    public var positions: [Int32]
    /// The first row that was decoded, at most the number of rows. Such a row is computed alike whether it comes alone or,
    /// when an answer is taken up again, with others; so is a prompt's row however the prompt is cut.
    public var decodedFrom: Int
    /// Which keys a prompt's rows look at, in layers without a window; nil: all before them. What it changes, it changes
    /// in the same way however the prompt is cut between blocks of ``BlockSparsity/queryRows``.
    public var sparsity: BlockSparsity?

    /// Pairs a cache with the position ids of the next rows. `decodedFrom`: nil takes a lone row for a decoded one.
    public init(
        cache: KVCache, positions: [Int32], decodedFrom: Int? = nil, sparsity: BlockSparsity? = nil
    ) {
        self.sparsity = sparsity
        self.decodedFrom = decodedFrom ?? (positions.count == 1 ? 0 : positions.count)
        self.cache = cache
        self.positions = positions
    }
}
