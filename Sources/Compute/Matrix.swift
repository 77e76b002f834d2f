// A block of Float32 memory with a shape.

internal import Glibc

/// A row-major Float32 matrix, 64-byte aligned, `[rows, columns]`. Either side may be 0.
///
/// It has no lock: whoever holds it sees to it that no thread writes while another reads or writes.
public final class Matrix: @unchecked Sendable {  // guarded by its owner, as said above
    /// The number of rows.
    public let rows: Int
    /// The number of columns.
    public let columns: Int
    private let base: UnsafeMutablePointer<Float>

    /// Allocates a matrix. Its values are undefined until written.
    ///
    /// Large matrices take real memory only as their pages are touched. Memory that cannot be had at all ends the
    /// process, as with every Swift allocation: what grows with what comes from outside is made by
    /// ``init(rows:columns:for:)``.
    public convenience init(rows: Int, columns: Int) {
        do {
            try self.init(rows: rows, columns: columns, for: "a matrix of \(rows) x \(columns) values")
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// Allocates a matrix. Its values are undefined until written.
    ///
    /// - Parameter purpose: what the error calls it.
    /// - Throws: if the memory cannot be had.
    public init(rows: Int, columns: Int, for purpose: String) throws(MemoryError) {
        let memory = try allocated(rows, by: columns, bytesEach: MemoryLayout<Float>.stride, for: purpose)
        self.rows = rows
        self.columns = columns
        base = memory.bindMemory(to: Float.self, capacity: max(rows * columns, 1))
    }

    deinit { free(base) }

    /// The number of values.
    public var count: Int { rows * columns }

    /// Lends the values, row after row, to read; they must not be used after `body` returns.
    public func withUnsafeBufferPointer<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
        try withExtendedLifetime(self) { try body(UnsafeBufferPointer(start: base, count: count)) }
    }

    /// Lends the values, row after row, to change; they must not be used after `body` returns.
    public func withUnsafeMutableBufferPointer<R>(
        _ body: (UnsafeMutableBufferPointer<Float>) throws -> R
    ) rethrows -> R {
        try withExtendedLifetime(self) { try body(UnsafeMutableBufferPointer(start: base, count: count)) }
    }

    /// Some rows' values, for this module's kernels. The caller keeps the matrix alive.
    func buffer(rows: Range<Int>) -> UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(start: pointer(row: rows.lowerBound), count: rows.count * columns)
    }

    /// The first value of a row, for this module's kernels. The caller keeps the matrix alive.
    func pointer(row: Int) -> UnsafeMutablePointer<Float> { base + row * columns }
}
