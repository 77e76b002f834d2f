// The arithmetic between matrix products, shared out over a pool by rows.

internal import CKernels

/// Row-wise kernels on matrices.
package enum Kernels {
    static let level = winnow_level_in_use()

    /// Rows a thread takes at a time: small enough to share out, large enough to be worth it.
    private static let rowsPerTask = 32

    /// Root mean square norm of rows `rows` of `input` into the first rows of `output`; both `[_, weight.count]`.
    package static func rmsNorm(
        _ input: Matrix, rows: Range<Int>, weight: Matrix, epsilon: Float, into output: Matrix, pool: ThreadPool
    ) {
        precondition(input.columns == weight.count && output.columns == weight.count)
        precondition(rows.upperBound <= input.rows && rows.count <= output.rows)
        forBlocks(of: rows.count, pool: pool) { block in
            winnow_rms_norm(
                level, input.pointer(row: rows.lowerBound + block.lowerBound), weight.pointer(row: 0), epsilon,
                output.pointer(row: block.lowerBound), block.count, weight.count)
        }
    }

    /// `silu(gate) * up` of the first `rows` rows: `gateUp` is `[_, 2 n]`, gates first; `output` is `[_, n]`.
    package static func siluMultiply(_ gateUp: Matrix, rows: Int, into output: Matrix, pool: ThreadPool) {
        precondition(gateUp.columns == 2 * output.columns && rows <= gateUp.rows && rows <= output.rows)
        forBlocks(of: rows, pool: pool) { block in
            let gate = gateUp.pointer(row: block.lowerBound)
            winnow_silu_multiply(
                level, gate, gate + output.columns, gateUp.columns, output.pointer(row: block.lowerBound),
                output.columns, block.count, output.columns)
        }
    }

    /// Rotates `heads` heads, read one after the other at `input`, by a row's angles (rotate-half: element i turns
    /// with element i + headDim / 2). Head h is written at `output + h * stride`.
    package static func rotate(
        _ input: UnsafePointer<Float>, cosines: UnsafePointer<Float>, sines: UnsafePointer<Float>, heads: Int,
        headDim: Int, into output: UnsafeMutablePointer<Float>, stride: Int
    ) {
        winnow_rotate(level, input, cosines, sines, output, stride, heads, headDim)
    }

    /// Widens `output.count` bf16 values at `bytes`, which may have any alignment.
    package static func widenBF16(_ bytes: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard let base = output.baseAddress else { return }
        winnow_widen_bf16(level, bytes, base, output.count)
    }

    /// Widens `output.count` IEEE half-precision values at `bytes`, which may have any alignment.
    package static func widenF16(_ bytes: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard let base = output.baseAddress else { return }
        winnow_widen_f16(level, bytes, base, output.count)
    }

    /// Whether 16-bit weights are held in fixed point.
    static var holdsFixed: Bool { winnow_packed_half(level) == winnow_packed_fixed }

    private static func forBlocks(of rows: Int, pool: ThreadPool, _ body: (Range<Int>) -> Void) {
        pool.parallelFor((rows + rowsPerTask - 1) / rowsPerTask) { task in
            body(task * rowsPerTask..<min(rows, (task + 1) * rowsPerTask))
        }
    }
}
