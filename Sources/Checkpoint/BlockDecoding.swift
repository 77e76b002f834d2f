// Values that GGUF files pack in blocks, widened to Float32.
//
// The layouts are those of ggml's `block_q8_0` and so on; numbers are little-endian, halves are IEEE half-precision.

/// One decoder per block type. Each widens `output.count` values, a whole number of blocks, from bytes of any alignment.
enum BlockDecoding {
    /// Q8_0, 34 bytes for 32 values: scale d (half), 32 signed bytes q; a value is d q.
    static func q80(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 32 {
            let scale = half(block)
            let quants = (block + 2).assumingMemoryBound(to: Int8.self)
            for index in 0..<32 { target[index] = scale * Float(quants[index]) }
            target += 32
            block += 34
        }
    }

    /// Q4_0, 18 bytes for 32 values: scale d (half), 16 bytes whose low halves are the first 16 values' q and whose high
    /// halves the others'; a value is d (q - 8).
    static func q40(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 32 {
            let scale = half(block)
            let quants = (block + 2).assumingMemoryBound(to: UInt8.self)
            for index in 0..<16 {
                target[index] = scale * Float(Int32(quants[index] & 15) - 8)
                target[index + 16] = scale * Float(Int32(quants[index] >> 4) - 8)
            }
            target += 32
            block += 18
        }
    }

    /// Q4_K, 144 bytes for 256 values: d and m (halves), 12 bytes with a 6-bit scale s and minimum t for each of 8 runs
    /// of 32 values, 128 bytes of q: 32 for two runs, the first in the low halves; a value is d s q - m t.
    static func q4K(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 256 {
            let (scale, minimum) = (half(block), half(block + 2))
            let packed = (block + 4).assumingMemoryBound(to: UInt8.self)
            var quants = (block + 16).assumingMemoryBound(to: UInt8.self)
            for pair in 0..<4 {
                let (low, high) = (sixBits(packed, 2 * pair), sixBits(packed, 2 * pair + 1))
                let (lowScale, lowMinimum) = (scale * Float(low.scale), minimum * Float(low.minimum))
                let (highScale, highMinimum) = (scale * Float(high.scale), minimum * Float(high.minimum))
                for index in 0..<32 {
                    target[index] = lowScale * Float(quants[index] & 15) - lowMinimum
                    target[index + 32] = highScale * Float(quants[index] >> 4) - highMinimum
                }
                target += 64
                quants += 32
            }
            block += 144
        }
    }

    /// Scale and minimum of run `run` of a Q4_K or Q5_K block: of the first four runs they are the low 6 bits of bytes 0 to 3 and
    /// 4 to 7; of the others the low 4 bits are halves of bytes 8 to 11, the high 2 those left in bytes 0 to 7.
    static func sixBits(
        _ packed: UnsafePointer<UInt8>, _ run: Int
    ) -> (scale: UInt8, minimum: UInt8) {
        if run < 4 { return (packed[run] & 63, packed[run + 4] & 63) }
        let low = packed[run + 4]
        return (low & 15 | packed[run - 4] >> 2 & 48, low >> 4 | packed[run] >> 2 & 48)
    }

    /// Q6_K, 210 bytes for 256 values: 128 bytes of the low 4 bits of q, 64 of the high 2, 16 signed scales s, one for
    /// every 16 values, and d (half); a value is d s (q - 32).
    ///
    /// Of each half of the block, 64 low bytes hold runs 0 and 1 of 32 values in their low halves, 2 and 3 in their high
    /// ones; 32 high bytes hold the high bits of the four runs, lowest first.
    static func q6K(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 256 {
            let scale = half(block + 208)
            var low = block.assumingMemoryBound(to: UInt8.self)
            var high = (block + 128).assumingMemoryBound(to: UInt8.self)
            var scales = (block + 192).assumingMemoryBound(to: Int8.self)
            for _ in 0..<2 {
                for group in 0..<2 {
                    let (s0, s1) = (scale * Float(scales[group]), scale * Float(scales[group + 2]))
                    let (s2, s3) = (scale * Float(scales[group + 4]), scale * Float(scales[group + 6]))
                    for index in group * 16..<group * 16 + 16 {
                        let (first, second, top) = (low[index], low[index + 32], high[index])
                        target[index] = s0 * Float(Int32(first & 15 | top << 4 & 48) - 32)
                        target[index + 32] = s1 * Float(Int32(second & 15 | top << 2 & 48) - 32)
                        target[index + 64] = s2 * Float(Int32(first >> 4 | top & 48) - 32)
                        target[index + 96] = s3 * Float(Int32(second >> 4 | top >> 2 & 48) - 32)
                    }
                }
                target += 128
                low += 64
                high += 32
                scales += 8
            }
            block += 210
        }
    }

    /// The half-precision number at `source`.
    static func half(_ source: UnsafeRawPointer) -> Float {
        let bits = UInt32(UInt16(littleEndian: source.loadUnaligned(as: UInt16.self)))
        let (sign, exponent, fraction) = ((bits & 0x8000) << 16, bits >> 10 & 31, bits & 1023)
        switch exponent {
        case 0: return (sign == 0 ? 1 : -1) * Float(fraction) * 0x1p-24
        case 31: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
        default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
        }
    }
}
