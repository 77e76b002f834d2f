// Causal attention of query rows over a cache, in blocks that stay in the CPU's caches.

internal import CKernels
internal import Synchronization

/// The keys and values of one layer of one request, and where its rows are in the matrices at hand.
package struct AttentionSegment: Sendable {
    /// `[kvHeads * capacity, headDim]`: the rows of KV head h start at `h * capacity`.
    package var keys: Matrix
    /// Laid out like ``keys``.
    package var values: Matrix
    /// Rows the cache has room for, per KV head.
    package var capacity: Int
    /// The cache row of the segment's first row; row i of the segment is cache row `firstCacheRow + i` and sees all
    /// cache rows up to itself.
    package var firstCacheRow: Int
    /// The segment's rows in the matrices of queries and results.
    package var rows: Range<Int>

    /// Describes one request's share of a call.
    package init(keys: Matrix, values: Matrix, capacity: Int, firstCacheRow: Int, rows: Range<Int>) {
        self.keys = keys
        self.values = values
        self.capacity = capacity
        self.firstCacheRow = firstCacheRow
        self.rows = rows
    }
}

/// Grouped-query attention: `heads / kvHeads` query heads share each KV head.
///
/// A task takes a block of rows and one KV head: the queries of all heads of the group form one matrix, so that every
/// product has hundreds of rows. Keys go by in blocks with an online softmax (Milakov and Gimelshein, 2018), so that a
/// block of scores never leaves the second cache.
package final class Attention: Sendable {
    /// Query heads.
    package let heads: Int
    /// Key and value heads, a divisor of `heads`.
    package let kvHeads: Int
    /// Values per head.
    package let headDim: Int

    /// Query rows times heads of a group in one block, and keys in one block.
    private static let blockQueries = 256
    private static let blockKeys = 512

    private let spare = Mutex<[AttentionScratch]>([])

    /// Describes the heads; `heads` is a multiple of `kvHeads`.
    package init(heads: Int, kvHeads: Int, headDim: Int) {
        precondition(kvHeads > 0 && heads % kvHeads == 0 && headDim > 0)
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
    }

    private var group: Int { heads / kvHeads }

    /// Splits the rows of `projected` (`[_, (heads + 2 kvHeads) headDim]`: queries, keys, values): rotated queries go to
    /// the same rows of `queries` from `rows.lowerBound` on, rotated keys and values to the caches.
    ///
    /// - Parameters:
    ///   - rows: the rows of the call that `projected` holds from its row 0 on.
    ///   - angles: the angles of all rows of the call.
    ///   - segments: all segments of the call.
    package func split(
        _ projected: Matrix, rows: Range<Int>, angles: RotaryAngles, segments: [AttentionSegment],
        queries: Matrix, pool: ThreadPool
    ) {
        let rowsPerTask = 32
        for segment in segments where segment.rows.overlaps(rows) {
            let shared = segment.rows.clamped(to: rows)
            pool.parallelFor((shared.count + rowsPerTask - 1) / rowsPerTask) { task in
                let first = shared.lowerBound + task * rowsPerTask
                for row in first..<min(shared.upperBound, first + rowsPerTask) {
                    let from = projected.pointer(row: row - rows.lowerBound)
                    let cacheRow = segment.firstCacheRow + row - segment.rows.lowerBound
                    let (cosines, sines) = (angles.cosines.pointer(row: row), angles.sines.pointer(row: row))
                    Kernels.rotate(
                        from, cosines: cosines, sines: sines, heads: heads, headDim: headDim,
                        into: queries.pointer(row: row), stride: headDim)
                    Kernels.rotate(
                        from + heads * headDim, cosines: cosines, sines: sines, heads: kvHeads, headDim: headDim,
                        into: segment.keys.pointer(row: cacheRow), stride: segment.capacity * headDim)
                    for head in 0..<kvHeads {
                        segment.values.pointer(row: head * segment.capacity + cacheRow)
                            .update(from: from + (heads + kvHeads + head) * headDim, count: headDim)
                    }
                }
            }
        }
    }

    /// Attention of every row of every segment: `queries` and `output` are `[rows, heads * headDim]`.
    package func attend(_ queries: Matrix, segments: [AttentionSegment], into output: Matrix, pool: ThreadPool) {
        let blockRows = max(1, Self.blockQueries / group)
        var tasks: [Task] = []
        for (index, segment) in segments.enumerated() {
            for first in stride(from: 0, to: segment.rows.count, by: blockRows) {
                let rows = first..<min(segment.rows.count, first + blockRows)
                for kvHead in 0..<kvHeads { tasks.append(Task(segment: index, kvHead: kvHead, rows: rows)) }
            }
        }
        // Long tasks first, so that no thread starts one when the others are done.
        tasks.sort { length(of: $0, segments) > length(of: $1, segments) }
        pool.parallelFor(tasks.count) { index in
            let scratch =
                spare.withLock { $0.popLast() }
                ?? AttentionScratch(queries: blockRows * group, keys: Self.blockKeys, headDim: headDim)
            run(tasks[index], segment: segments[tasks[index].segment], queries, into: output, scratch)
            spare.withLock { $0.append(scratch) }
        }
    }

    private struct Task {
        var segment: Int
        var kvHead: Int
        /// Rows of the segment.
        var rows: Range<Int>
    }

    private func length(of task: Task, _ segments: [AttentionSegment]) -> Int {
        task.rows.count * (segments[task.segment].firstCacheRow + task.rows.upperBound)
    }

    private func run(
        _ task: Task, segment: AttentionSegment, _ queries: Matrix, into output: Matrix, _ scratch: AttentionScratch
    ) {
        let width = group * headDim
        let count = task.rows.count * group
        let block = scratch.queries.pointer(row: 0)
        let result = scratch.result.pointer(row: 0)
        let firstRow = segment.rows.lowerBound + task.rows.lowerBound
        for row in 0..<task.rows.count {
            (block + row * width).update(
                from: queries.pointer(row: firstRow + row) + task.kvHead * width, count: width)
        }
        for query in 0..<count {
            scratch.maxima[query] = -.infinity
            scratch.sums[query] = 0
        }

        let visible = segment.firstCacheRow + task.rows.upperBound
        for first in stride(from: 0, to: visible, by: Self.blockKeys) {
            let keys = min(Self.blockKeys, visible - first)
            let cacheRow = task.kvHead * segment.capacity + first
            let scores = scratch.scores.pointer(row: 0)
            BLAS.multiply(
                rows: count, columns: keys, depth: headDim, block, stride: headDim,
                segment.keys.pointer(row: cacheRow), stride: headDim, transposed: true,
                into: scores, stride: keys)
            for row in 0..<task.rows.count {
                let sees = segment.firstCacheRow + task.rows.lowerBound + row + 1 - first
                for head in 0..<group { scratch.limits[row * group + head] = Int32(min(max(sees, 0), keys)) }
            }
            winnow_softmax_step(
                Kernels.level, scores, keys, count, keys, 1 / Float(headDim).squareRoot(), scratch.limits,
                scratch.maxima, scratch.sums, scratch.corrections)
            if first > 0 {
                winnow_scale_rows(Kernels.level, result, headDim, scratch.corrections, count, headDim)
            }
            BLAS.multiply(
                rows: count, columns: headDim, depth: keys, scores, stride: keys,
                segment.values.pointer(row: cacheRow), stride: headDim, transposed: false, beta: first > 0 ? 1 : 0,
                into: result, stride: headDim)
        }

        for query in 0..<count { scratch.corrections[query] = 1 / scratch.sums[query] }
        winnow_scale_rows(Kernels.level, result, headDim, scratch.corrections, count, headDim)
        for row in 0..<task.rows.count {
            (output.pointer(row: firstRow + row) + task.kvHead * width).update(from: result + row * width, count: width)
        }
    }
}

/// The memory one task works in; its size does not depend on the length of the cache.
private final class AttentionScratch: @unchecked Sendable {  // used by one task at a time
    let queries: Matrix
    let scores: Matrix
    let result: Matrix
    let limits: UnsafeMutablePointer<Int32>
    let maxima: UnsafeMutablePointer<Float>
    let sums: UnsafeMutablePointer<Float>
    let corrections: UnsafeMutablePointer<Float>

    init(queries count: Int, keys: Int, headDim: Int) {
        queries = Matrix(rows: count, columns: headDim)
        scores = Matrix(rows: count, columns: keys)
        result = Matrix(rows: count, columns: headDim)
        limits = .allocate(capacity: count)
        maxima = .allocate(capacity: count)
        sums = .allocate(capacity: count)
        corrections = .allocate(capacity: count)
    }

    deinit {
        limits.deallocate()
        maxima.deallocate()
        sums.deallocate()
        corrections.deallocate()
    }
}
