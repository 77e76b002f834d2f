// A weight matrix applied to rows.

/// A linear layer without bias: `output = input W^T`, its product shared out over the threads of a pool.
package struct Linear: Sendable {
    /// `[outputs, inputs]`, as checkpoints store it.
    package let weights: Matrix

    /// Takes over the weights, which nobody may change from now on.
    package init(weights: Matrix) { self.weights = weights }

    /// Writes, or adds, `input W^T` for rows `inputRows` of `input` to the rows of `output` from `outputRow` on.
    ///
    /// `input` is `[_, inputs]` and `output` `[_, outputs]`.
    package func apply(
        _ input: Matrix, rows inputRows: Range<Int>, to output: Matrix, from outputRow: Int, adding: Bool = false,
        pool: ThreadPool
    ) {
        precondition(input.columns == weights.columns && output.columns == weights.rows)
        precondition(inputRows.upperBound <= input.rows && outputRow + inputRows.count <= output.rows)
        guard !inputRows.isEmpty else { return }
        // Slices of whole 16-column groups; a few more than threads so that a late thread holds nobody up.
        let groups = (weights.rows + 15) / 16
        let slices = pool.threads == 1 ? 1 : min(groups, pool.threads * (inputRows.count <= 8 ? 1 : 2))
        pool.parallelFor(slices) { slice in
            let first = min(groups * slice / slices * 16, weights.rows)
            let end = min(groups * (slice + 1) / slices * 16, weights.rows)
            BLAS.multiply(
                rows: inputRows.count, columns: end - first, depth: weights.columns,
                input.pointer(row: inputRows.lowerBound), stride: input.columns,
                weights.pointer(row: first), stride: weights.columns, transposed: true, beta: adding ? 1 : 0,
                into: output.pointer(row: outputRow) + first, stride: output.columns)
        }
    }
}
