// Blocks of 32 values: Q4_1, Q5_0, Q5_1 and IQ4_NL.

extension BlockDecoding {
    /// Q4_1, 20 bytes for 32 values: scale d and minimum m (halves), 16 bytes of q as in Q4_0; a value is d q + m.
    static func q41(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 32 {
            let (scale, minimum) = (half(block), half(block + 2))
            let quants = (block + 4).assumingMemoryBound(to: UInt8.self)
            for index in 0..<16 {
                target[index] = scale * Float(quants[index] & 15) + minimum
                target[index + 16] = scale * Float(quants[index] >> 4) + minimum
            }
            target += 32
            block += 20
        }
    }

    /// Q5_0, 22 bytes for 32 values: scale d (half), 4 bytes with the fifth bit of each value, 16 bytes of the lower four
    /// as in Q4_0; a value is d (q - 16).
    static func q50(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 32 {
            let scale = half(block)
            fiveBits(block + 2) { index, quant in target[index] = scale * Float(quant - 16) }
            target += 32
            block += 22
        }
    }

    /// Q5_1, 24 bytes for 32 values: scale d and minimum m (halves), then as Q5_0; a value is d q + m.
    static func q51(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 32 {
            let (scale, minimum) = (half(block), half(block + 2))
            fiveBits(block + 4) { index, quant in target[index] = scale * Float(quant) + minimum }
            target += 32
            block += 24
        }
    }

    /// The 32 five-bit numbers of 4 bytes of high bits and 16 of low ones.
    @inline(__always)
    private static func fiveBits(_ source: UnsafeRawPointer, _ body: (_ index: Int, _ quant: Int32) -> Void) {
        let high = UInt32(littleEndian: source.loadUnaligned(as: UInt32.self))
        let low = (source + 4).assumingMemoryBound(to: UInt8.self)
        for index in 0..<16 {
            body(index, Int32(low[index] & 15) | Int32(high >> UInt32(index) & 1) << 4)
            body(index + 16, Int32(low[index] >> 4) | Int32(high >> UInt32(index + 16) & 1) << 4)
        }
    }

    /// IQ4_NL, 18 bytes for 32 values: as Q4_0, but q is a place in a table of 16 levels, closer together near zero; a
    /// value is d times the level.
    static func iq4NL(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 32 {
            levels(block + 2, scale: half(block), into: target)
            target += 32
            block += 18
        }
    }

    /// Widens 32 values of a table's 16 levels from 16 bytes.
    @inline(__always)
    static func levels(_ source: UnsafeRawPointer, scale: Float, into target: UnsafeMutablePointer<Float>) {
        let quants = source.assumingMemoryBound(to: UInt8.self)
        for index in 0..<16 {
            target[index] = scale * level(quants[index] & 15)
            target[index + 16] = scale * level(quants[index] >> 4)
        }
    }

    /// One of the 16 levels.
    @inline(__always)
    private static func level(_ place: UInt8) -> Float {
        // Two words, for a table in memory would be looked up through a lazy global.
        let low: UInt64 = 0xF6EA_DDCF_BFAD_9881  // -127, -104, -83, -65, -49, -35, -22, -10
        let high: UInt64 = 0x7159_4535_2619_0D01  // 1, 13, 25, 38, 53, 69, 89, 113
        let word = place < 8 ? low : high
        return Float(Int8(truncatingIfNeeded: word >> (8 * UInt64(place & 7))))
    }
}
