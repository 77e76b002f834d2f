// The memory of requests' keys and values goes when they go.

import Compute
import Glibc
import Testing

@Suite("KV memory")
struct KVMemoryTests {
    @Test func rowsLieApartInOneBlock() throws {
        let each = try #require(KVRows.byteCount(rows: 3, columns: 5, isHalf: true))
        #expect(each == 64)
        let memory = try KVMemory(byteCount: 3 * each, for: "a test")
        let blocks = (0..<3).map { KVRows(rows: 3, columns: 5, isHalf: true, in: memory, at: $0 * each) }
        for (index, block) in blocks.enumerated() {
            let matrix = Matrix(rows: 3, columns: 5)
            matrix.withUnsafeMutableBufferPointer { $0.update(repeating: Float(index + 1)) }
            block.store(matrix, at: 0)
        }
        for (index, block) in blocks.enumerated() {
            #expect(block.values(rows: 0..<3) == [Float](repeating: Float(index + 1), count: 15))
        }
    }

    @Test func whatCanNotBeCountedIsNoMemory() {
        #expect(KVRows.byteCount(rows: .max, columns: 2, isHalf: true) == nil)
        #expect(KVRows.byteCount(rows: .max, columns: 1, isHalf: false) == nil)
        #expect(KVRows.byteCount(rows: -1, columns: 1, isHalf: false) == nil)
        #expect(throws: MemoryError.self) { try KVMemory(byteCount: .max / 2, for: "a test") }
    }

    /// As in a server: while requests come and go, small things are made between their caches that stay.
    @Test func blocksAreGivenBackWhateverLiesBetween() throws {
        // An allocator that takes large blocks from the system at first takes them from its heap from now on.
        free(malloc(30 << 20))
        var small: [UnsafeMutableRawPointer?] = []
        defer { for pointer in small { free(pointer) } }
        let bytes = 256 << 10
        // Other tests map memory meanwhile, perhaps just where a block was: one time of a few it is seen.
        let gone = try (0..<5).contains { _ in
            var blocks: [KVMemory] = []
            for _ in 0..<100 {
                let block = try KVMemory(byteCount: bytes, for: "a test")
                memset(block.base, 1, bytes)
                blocks.append(block)
                small.append(malloc(100))
            }
            let places = blocks.map { UInt(bitPattern: $0.base) }
            blocks.removeAll()
            let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
            let left = places.filter { place in
                var isThere: UInt8 = 0
                return mincore(UnsafeMutableRawPointer(bitPattern: place & ~(page - 1)), 1, &isThere) == 0
            }
            return left.isEmpty
        }
        #expect(gone)
    }
}
