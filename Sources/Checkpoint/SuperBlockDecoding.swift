// Blocks of 256 values with scales of their own for runs of 16 or 32: Q2_K, Q3_K, Q5_K and IQ4_XS.

extension BlockDecoding {
    /// Q2_K, 84 bytes for 256 values: 16 bytes with a scale s and a minimum t (low and high half) for every 16 values, 64
    /// bytes of q, d and m (halves); a value is d s q - m t.
    ///
    /// Of each half of the block, 32 bytes hold four runs of 32 values, lowest bits first.
    static func q2K(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 256 {
            let scales = block.assumingMemoryBound(to: UInt8.self)
            let (scale, minimum) = (half(block + 80), half(block + 82))
            for run in 0..<8 {
                let quants = (block + 16 + run / 4 * 32).assumingMemoryBound(to: UInt8.self)
                let shift = UInt8(run % 4 * 2)
                for group in 0..<2 {
                    let packed = scales[2 * run + group]
                    let (own, least) = (scale * Float(packed & 15), minimum * Float(packed >> 4))
                    for index in group * 16..<group * 16 + 16 {
                        target[index] = own * Float(quants[index] >> shift & 3) - least
                    }
                }
                target += 32
            }
            block += 84
        }
    }

    /// Q3_K, 110 bytes for 256 values: 32 bytes with the third bit of q, 64 of the low two as in Q2_K, 12 with a 6-bit
    /// scale s for every 16 values, d (half); a value is d (s - 32) (q - 4).
    ///
    /// High byte i has the bits of value i of each of the eight runs of 32, lowest first. The low halves of the scales'
    /// first 8 bytes are the low 4 bits of scales 0 to 7, the high halves those of 8 to 15; the high 2 bits of scale k
    /// are in byte 8 + k mod 4.
    static func q3K(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 256 {
            let high = block.assumingMemoryBound(to: UInt8.self)
            let packed = (block + 96).assumingMemoryBound(to: UInt8.self)
            let scale = half(block + 108)
            for run in 0..<8 {
                let quants = (block + 32 + run / 4 * 32).assumingMemoryBound(to: UInt8.self)
                let shift = UInt8(run % 4 * 2)
                for group in 0..<2 {
                    let place = 2 * run + group
                    let low = place < 8 ? packed[place] & 15 : packed[place - 8] >> 4
                    let top = packed[8 + place % 4] >> UInt8(place / 4 * 2) & 3
                    let own = scale * Float(Int32(low | top << 4) - 32)
                    for index in group * 16..<group * 16 + 16 {
                        let quant = Int32(quants[index] >> shift & 3) | Int32(high[index] >> UInt8(run) & 1) << 2
                        target[index] = own * Float(quant - 4)
                    }
                }
                target += 32
            }
            block += 110
        }
    }

    /// Q5_K, 176 bytes for 256 values: d, m and scales as in Q4_K, 32 bytes with the fifth bit of q, 128 of the low four as
    /// in Q4_K; a value is d s q - m t. High byte i has the bits of value i of each of the eight runs of 32, lowest first.
    static func q5K(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 256 {
            let (scale, minimum) = (half(block), half(block + 2))
            let packed = (block + 4).assumingMemoryBound(to: UInt8.self)
            let high = (block + 16).assumingMemoryBound(to: UInt8.self)
            for run in 0..<8 {
                let quants = (block + 48 + run / 2 * 32).assumingMemoryBound(to: UInt8.self)
                let shift = UInt8(run % 2 * 4)
                let bits = sixBits(packed, run)
                let (own, least) = (scale * Float(bits.scale), minimum * Float(bits.minimum))
                for index in 0..<32 {
                    let quant = quants[index] >> shift & 15 | (high[index] >> UInt8(run) & 1) << 4
                    target[index] = own * Float(quant) - least
                }
                target += 32
            }
            block += 176
        }
    }

    /// IQ4_XS, 136 bytes for 256 values: d (half), 2 bytes with the high 2 bits of a 6-bit scale s for each of 8 runs of 32
    /// values, lowest first, 4 bytes with the low 4 bits, 16 bytes a run as in IQ4_NL; a value is d (s - 32) times the
    /// level.
    static func iq4XS(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        guard var target = output.baseAddress else { return }
        var block = source
        for _ in 0..<output.count / 256 {
            let scale = half(block)
            let high = UInt16(littleEndian: (block + 2).loadUnaligned(as: UInt16.self))
            let low = (block + 4).assumingMemoryBound(to: UInt8.self)
            for run in 0..<8 {
                let bits = Int32(low[run / 2] >> UInt8(run % 2 * 4) & 15) | Int32(high >> UInt16(2 * run) & 3) << 4
                levels(block + 8 + 16 * run, scale: scale * Float(bits - 32), into: target)
                target += 32
            }
            block += 136
        }
    }
}
