// Rows of activations in the format that 8-bit weights multiply.

internal import CKernels
internal import Glibc

/// Room for quantised rows, which grows and is used again.
package final class QuantizedRows: @unchecked Sendable {  // used by one product at a time
    private(set) var bytes: UnsafeMutablePointer<UInt8>
    private(set) var scales: UnsafeMutablePointer<Float>
    private var capacity = (bytes: 64, rows: 16)

    package init() {
        bytes = .allocate(capacity: capacity.bytes)
        scales = .allocate(capacity: capacity.rows)
    }

    deinit {
        bytes.deallocate()
        scales.deallocate()
    }

    /// Quantises rows of a matrix, a scale for each, on all threads of the pool.
    func quantize(_ input: Matrix, rows: Range<Int>, pool: ThreadPool) {
        let rowBytes = winnow_quantized_bytes(input.columns)
        if rows.count * rowBytes > capacity.bytes {
            bytes.deallocate()
            capacity.bytes = rows.count * rowBytes
            bytes = .allocate(capacity: capacity.bytes)
        }
        if rows.count > capacity.rows {
            scales.deallocate()
            capacity.rows = rows.count
            scales = .allocate(capacity: capacity.rows)
        }
        let rowsPerTask = 32
        let (bytes, scales) = (bytes, scales)
        pool.parallelFor((rows.count + rowsPerTask - 1) / rowsPerTask) { task in
            let first = task * rowsPerTask
            winnow_quantize_rows(
                Kernels.level, input.pointer(row: rows.lowerBound + first), input.columns,
                min(rowsPerTask, rows.count - first), input.columns, bytes + first * rowBytes, scales + first)
        }
    }
}
