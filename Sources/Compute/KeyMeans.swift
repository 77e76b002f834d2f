// What stands for blocks of keys that are not looked at.

/// The mean key and the mean value of each block of ``BlockSparsity/keyRows`` rows of one layer's cache.
///
/// It has no lock: one thread at a time, as its cache.
package final class KeyMeans: @unchecked Sendable {  // guarded by its cache's owner, as said above
    /// `[kvHeads * blocks, headDim]`, in the cache's format: the rows of KV head h start at `h * blocks`.
    let keys: KVRows
    /// Laid out like ``keys``.
    let values: KVRows
    /// Whole blocks that the cache has room for.
    let blocks: Int
    private let kvHeads: Int
    /// Blocks whose means are there.
    private(set) var count = 0

    /// Makes room for the means of a cache of `capacity` rows.
    ///
    /// - Throws: if the memory cannot be had.
    package init(capacity: Int, kvHeads: Int, headDim: Int, isHalf: Bool) throws(MemoryError) {
        self.kvHeads = kvHeads
        let blocks = capacity / BlockSparsity.keyRows
        self.blocks = blocks
        func make() throws(MemoryError) -> KVRows {
            try KVRows(
                rows: max(1, blocks * kvHeads), columns: headDim, isHalf: isHalf,
                for: "the means of a KV cache of \(capacity) tokens")
        }
        keys = try make()
        values = try make()
    }

    /// Takes in the rows that a call has written to the cache of `segment`, its own.
    func update(_ segment: AttentionSegment) {
        // What lies from the call's first row on was written anew.
        count = min(count, segment.firstCacheRow / BlockSparsity.keyRows)
        let end = min(blocks, (segment.firstCacheRow + segment.rows.count) / BlockSparsity.keyRows)
        for block in count..<max(count, end) {
            for head in 0..<kvHeads {
                let first = head * segment.capacity + block * BlockSparsity.keyRows
                let rows = first..<first + BlockSparsity.keyRows
                Self.storeMean(of: segment.keys, rows: rows, in: keys, at: head * blocks + block)
                Self.storeMean(of: segment.values, rows: rows, in: values, at: head * blocks + block)
            }
        }
        count = max(count, end)
    }

    private static func storeMean(of source: KVRows, rows: Range<Int>, in target: KVRows, at row: Int) {
        let mean = [Float](unsafeUninitializedCapacity: source.columns) { mean, count in
            count = mean.count
            mean.update(repeating: 0)
            source.values(rows: rows).withUnsafeBufferPointer { values in
                for first in stride(from: 0, to: values.count, by: count) {
                    for index in 0..<count { mean[index] += values[first + index] }
                }
            }
            for index in 0..<count { mean[index] /= Float(rows.count) }
        }
        target.store(mean, row: row)
    }
}
