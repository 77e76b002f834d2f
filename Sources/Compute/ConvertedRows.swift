// Rows of activations in the format that packed weights multiply.

internal import CKernels
internal import COneDNN
internal import Glibc

/// Room for converted rows, which grows and is used again.
package final class ConvertedRows: @unchecked Sendable {  // used by one product at a time
    private var room: (bytes: Matrix, scales: Matrix)

    var bytes: UnsafeMutableRawPointer { UnsafeMutableRawPointer(room.bytes.pointer(row: 0)) }
    var scales: UnsafeMutablePointer<Float> { room.scales.pointer(row: 0) }

    package init() { room = (Matrix(rows: 1, columns: 16), Matrix(rows: 1, columns: 16)) }

    /// Makes room for rows of some columns in any format, so that converting them needs no more.
    ///
    /// - Throws: if the memory cannot be had.
    package func reserve(rows: Int, columns: Int) throws(MemoryError) {
        let rowBytes = max(columns * 2, winnow_fixed_values(columns) * 2, winnow_quantized_bytes(columns))
        try grow(
            scales: rows * max(1, winnow_fixed_runs(columns)), bytes: rows * rowBytes, for: "converted activations")
    }

    /// Quantises rows of a matrix as the packed kernels want them, a scale for each, on all threads of the pool.
    func quantize(_ input: Matrix, rows: Range<Int>, pool: ThreadPool) {
        let rowBytes = winnow_quantized_bytes(input.columns)
        grow(scales: rows.count, bytes: rows.count * rowBytes)
        let (bytes, scales) = (bytes.assumingMemoryBound(to: UInt8.self), scales)
        forBlocks(of: rows.count, pool: pool) { block in
            winnow_quantize_rows(
                Kernels.level, input.pointer(row: rows.lowerBound + block.lowerBound), input.columns, block.count,
                input.columns, bytes + block.lowerBound * rowBytes, scales + block.lowerBound)
        }
    }

    /// Brings rows of a matrix into 16-bit fixed point, a scale for each run of each row, on all threads of the pool.
    func fix(_ input: Matrix, rows: Range<Int>, pool: ThreadPool) {
        let columns = input.columns
        grow(scales: rows.count * winnow_fixed_runs(columns), bytes: rows.count * winnow_fixed_values(columns) * 2)
        let (bytes, scales) = (bytes.assumingMemoryBound(to: Int16.self), scales)
        forBlocks(of: rows.count, pool: pool) { block in
            winnow_fix_rows(
                Kernels.level, input.pointer(row: rows.lowerBound), columns, block.lowerBound, block.count, rows.count,
                columns, bytes, scales)
        }
    }

    /// Converts rows of a matrix to what oneDNN multiplies in this precision.
    func convert(_ input: Matrix, rows: Range<Int>, precision: Precision, pool: ThreadPool) {
        let columns = input.columns
        let level = Kernels.level
        grow(scales: rows.count, bytes: rows.count * columns * (precision == .int8 ? 1 : 2))
        let (bytes, scales) = (bytes, scales)
        forBlocks(of: rows.count, pool: pool) { block in
            let from = input.pointer(row: rows.lowerBound + block.lowerBound)
            if precision == .int8 {
                winnow_onednn_quantize(
                    level, winnow_onednn_largest_step(), from, columns,
                    bytes.assumingMemoryBound(to: UInt8.self) + block.lowerBound * columns, columns,
                    scales + block.lowerBound, block.count, columns)
            } else {
                winnow_onednn_to_bf16(
                    level, from, columns, bytes.assumingMemoryBound(to: UInt16.self) + block.lowerBound * columns,
                    columns, block.count, columns)
            }
        }
    }

    private func grow(scales scaleCount: Int, bytes count: Int) {
        do {
            try grow(scales: scaleCount, bytes: count, for: "converted activations")
        } catch {
            preconditionFailure("\(error)")
        }
    }

    private func grow(scales scaleCount: Int, bytes count: Int, for purpose: String) throws(MemoryError) {
        let words = (count + 3) / 4
        if words > room.bytes.count { room.bytes = try Matrix(rows: 1, columns: words, for: purpose) }
        if scaleCount > room.scales.count { room.scales = try Matrix(rows: 1, columns: scaleCount, for: purpose) }
    }

    private func forBlocks(of rows: Int, pool: ThreadPool, _ body: (Range<Int>) -> Void) {
        let rowsPerTask = 32
        pool.parallelFor((rows + rowsPerTask - 1) / rowsPerTask) { task in
            body(task * rowsPerTask..<min(rows, (task + 1) * rowsPerTask))
        }
    }
}
