// Rows of keys or values, Float32 or bf16.

internal import CKernels

/// A row-major block of keys or values, `[rows, columns]`, 64-byte aligned; one of several in its ``KVMemory``, or the only one.
///
/// It takes real memory only as its pages are written. It has no lock: whoever holds it sees to it that no thread writes
/// while another reads or writes.
package final class KVRows: @unchecked Sendable {  // guarded by its owner, as said above
    /// The number of rows.
    package let rows: Int
    /// Values in a row.
    package let columns: Int
    /// Whether the values are bf16; Float32 otherwise.
    package let isHalf: Bool
    private let memory: KVMemory
    private let base: UnsafeMutableRawPointer

    /// Allocates rows. Their values are undefined until written.
    ///
    /// - Parameter purpose: what the error calls them.
    /// - Throws: if the memory cannot be had.
    package convenience init(rows: Int, columns: Int, isHalf: Bool, for purpose: String) throws(MemoryError) {
        guard let bytes = Self.byteCount(rows: rows, columns: columns, isHalf: isHalf) else {
            throw MemoryError(purpose: purpose, bytes: .max)
        }
        self.init(
            rows: rows, columns: columns, isHalf: isHalf, in: try KVMemory(byteCount: bytes, for: purpose), at: 0)
    }

    /// Rows in memory that others may share, from byte `offset` on, a multiple of 64; there must be
    /// ``byteCount(rows:columns:isHalf:)`` of them.
    package init(rows: Int, columns: Int, isHalf: Bool, in memory: KVMemory, at offset: Int) {
        self.memory = memory
        base = memory.base + offset
        self.rows = rows
        self.columns = columns
        self.isHalf = isHalf
    }

    /// The bytes of rows, to the next multiple of 64; nil: more than can be counted, or rows that cannot be.
    package static func byteCount(rows: Int, columns: Int, isHalf: Bool) -> Int? {
        let (values, overflow) = rows.multipliedReportingOverflow(by: columns)
        let (bytes, tooMany) = max(values, 1).multipliedReportingOverflow(by: isHalf ? 2 : 4)
        guard rows >= 0, columns >= 0, !overflow, !tooMany, bytes <= .max - 63 else { return nil }
        return (bytes + 63) / 64 * 64
    }

    /// The same for sizes that do not come from outside: memory that cannot be had ends the process.
    package convenience init(rows: Int, columns: Int, isHalf: Bool) {
        do {
            try self.init(rows: rows, columns: columns, isHalf: isHalf, for: "\(rows) x \(columns) keys or values")
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// Bytes from a row to the next.
    private var stride: Int { columns * (isHalf ? 2 : 4) }

    /// The first value of a row. The caller keeps the object alive.
    func pointer(row: Int) -> UnsafeMutableRawPointer { base + row * stride }

    /// Writes one row, rounded to the nearest bf16 if that is what it holds.
    func store(_ values: UnsafePointer<Float>, row: Int) {
        if isHalf {
            winnow_narrow_bf16(
                Kernels.level, values, pointer(row: row).assumingMemoryBound(to: UInt16.self), columns)
        } else {
            pointer(row: row).assumingMemoryBound(to: Float.self).update(from: values, count: columns)
        }
    }

    /// Writes the rows of a matrix of equal width from row `first` on.
    package func store(_ matrix: Matrix, at first: Int) {
        precondition(matrix.columns == columns && first >= 0 && first + matrix.rows <= rows)
        for row in 0..<matrix.rows { store(matrix.pointer(row: row), row: first + row) }
    }

    /// Reads one row as Float32 into room for `columns` values.
    package func load(row: Int, into output: UnsafeMutableBufferPointer<Float>) {
        precondition(0 <= row && row < rows && output.count == columns)
        if isHalf {
            Kernels.widenBF16(pointer(row: row), into: output)
        } else {
            output.baseAddress?.update(from: pointer(row: row).assumingMemoryBound(to: Float.self), count: columns)
        }
    }

    /// Copies rows out as Float32.
    package func values(rows: Range<Int>) -> [Float] {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
        let count = rows.count * columns
        return [Float](unsafeUninitializedCapacity: count) { values, initialized in
            for (place, row) in rows.enumerated() {
                load(
                    row: row,
                    into: UnsafeMutableBufferPointer(rebasing: values[place * columns..<(place + 1) * columns]))
            }
            initialized = count
        }
    }

    /// Lends rows; they must not be used after `body` returns.
    package func withRows<R>(_ rows: Range<Int>, _ body: (KVSlice) throws -> R) rethrows -> R {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
        return try withExtendedLifetime(self) {
            try body(KVSlice(base: UnsafeRawPointer(pointer(row: rows.lowerBound)), rows: rows.count, isHalf: isHalf))
        }
    }
}

/// Rows of keys or values that somebody lends.
package struct KVSlice {
    let base: UnsafeRawPointer?
    /// The number of rows.
    package let rows: Int
    let isHalf: Bool

    init(base: UnsafeRawPointer?, rows: Int, isHalf: Bool) {
        self.base = base
        self.rows = rows
        self.isHalf = isHalf
    }

    /// Float32 rows of `columns` values.
    package init(_ values: UnsafeBufferPointer<Float>, columns: Int) {
        self.init(base: UnsafeRawPointer(values.baseAddress), rows: values.count / max(columns, 1), isHalf: false)
    }
}
