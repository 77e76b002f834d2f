// Two products and a gate in one.

import Compute
import Testing

@Suite struct GatedLinearTests {
    private func linear(_ way: LinearTests.Way, outputs: Int, inputs: Int, seed: UInt64, pool: ThreadPool) -> Linear {
        let weights = numbers(outputs * inputs, seed: seed)
        return Linear(
            outputs: outputs, inputs: inputs, precision: way.precision, backend: way.backend, pool: pool
        ) { rows, buffer in
            _ = buffer.update(fromContentsOf: weights[rows.lowerBound * inputs..<rows.upperBound * inputs])
        }
    }

    /// As two products and `silu` after them, bit for bit: sums are those of the whole products, in parts or not.
    @Test(arguments: LinearTests.Way.allCases, [1, 3])
    func isWhatThePiecesGive(way: LinearTests.Way, threads: Int) {
        let pool = ThreadPool(threads: threads, name: "gated")
        let converted = ConvertedRows()
        // One panel, a rest behind whole parts of 256 outputs, parts alone.
        for (outputs, inputs) in [(1, 3), (50, 64), (300, 96), (1024, 128), (1601, 64)] {
            let gate = linear(way, outputs: outputs, inputs: inputs, seed: 1, pool: pool)
            let up = linear(way, outputs: outputs, inputs: inputs, seed: 2, pool: pool)
            let gated = GatedLinear(gate: gate, up: up)
            #expect(gated.byteCount == gate.byteCount + up.byteCount)
            for rows in [1, 2, 8, 32, 33, 150] {
                let input = Matrix(rows: rows + 1, columns: inputs)
                input.withUnsafeMutableBufferPointer {
                    _ = $0.update(fromContentsOf: numbers((rows + 1) * inputs, seed: 3))
                }
                let products = Matrix(rows: rows, columns: 2 * outputs)
                let output = Matrix(rows: rows + 1, columns: outputs)
                let expected = Matrix(rows: rows + 1, columns: outputs)
                for matrix in [output, expected] { matrix.withUnsafeMutableBufferPointer { $0.update(repeating: 7) } }

                gate.apply(input, rows: 0..<rows, to: products, from: 0, converted: converted, pool: pool)
                up.apply(
                    input, rows: 0..<rows, to: products, from: 0, column: outputs, converted: converted, pool: pool)
                Kernels.siluMultiply(products, rows: rows, into: expected, pool: pool)
                gated.apply(input, rows: rows, to: output, products: products, converted: converted, pool: pool)

                let differing = output.withUnsafeBufferPointer { a in
                    expected.withUnsafeBufferPointer { b in zip(a, b).filter { $0.bitPattern != $1.bitPattern }.count }
                }
                #expect(differing == 0, "\(rows) x \(outputs) x \(inputs)")
            }
        }
    }
}
