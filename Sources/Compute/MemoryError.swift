// Memory that can't be had.

internal import Glibc

/// Memory that the system does not give: for what, and how much.
public struct MemoryError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What it was wanted for.
    public var purpose: String
    /// Bytes that were wanted; `Int.max` where their number is beyond that.
    public var bytes: Int

    /// Names what can't be had.
    public init(purpose: String, bytes: Int) {
        self.purpose = purpose
        self.bytes = bytes
    }

    public var description: String {
        let size = bytes >= 1 << 20 ? "\(bytes >> 20) MiB" : "\(bytes) bytes"
        return "no memory for \(purpose): \(size) can't be had"
    }
}

/// Memory of 64-byte alignment, to be given to `free`; what it holds is undefined. Real memory is taken as its pages are
/// touched.
func allocated(
    _ rows: Int, by columns: Int, bytesEach: Int, for purpose: String
) throws(MemoryError) -> UnsafeMutableRawPointer {
    let (count, overflow) = max(rows, 0).multipliedReportingOverflow(by: max(columns, 0))
    let (bytes, tooMany) = max(count, 1).multipliedReportingOverflow(by: bytesEach)
    guard rows >= 0, columns >= 0, !overflow, !tooMany else { throw MemoryError(purpose: purpose, bytes: .max) }
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, bytes) == 0, let memory else {
        throw MemoryError(purpose: purpose, bytes: bytes)
    }
    return memory
}
