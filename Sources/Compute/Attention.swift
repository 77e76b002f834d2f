// Causal attention of query rows over a cache, shared out over the threads of a pool.

internal import CKernels
internal import Synchronization

/// The keys and values of one layer of one request, and where its rows are in the matrices at hand.
package struct AttentionSegment: Sendable {
    /// `[kvHeads * capacity, headDim]`: the rows of KV head h start at `h * capacity`.
    package var keys: KVRows
    /// Laid out like ``keys``.
    package var values: KVRows
    /// Rows the cache has room for, per KV head.
    package var capacity: Int
    /// The cache row of the segment's first row; row i of the segment is cache row `firstCacheRow + i` and sees cache
    /// rows up to itself.
    package var firstCacheRow: Int
    /// The segment's rows in the matrices of queries and results.
    package var rows: Range<Int>
    /// The first cache row that each row sees, at most its own; nil: from 0 on.
    package var firstVisible: [Int32]?
    /// Which keys its rows look at, windows apart; nil: all before them.
    package var sparsity: BlockSparsity?
    /// What stands for the keys that its rows do not look at; nil: nothing.
    package var means: KeyMeans?
    /// Its rows from this one on were decoded one by one, and are computed as then.
    package var decodedFrom: Int

    /// Describes one request's share of a call. `decodedFrom`: nil takes a lone row for a decoded one.
    package init(
        keys: KVRows, values: KVRows, capacity: Int, firstCacheRow: Int, rows: Range<Int>,
        firstVisible: [Int32]? = nil, sparsity: BlockSparsity? = nil, means: KeyMeans? = nil,
        decodedFrom: Int? = nil
    ) {
        self.sparsity = sparsity
        self.means = means
        self.decodedFrom = decodedFrom ?? (rows.count == 1 ? 0 : rows.count)
        self.keys = keys
        self.values = values
        self.capacity = capacity
        self.firstCacheRow = firstCacheRow
        self.rows = rows
        self.firstVisible = firstVisible
    }
}

/// What is done to queries and keys before they are rotated: an RMS norm of each head, as Qwen 3 has it.
package struct HeadNorm: Sendable {
    /// `[1, headDim]` each.
    var query, key: Matrix
    var epsilon: Float

    /// Norms with these weights.
    package init(query: Matrix, key: Matrix, epsilon: Float) {
        self.query = query
        self.key = key
        self.epsilon = epsilon
    }
}

/// Grouped-query attention: `heads / kvHeads` query heads share each KV head.
///
/// A task takes a block of rows and one KV head: the queries of all heads of the group go over each block of keys
/// together. Blocks and softmax weights stay in the CPU's caches, whatever the length of the cache.
package final class Attention: Sendable {
    /// Query heads.
    package let heads: Int
    /// Key and value heads, a divisor of `heads`.
    package let kvHeads: Int
    /// Values per head.
    package let headDim: Int
    /// Whether products of a prompt's rows are taken in 8 bits, where the CPU has instructions for it.
    private let inBytes: Bool

    /// Query rows times heads of a group in one task: each converts all keys before its own, once. A long prompt has enough
    /// tasks for all threads even if they are large.
    private static let (smallBlock, largeBlock) = (256, 512)
    /// Rows that one task rotates.
    private static let rotatedRows = 32

    private let spare = Mutex<[AttentionScratch]>([])

    /// Describes the heads; `heads` is a multiple of `kvHeads`, `headDim` even.
    package init(heads: Int, kvHeads: Int, headDim: Int, precision: Precision) {
        precondition(kvHeads > 0 && heads % kvHeads == 0 && headDim > 0 && headDim % 2 == 0)
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        inBytes = precision == .int8
    }

    private var group: Int { heads / kvHeads }

    /// Norms and rotates queries in place.
    ///
    /// - Parameters:
    ///   - queries: `[_, heads * headDim]`.
    ///   - rows: which of its rows; the angles of row i are those of `angleRows[i - rows.lowerBound]`.
    package func rotateQueries(
        _ queries: Matrix, rows: Range<Int>, norm: HeadNorm?, angles: RotaryAngles, angleRow: (Int) -> Int,
        pool: ThreadPool
    ) {
        forBlocks(of: rows, pool: pool) { block in
            for row in block {
                let at = queries.pointer(row: row)
                if let norm { normHeads(at, count: heads, weight: norm.query, epsilon: norm.epsilon) }
                let angle = angleRow(row)
                Kernels.rotate(
                    at, cosines: angles.cosines.pointer(row: angle), sines: angles.sines.pointer(row: angle),
                    heads: heads, headDim: headDim, into: at, stride: headDim)
            }
        }
    }

    /// Norms and rotates keys in place, and writes keys and values to the caches.
    ///
    /// - Parameters:
    ///   - keyValues: `[_, 2 kvHeads headDim]`, keys first: row 0 is row `rows.lowerBound` of the call.
    ///   - rows: the rows of the call that `keyValues` holds.
    ///   - angles: the angles of all rows of the call.
    ///   - segments: all segments of the call.
    package func store(
        _ keyValues: Matrix, rows: Range<Int>, norm: HeadNorm?, angles: RotaryAngles, segments: [AttentionSegment],
        pool: ThreadPool
    ) {
        for segment in segments where segment.rows.overlaps(rows) {
            forBlocks(of: segment.rows.clamped(to: rows), pool: pool) { block in
                for row in block {
                    let keys = keyValues.pointer(row: row - rows.lowerBound)
                    let values = keys + kvHeads * headDim
                    if let norm { normHeads(keys, count: kvHeads, weight: norm.key, epsilon: norm.epsilon) }
                    Kernels.rotate(
                        keys, cosines: angles.cosines.pointer(row: row), sines: angles.sines.pointer(row: row),
                        heads: kvHeads, headDim: headDim, into: keys, stride: headDim)
                    let cacheRow = segment.firstCacheRow + row - segment.rows.lowerBound
                    for head in 0..<kvHeads {
                        segment.keys.store(keys + head * headDim, row: head * segment.capacity + cacheRow)
                        segment.values.store(values + head * headDim, row: head * segment.capacity + cacheRow)
                    }
                }
            }
        }
    }

    /// Attention of every row of every segment: `queries` and `output` are `[rows, heads * headDim]`.
    package func attend(_ queries: Matrix, segments: [AttentionSegment], into output: Matrix, pool: ThreadPool) {
        let largeTasks = segments.reduce(0) { $0 + $1.rows.count } * heads / Self.largeBlock
        let block = largeTasks >= 16 * pool.threads ? Self.largeBlock : Self.smallBlock
        let blockRows = max(1, block / group)
        var tasks: [Task] = []
        for (index, segment) in segments.enumerated() {
            if segment.sparsity != nil { segment.means?.update(segment) }
            let decodedFrom = min(segment.decodedFrom, segment.rows.count)
            // Blocks of queries that share a choice of keys begin at multiples of their size in the cache.
            let step = segment.sparsity == nil ? blockRows : BlockSparsity.queryRows
            var first = segment.sparsity == nil ? 0 : -(segment.firstCacheRow % step)
            while first < decodedFrom {
                let rows = max(0, first)..<min(decodedFrom, first + step)
                for kvHead in 0..<kvHeads { tasks.append(Task(segment: index, kvHead: kvHead, rows: rows)) }
                first += step
            }
            for row in decodedFrom..<segment.rows.count {
                for kvHead in 0..<kvHeads {
                    tasks.append(Task(segment: index, kvHead: kvHead, rows: row..<row + 1, isDecoded: true))
                }
            }
        }
        // Long tasks first, so that no thread starts one when the others are done.
        if tasks.count > kvHeads { tasks.sort { length(of: $0, segments) > length(of: $1, segments) } }
        pool.parallelFor(tasks.count) { index in
            let scratch =
                spare.withLock { $0.popLast() }
                ?? AttentionScratch(
                    rows: max(1, Self.largeBlock / group, BlockSparsity.queryRows), heads: group, headDim: headDim)
            run(tasks[index], segment: segments[tasks[index].segment], queries, into: output, scratch)
            spare.withLock { $0.append(scratch) }
        }
    }

    private struct Task {
        var segment: Int
        var kvHead: Int
        /// Rows of the segment.
        var rows: Range<Int>
        var isDecoded = false
    }

    private func length(of task: Task, _ segments: [AttentionSegment]) -> Int {
        task.rows.count * (segments[task.segment].firstCacheRow + task.rows.upperBound)
    }

    private func run(
        _ task: Task, segment: AttentionSegment, _ queries: Matrix, into output: Matrix, _ scratch: AttentionScratch
    ) {
        let width = group * headDim
        let firstRow = segment.rows.lowerBound + task.rows.lowerBound
        for (index, row) in task.rows.enumerated() {
            scratch.limits[index] = Int32(segment.firstCacheRow + row + 1)
            scratch.first[index] = min(segment.firstVisible?[row] ?? 0, scratch.limits[index] - 1)
        }
        var work = winnow_attention_task(
            queries: queries.pointer(row: firstRow) + task.kvHead * width, query_stride: queries.columns,
            rows: task.rows.count, heads: group, head_dim: headDim,
            keys: UnsafeRawPointer(segment.keys.pointer(row: task.kvHead * segment.capacity)),
            values: UnsafeRawPointer(segment.values.pointer(row: task.kvHead * segment.capacity)),
            half: segment.keys.isHalf ? 1 : 0, bytes: inBytes ? 1 : 0, decoded: task.isDecoded ? 1 : 0,
            first: scratch.first,
            limit: scratch.limits, visible: nil, block_keys: Int32(BlockSparsity.keyRows),
            mean_keys: nil, mean_values: nil, means: 0,
            scale: 1 / Float(headDim).squareRoot(),
            output: output.pointer(row: firstRow) + task.kvHead * width, output_stride: output.columns)
        let cacheRows = segment.firstCacheRow + task.rows.lowerBound..<segment.firstCacheRow + task.rows.upperBound
        if let sparsity = segment.sparsity, !task.isDecoded, !sparsity.isExact(rows: cacheRows) {
            work.visible = visibleBlocks(of: work, cacheRows: cacheRows, sparsity, scratch)
            if let means = segment.means {
                work.mean_keys = UnsafeRawPointer(means.keys.pointer(row: task.kvHead * means.blocks))
                work.mean_values = UnsafeRawPointer(means.values.pointer(row: task.kvHead * means.blocks))
                // Blocks beyond are not before all of the task's rows, and seen.
                work.means = min(means.count, cacheRows.lowerBound / BlockSparsity.keyRows)
            }
        }
        winnow_attend(Kernels.level, &work, scratch.memory)
    }

    /// A byte for each block of keys up to the task's last row, not 0 if its rows look at it; nil: they look at all. It
    /// stays in `scratch`.
    private func visibleBlocks(
        of task: winnow_attention_task, cacheRows: Range<Int>, _ sparsity: BlockSparsity, _ scratch: AttentionScratch
    ) -> UnsafePointer<UInt8>? {
        let sampling = BlockSparsity.sampling
        let skipped = sampling - 1 - cacheRows.lowerBound % sampling
        guard skipped < task.rows else { return nil }
        let rows = Array(stride(from: skipped, to: task.rows, by: sampling))
        let blocks = (cacheRows.upperBound + BlockSparsity.keyRows - 1) / BlockSparsity.keyRows
        scratch.reserve(blocks: blocks, lanes: rows.count * group)
        scratch.weights.update(repeating: 0, count: blocks)
        // Rows in turns look at the even keys and at the odd ones: half the work, and no key is passed by.
        let parts = min(rows.count, BlockSparsity.keyStep)
        for part in 0..<parts {
            let own = stride(from: part, to: rows.count, by: parts).map { rows[$0] }
            own.map { task.first[$0] }.withUnsafeBufferPointer { first in
                own.map { task.limit[$0] }.withUnsafeBufferPointer { limits in
                    var sample = task
                    sample.queries = task.queries + own[0] * task.query_stride
                    sample.query_stride = task.query_stride * sampling * parts
                    sample.rows = own.count
                    sample.first = first.baseAddress
                    sample.limit = limits.baseAddress
                    winnow_block_weights(
                        Kernels.level, &sample, winnow_sampled_keys(first: Int32(part), step: Int32(parts)),
                        scratch.memory, scratch.sums, scratch.partWeights)
                }
            }
            // The last blocks may be beyond the part's rows.
            let seen = (Int(task.limit[own[own.count - 1]]) + BlockSparsity.keyRows - 1) / BlockSparsity.keyRows
            let share = Float(own.count) / Float(rows.count)
            for block in 0..<seen { scratch.weights[block] += share * scratch.partWeights[block] }
        }
        let weights = UnsafeBufferPointer(start: scratch.weights, count: blocks)
        let visible = sparsity.visibleBlocks(weights, rows: cacheRows)
        guard visible.contains(false) else { return nil }
        for (block, isVisible) in visible.enumerated() { scratch.visible[block] = isVisible ? 1 : 0 }
        return UnsafePointer(scratch.visible)
    }

    private func normHeads(_ heads: UnsafeMutablePointer<Float>, count: Int, weight: Matrix, epsilon: Float) {
        winnow_rms_norm(Kernels.level, heads, weight.pointer(row: 0), epsilon, heads, count, headDim)
    }

    private func forBlocks(of rows: Range<Int>, pool: ThreadPool, _ body: (Range<Int>) -> Void) {
        pool.parallelFor((rows.count + Self.rotatedRows - 1) / Self.rotatedRows) { task in
            let first = rows.lowerBound + task * Self.rotatedRows
            body(first..<min(rows.upperBound, first + Self.rotatedRows))
        }
    }
}
