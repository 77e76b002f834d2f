// Attention weights of a few query rows over all keys of a prompt.

internal import CKernels

/// The softmax of a few queries over a prompt's keys, row by row, for whoever wants the weights rather than the output.
package final class PromptAttention {
    private let rows: Int
    private let keys: Int
    private let headDim: Int
    private let weights: Matrix
    private let limits: [Int32]

    /// Makes room for `rows` queries of `headDim` values over `keys` keys.
    package init(rows: Int, keys: Int, headDim: Int) {
        self.rows = rows
        self.keys = keys
        self.headDim = headDim
        weights = Matrix(rows: rows, columns: keys)
        limits = [Int32](repeating: Int32(keys), count: rows)
    }

    /// Calls `body` for each query with exp(q.k/sqrt(headDim) - their maximum) for every key, and the sum of these.
    ///
    /// - Parameters:
    ///   - queries: `[rows, headDim]`.
    ///   - keys: at least the number of keys, of `headDim` values; those beyond are not looked at.
    package func forEachRow(
        queries: UnsafeBufferPointer<Float>, keys keyRows: KVSlice,
        _ body: (_ weights: UnsafeBufferPointer<Float>, _ sum: Float) -> Void
    ) {
        precondition(queries.count == rows * headDim && keyRows.rows >= keys)
        guard let queries = queries.baseAddress, let base = keyRows.base, keys > 0 else { return }
        winnow_scores(
            Kernels.level, queries, rows, headDim, base, keyRows.isHalf ? 1 : 0, keys,
            1 / Float(headDim).squareRoot(), weights.pointer(row: 0))
        var maxima = [Float](repeating: -.infinity, count: rows)
        var sums = [Float](repeating: 0, count: rows)
        var corrections = sums
        winnow_softmax_step(
            Kernels.level, weights.pointer(row: 0), keys, rows, keys, 1, limits, &maxima, &sums, &corrections)
        weights.withUnsafeBufferPointer { all in
            for row in 0..<rows {
                body(UnsafeBufferPointer(rebasing: all[row * keys..<(row + 1) * keys]), sums[row])
            }
        }
    }
}
