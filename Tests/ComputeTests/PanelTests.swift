// Products of a few rows with panels: against Double, the plain reference, and in any company.

import CKernels
import Testing

@Suite struct PanelTests {
    /// The bf16 numbers nearest to some, as bits.
    private func narrow(_ values: [Float]) -> [UInt16] {
        var out = [UInt16](repeating: 0, count: values.count)
        winnow_narrow_bf16(winnow_level_reference, values, &out, values.count)
        return out
    }

    private func widen(_ bits: UInt16) -> Double { Double(Float(bitPattern: UInt32(bits) << 16)) }

    /// Weights `[outputs, inputs]` in panels, `inStep` inputs side by side; lent 64-byte aligned.
    private func withPanels<Value, Result>(
        _ weights: [Value], zero: Value, outputs: Int, inputs: Int, inStep: Int,
        _ body: (UnsafePointer<Value>) -> Result
    ) -> Result {
        let (width, unit) = (Int(winnow_panel_width), Int(winnow_panel_steps))
        let steps = ((inputs + inStep - 1) / inStep + unit - 1) / unit * unit
        let panels = (outputs + width - 1) / width
        let count = panels * steps * width * inStep
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Value>.stride, alignment: 64)
        defer { memory.deallocate() }
        let to = memory.bindMemory(to: Value.self, capacity: count)
        to.initialize(repeating: zero, count: count)
        for output in 0..<outputs {
            for input in 0..<inputs {
                let step = output / width * steps + input / inStep
                to[(step * width + output % width) * inStep + input % inStep] = weights[output * inputs + input]
            }
        }
        return body(to)
    }

    static let levels = fastLevels + [winnow_level_reference]
    static let shapes = [(1, 1), (64, 64), (63, 31), (65, 33), (130, 520), (50, 1025), (100, 1500), (64, 2050)]

    @Test(arguments: Array(1...Int(winnow_panel_rows))) func halvesGiveTheProduct(m: Int) {
        for (outputs, inputs) in Self.shapes {
            let weights = narrow(numbers(outputs * inputs, seed: 1))
            // Rows have gaps, which hold what must not be looked at.
            var rows = [UInt16](repeating: 0x7fc0, count: m * (inputs + 3))
            let values = narrow(numbers(m * inputs, seed: 2))
            for row in 0..<m {
                for i in 0..<inputs { rows[row * (inputs + 3) + i] = values[row * inputs + i] }
            }
            let start = numbers(m * (outputs + 2), seed: 3)
            withPanels(weights, zero: 0, outputs: outputs, inputs: inputs, inStep: 2) { panels in
                for adding in [false, true] {
                    for level in Self.levels {
                        var c = start
                        winnow_panels_bf16(
                            level, panels, outputs, inputs, m, rows, inputs + 3, &c, outputs + 2, adding ? 1 : 0)
                        for index in stride(from: 0, to: c.count, by: 7) {
                            let (row, output) = (index / (outputs + 2), index % (outputs + 2))
                            guard output < outputs else {
                                #expect(c[index] == start[index])
                                continue
                            }
                            var (sum, size) = (adding ? Double(start[index]) : 0, 1.0)
                            for i in 0..<inputs {
                                let term = widen(values[row * inputs + i]) * widen(weights[output * inputs + i])
                                sum += term
                                size += abs(term)
                            }
                            // Rounding of Float32 sums, as a rule far less than in the worst case.
                            #expect(abs(Double(c[index]) - sum) < 2e-6 * size, "\(outputs) x \(inputs)")
                        }
                    }
                }
                var read = [Float](repeating: .nan, count: inputs)
                winnow_panels_read_bf16(panels, inputs, outputs - 1, &read)
                for i in 0..<inputs { #expect(Double(read[i]) == widen(weights[(outputs - 1) * inputs + i])) }
            }
        }
    }

    @Test(arguments: Array(1...Int(winnow_panel_rows))) func bytesGiveTheReference(m: Int) {
        for (outputs, inputs) in Self.shapes {
            let weights = numbers(outputs * inputs, seed: 4).map { Int8($0 * 127) }
            let rows = numbers(m * (inputs + 3), seed: 5).map { UInt8(($0 + 1) * 127.5) }
            let start = numbers(m * (outputs + 2), seed: 6)
            let (rowScales, scales) = (numbers(m, seed: 7), numbers(outputs, seed: 8))
            let shifts = (0..<outputs).map { output in
                128 * weights[output * inputs..<(output + 1) * inputs].reduce(Int32(0)) { $0 + Int32($1) }
            }
            withPanels(weights, zero: 0, outputs: outputs, inputs: inputs, inStep: 4) { panels in
                for adding in [false, true] {
                    let results = Self.levels.map { level in
                        var c = start
                        winnow_panels_int8(
                            level, panels, outputs, inputs, m, rows, inputs + 3, rowScales, scales, shifts, &c,
                            outputs + 2, adding ? 1 : 0)
                        return c
                    }
                    // Sums are exact, so all levels give the same bits.
                    for result in results { #expect(result == results[0]) }
                    for index in stride(from: 0, to: start.count, by: 7) {
                        let (row, output) = (index / (outputs + 2), index % (outputs + 2))
                        guard output < outputs else {
                            #expect(results[0][index] == start[index])
                            continue
                        }
                        var sum: Int32 = -shifts[output]
                        for i in 0..<inputs {
                            sum += Int32(rows[row * (inputs + 3) + i]) * Int32(weights[output * inputs + i])
                        }
                        let product = Double(sum) * Double(rowScales[row]) * Double(scales[output])
                        let expected = product + (adding ? Double(start[index]) : 0)
                        #expect(abs(Double(results[0][index]) - expected) < 1e-6 * (abs(product) + 1))
                    }
                }
            }
        }
    }

    @Test func largestBytesFit() {
        // As large as they can be, all of one sign: sums of pairs that saturate 16 bits elsewhere.
        for (sign, inputs) in [(Int8(127), 65_536), (-127, 65_536), (127, 5)] {
            let weights = [Int8](repeating: sign, count: inputs)
            withPanels(weights, zero: 0, outputs: 1, inputs: inputs, inStep: 4) { panels in
                for level in Self.levels {
                    var c: Float = 0
                    winnow_panels_int8(
                        level, panels, 1, inputs, 1, [UInt8](repeating: 255, count: inputs), inputs, [1], [1], [0], &c,
                        1,
                        0)
                    #expect(c == Float(255 * Int(sign) * inputs))
                }
            }
        }
    }

    @Test func rowsAreTheSameInAnyCompany() {
        let (most, outputs, inputs) = (Int(winnow_panel_rows), 70, 1300)
        let weights = narrow(numbers(outputs * inputs, seed: 9))
        let rows = narrow(numbers(most * inputs, seed: 10))
        withPanels(weights, zero: 0, outputs: outputs, inputs: inputs, inStep: 2) { panels in
            for level in Self.levels {
                func product(_ range: Range<Int>) -> [Float] {
                    var c = [Float](repeating: .nan, count: range.count * outputs)
                    winnow_panels_bf16(
                        level, panels, outputs, inputs, range.count,
                        Array(rows[range.lowerBound * inputs..<range.upperBound * inputs]), inputs, &c, outputs, 0)
                    return c
                }
                let together = product(0..<most)
                for m in 1..<most {
                    for first in [0, most - m] {
                        let alone = product(first..<first + m)
                        #expect(alone == Array(together[first * outputs..<(first + m) * outputs]))
                    }
                }
            }
        }
    }
}
