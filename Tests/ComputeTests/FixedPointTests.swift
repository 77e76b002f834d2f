// Products in 16-bit fixed point against the plain reference beside them, also on CPUs that multiply another way.

import CKernels
import Testing

@Suite struct FixedPointTests {
    /// Rows and weights of one product, converted and multiplied at one level.
    private func product(
        _ level: winnow_level, rows: [Float], weights: [Float], m: Int, outputs: Int, inputs: Int, start: [Float]? = nil
    ) -> [Float] {
        let width = winnow_panel_outputs(level)
        let panels = (outputs + width - 1) / width
        let bytes = winnow_panel_bytes(level, winnow_packed_fixed, inputs)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: panels * bytes, alignment: 64)
        defer { memory.deallocate() }
        var scales = [Float](repeating: .nan, count: panels * winnow_fixed_runs(inputs) * width)
        var fixed = [Int16](repeating: 77, count: m * winnow_fixed_values(inputs))
        var rowScales = [Float](repeating: .nan, count: m * winnow_fixed_runs(inputs))
        // In two calls, as two threads do.
        winnow_fix_rows(level, rows, inputs, 0, m / 2, m, inputs, &fixed, &rowScales)
        winnow_fix_rows(level, rows, inputs, m / 2, m - m / 2, m, inputs, &fixed, &rowScales)
        var c = start ?? [Float](repeating: .nan, count: m * outputs)
        scales.withUnsafeMutableBufferPointer { scales in
            var packed = winnow_packed(
                type: winnow_packed_fixed, outputs: outputs, inputs: inputs, panels: memory,
                scales: scales.baseAddress, offsets: nil)
            for panel in 0..<panels {
                let present = min(width, outputs - panel * width)
                winnow_pack_panel(level, &packed, panel, Array(weights[(panel * width * inputs)...]), present)
            }
            var row = [Float](repeating: .nan, count: inputs)
            winnow_unpack_output(level, &packed, outputs - 1, &row)
            #expect(worst(row, Array(weights[((outputs - 1) * inputs)...])) < 2e-3)
            winnow_packed_product(
                level, &packed, 0, panels, m, fixed, 0, rowScales, &c, outputs, start == nil ? 0 : 1)
        }
        return c
    }

    /// The reference, and AVX2 where there is any of it.
    private static let levels = [winnow_level_reference] + fastLevels.filter { $0 == winnow_level_avx2 }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 12, 13, 17, 35, 391], [1, 15, 16, 33])
    func everyShape(m: Int, outputs: Int) {
        for inputs in [1, 2, 63, 512, 513, 1100] {
            let (rows, weights) = (numbers(m * inputs, seed: 1), numbers(outputs * inputs, seed: 2))
            let start = numbers(m * outputs, seed: 3)
            for first in [nil, start] {
                let results = Self.levels.map {
                    product($0, rows: rows, weights: weights, m: m, outputs: outputs, inputs: inputs, start: first)
                }
                // Not to the last bit: fused multiplications round a few values to the neighbouring integer.
                for result in results.dropFirst() { #expect(worst(result, results[0]) < 2e-3) }
                // Some of them against Double.
                for index in stride(from: 0, to: m * outputs, by: 97) {
                    let (row, output) = (index / outputs, index % outputs)
                    var (sum, size) = (Double(first?[index] ?? 0), 1e-3)
                    for i in 0..<inputs {
                        let term = Double(rows[row * inputs + i]) * Double(weights[output * inputs + i])
                        sum += term
                        size += term * term
                    }
                    for result in results {
                        #expect(abs(Double(result[index]) - sum) < 2e-3 * size.squareRoot())
                    }
                }
            }
        }
    }

    @Test func largestSumsFit() {
        // By Cauchy and Schwarz nothing sums to more than a run with itself, whatever its values are.
        let shapes: [(Int) -> Float] = [
            { _ in 1 }, { _ in -3e5 }, { $0 == 7 ? 1 : 0 }, { $0 == 7 ? -1 : 1e-3 }, { Float($0 % 5 - 2) },
            { $0 < 2 ? 5 : 0.1 },
        ]
        for shape in shapes {
            for inputs in [2, 511, 512, 2048] {
                let run = (0..<inputs).map { shape($0 % 512) }
                let square = run.reduce(0.0) { $0 + Double($1) * Double($1) }
                for sign: Float in [1, -1] {
                    for level in Self.levels {
                        let result = product(
                            level, rows: run, weights: run.map { $0 * sign }, m: 1, outputs: 1, inputs: inputs)
                        #expect(abs(Double(result[0] * sign) - square) <= 1e-3 * square)
                    }
                }
            }
        }
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude])
    func whatIsNotFiniteStaysInItsRow(bad: Float) {
        for level in Self.levels {
            var rows = numbers(3 * 600, seed: 4)
            let weights = numbers(5 * 600, seed: 5)
            rows[600 + 550] = bad
            let result = product(level, rows: rows, weights: weights, m: 3, outputs: 5, inputs: 600)
            for index in result.indices { #expect(result[index].isFinite == (index / 5 != 1)) }
        }
    }
}
