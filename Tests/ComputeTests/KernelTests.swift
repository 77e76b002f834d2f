// Every fast kernel against the plain reference beside it.

import CKernels
import Testing

/// Numbers of -1...1 that depend on the seed only.
func numbers(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed &* 2 &+ 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
    }
}

/// The largest difference, relative to 1 + the size of the reference; infinite where one is not a number.
func worst(_ a: [Float], _ reference: [Float]) -> Float {
    guard a.count == reference.count else { return .infinity }
    return zip(a, reference).reduce(0) { worst, pair in
        let gap = abs(pair.0 - pair.1) / (1 + abs(pair.1))
        return gap.isNaN ? .infinity : max(worst, gap)
    }
}

/// The levels that may be used besides the reference.
let fastLevels: [winnow_level] = [
    winnow_level_avx2, winnow_level_avx512, winnow_level_avx512_vnni, winnow_level_avx512_bf16,
].filter { $0.rawValue <= winnow_level_in_use().rawValue }

@Suite struct KernelTests {
    static let widths = [1, 2, 15, 16, 17, 31, 48, 64, 100, 257]

    @Test(arguments: widths)
    func rmsNorm(columns: Int) {
        let (x, weight) = (numbers(3 * columns, seed: 1), numbers(columns, seed: 2))
        func run(_ level: winnow_level) -> [Float] {
            var out = [Float](repeating: .nan, count: x.count)
            winnow_rms_norm(level, x, weight, 1e-5, &out, 3, columns)
            return out
        }
        for level in fastLevels { #expect(worst(run(level), run(winnow_level_reference)) < 1e-6) }
    }

    @Test(arguments: widths)
    func rotation(half: Int) {
        let (x, angles) = (numbers(3 * 2 * half, seed: 3), numbers(2 * half, seed: 4))
        func run(_ level: winnow_level) -> [Float] {
            // Heads written 5 values further apart than they are wide; the gaps stay as they were.
            var out = [Float](repeating: 9, count: 3 * (2 * half + 5))
            winnow_rotate(level, x, Array(angles[..<half]), Array(angles[half...]), &out, 2 * half + 5, 3, 2 * half)
            return out
        }
        for level in fastLevels { #expect(worst(run(level), run(winnow_level_reference)) < 1e-6) }

        func runInPlace(_ level: winnow_level) -> [Float] {
            var heads = x
            heads.withUnsafeMutableBufferPointer {
                guard let base = $0.baseAddress else { return }
                winnow_rotate(level, base, Array(angles[..<half]), Array(angles[half...]), base, 2 * half, 3, 2 * half)
            }
            return heads
        }
        let apart = run(winnow_level_reference)
        var expected: [Float] = []
        for head in 0..<3 {
            let start = head * (2 * half + 5)
            expected += apart[start..<start + 2 * half]
        }
        for level in fastLevels + [winnow_level_reference] { #expect(worst(runInPlace(level), expected) < 1e-6) }
    }

    @Test(arguments: widths)
    func siluMultiply(columns: Int) {
        var gateUp = numbers(2 * 2 * columns, seed: 5).map { 20 * $0 }
        gateUp[0] = -200
        gateUp[columns - 1] = columns > 1 ? 200 : -200
        func run(_ level: winnow_level) -> [Float] {
            var out = [Float](repeating: .nan, count: 2 * columns)
            gateUp.withUnsafeBufferPointer { values in
                guard let gate = values.baseAddress else { return }
                winnow_silu_multiply(level, gate, gate + columns, 2 * columns, &out, columns, 2, columns)
            }
            return out
        }
        for level in fastLevels { #expect(worst(run(level), run(winnow_level_reference)) < 2e-6) }
    }

    @Test(arguments: widths)
    func softmaxStepsAddUp(columns: Int) {
        // Two blocks one after the other; limits of every kind, a row with nothing in play first among them.
        let rows = 5
        let first = numbers(rows * columns, seed: 6).map { 30 * $0 }
        let second = numbers(rows * columns, seed: 7).map { 40 * $0 }
        let limits: [Int32] = [Int32(columns), Int32((columns + 1) / 2), 1, Int32(max(1, columns - 1)), Int32(columns)]
        let later: [Int32] = [0, Int32(columns), 1, 0, Int32(columns / 2)]
        func run(_ level: winnow_level) -> [Float] {
            var (a, b) = (first, second)
            var maxima = [Float](repeating: -.infinity, count: rows)
            var sums = [Float](repeating: 0, count: rows)
            var corrections = [Float](repeating: .nan, count: rows)
            winnow_softmax_step(level, &a, columns, rows, columns, 0.5, limits, &maxima, &sums, &corrections)
            winnow_softmax_step(level, &b, columns, rows, columns, 0.5, later, &maxima, &sums, &corrections)
            return a + b + maxima + sums + corrections
        }
        for level in fastLevels { #expect(worst(run(level), run(winnow_level_reference)) < 3e-6) }
    }

    @Test func softmaxOfANaNIsNaN() {
        for level in fastLevels + [winnow_level_reference] {
            var scores: [Float] = [1, .nan, 2]
            var (maximum, sum, correction): (Float, Float, Float) = (-.infinity, 0, 0)
            winnow_softmax_step(level, &scores, 3, 1, 3, 1, [3], &maximum, &sum, &correction)
            #expect(sum.isNaN)
        }
    }

    @Test(arguments: widths)
    func bias(columns: Int) {
        let (x, bias) = (numbers(3 * (columns + 2), seed: 8), numbers(columns, seed: 9))
        for level in fastLevels + [winnow_level_reference] {
            var out = x
            winnow_add_bias(level, &out, columns + 2, bias, 3, columns)
            for index in out.indices {
                let column = index % (columns + 2)
                #expect(out[index] == x[index] + (column < columns ? bias[column] : 0))
            }
        }
    }

    @Test func narrowingRoundsToNearestEvenAndBackIsExact() {
        // Every bf16 value, and the values a quarter, a half and three quarters of the way to the next.
        var values: [Float] = []
        for bits in 0...UInt16.max {
            for part: UInt32 in [0, 0x4000, 0x8000, 0xC000] {
                values.append(Float(bitPattern: UInt32(bits) << 16 | part))
            }
        }
        for level in fastLevels + [winnow_level_reference] {
            var out = [UInt16](repeating: 0, count: values.count)
            winnow_narrow_bf16(level, values, &out, values.count)
            for (value, bits) in zip(values, out) {
                let (high, low) = (UInt16(value.bitPattern >> 16), value.bitPattern & 0xFFFF)
                if value.isNaN {
                    #expect(Float(bitPattern: UInt32(bits) << 16).isNaN)
                } else {
                    let up = low > 0x8000 || low == 0x8000 && high & 1 == 1
                    #expect(bits == high &+ (up ? 1 : 0))
                }
            }
        }
    }

    @Test func everyHalfPrecisionValueWidensExactly() {
        let all = (0...UInt16.max).map { $0.littleEndian }
        for level in fastLevels + [winnow_level_reference] {
            var out = [Float](repeating: 0, count: all.count)
            winnow_widen_bf16(level, all, &out, all.count)
            for (bits, value) in zip(all, out) { #expect(value.bitPattern == UInt32(bits) << 16) }
            winnow_widen_f16(level, all, &out, all.count)
            for (bits, value) in zip(all, out) {
                let expected = Float(Float16(bitPattern: bits))
                #expect(value == expected || (value.isNaN && expected.isNaN))
                #expect(value.sign == expected.sign)
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8, 13], [1, 5, 16, 33, 70])
    func products(m: Int, n: Int) {
        for k in [1, 15, 16, 64, 100, 300] {
            let (a, b) = (numbers(m * (k + 3), seed: 9), numbers(n * (k + 2) + k * (n + 1), seed: 10))
            let start = numbers(m * (n + 4), seed: 11)
            func run(_ level: winnow_level, _ transposed: Bool, _ beta: Float, few: Bool = false) -> [Float] {
                var c = start
                if few {
                    winnow_sgemm_few(level, m, n, k, 0.5, a, k + 3, b, k + 2, beta, &c, n + 4)
                } else {
                    let stride = transposed ? k + 2 : n + 1
                    winnow_sgemm(
                        level, transposed ? 1 : 0, m, n, k, 0.5, a, k + 3, b, stride, beta, &c, n + 4)
                }
                return c
            }
            for level in fastLevels {
                for beta: Float in [0, 1, -0.5] {
                    for transposed in [false, true] {
                        let reference = run(winnow_level_reference, transposed, beta)
                        #expect(worst(run(level, transposed, beta), reference) < 1e-5)
                        if transposed { #expect(worst(run(level, true, beta, few: true), reference) < 1e-5) }
                    }
                }
            }
        }
    }
}
