// Linear layers and the library behind them.

import Compute
import Testing

@Suite struct LinearTests {
    private func matrix(_ values: [Float], columns: Int) -> Matrix {
        let matrix = Matrix(rows: values.count / columns, columns: columns)
        matrix.withUnsafeMutableBufferPointer { _ = $0.update(fromContentsOf: values) }
        return matrix
    }

    @Test(arguments: [1, 2, 3], [1, 5, 40])
    func slicesGiveTheWholeProduct(threads: Int, rows: Int) {
        let pool = ThreadPool(threads: threads, name: "linear")
        for outputs in [1, 16, 50, 200] {
            let inputs = 37
            let x = numbers((rows + 2) * inputs, seed: 1)
            let w = numbers(outputs * inputs, seed: 2)
            let before = numbers((rows + 3) * outputs, seed: 3)
            let output = matrix(before, columns: outputs)
            let layer = Linear(weights: matrix(w, columns: inputs))
            layer.apply(matrix(x, columns: inputs), rows: 1..<rows + 1, to: output, from: 2, adding: true, pool: pool)

            var expected = before
            for row in 0..<rows {
                for column in 0..<outputs {
                    var sum = 0.0
                    for i in 0..<inputs { sum += Double(x[(row + 1) * inputs + i]) * Double(w[column * inputs + i]) }
                    expected[(row + 2) * outputs + column] += Float(sum)
                }
            }
            #expect(worst(output.withUnsafeBufferPointer { Array($0) }, expected) < 1e-5)
        }
    }

    @Test func theLibraryNamesItsKernels() {
        // Either kernels with a name, or a reason why there are none.
        #expect(!BLAS.kernel.isEmpty)
        #expect((BLAS.kernel == "portable") == (BLAS.problem != nil))
    }
}
