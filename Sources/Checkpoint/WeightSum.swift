// A sum over bytes that tells damage, quick enough to be taken of every byte that is read.

/// Two sums over the 64-bit words of a section, in eight lanes: of the words, and of each times its place. Changed, missing
/// and exchanged words change it. Sums of parts, taken in any order, add up to the whole's. It keeps out no one who means
/// to deceive.
package struct WeightSum: Equatable, Sendable {
    private var words = SIMD8<UInt64>()
    private var placed = SIMD8<UInt64>()

    package init() {}

    /// Adds bytes that begin at `offset`, a multiple of 64. If their count is none, they are the last.
    package mutating func add(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        let rows = bytes.count / 64
        var sum = SIMD8<UInt64>()
        // The sum of the sums so far: each word times the rows from it to the end.
        var sums = SIMD8<UInt64>()
        for row in 0..<rows {
            sum &+= base.loadUnaligned(fromByteOffset: row * 64, as: SIMD8<UInt64>.self)
            sums &+= sum
        }
        let first = UInt64(offset / 64)
        words &+= sum
        placed &+= sum &* (first &+ UInt64(rows)) &- sums
        let rest = bytes.count % 64
        guard rest > 0 else { return }
        var last = SIMD8<UInt64>()
        withUnsafeMutableBytes(of: &last) { target in
            target.copyMemory(from: UnsafeRawBufferPointer(start: base + rows * 64, count: rest))
        }
        words &+= last
        placed &+= last &* (first &+ UInt64(rows))
    }

    /// Adds the sum of another part.
    package mutating func add(_ other: WeightSum) {
        words &+= other.words
        placed &+= other.placed
    }

    /// The sums as bytes.
    var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } + withUnsafeBytes(of: placed) { Array($0) } }
}
