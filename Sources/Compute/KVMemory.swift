// The memory of one request's keys and values, which goes back to the system with the request.

internal import Glibc

/// A block of memory, page-aligned where it is large, else 64-byte aligned; for ``KVRows``, one or many.
///
/// Large blocks are taken from the system and given back to it: of an allocator's heap, pages that were written once stay
/// real after the crowd of requests that wrote them is gone, and what outlives a request keeps the rest from being given back.
package final class KVMemory: Sendable {
    /// The bytes asked for.
    package let byteCount: Int
    /// Where it begins. The values are undefined until written; who writes when is up to those that share it.
    package nonisolated(unsafe) let base: UnsafeMutableRawPointer

    /// From this size on a block is its own mapping: one for each request, of which a process may have some 60,000.
    private static let mapped = 128 << 10

    /// - Parameter purpose: what the error calls it.
    /// - Throws: if the memory cannot be had.
    package init(byteCount: Int, for purpose: String) throws(MemoryError) {
        self.byteCount = byteCount
        guard byteCount >= Self.mapped else {
            base = try allocated(byteCount, by: 1, bytesEach: 1, for: purpose)
            return
        }
        let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else { throw MemoryError(purpose: purpose, bytes: byteCount) }
        base = memory
    }

    deinit {
        if byteCount >= Self.mapped { munmap(base, byteCount) } else { free(base) }
    }
}
