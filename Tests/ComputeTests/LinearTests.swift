// Linear layers and the library behind them.

import Compute
import Testing

@Suite struct LinearTests {
    private func matrix(_ values: [Float], columns: Int) -> Matrix {
        let matrix = Matrix(rows: values.count / columns, columns: columns)
        matrix.withUnsafeMutableBufferPointer { _ = $0.update(fromContentsOf: values) }
        return matrix
    }

    /// Who multiplies, in what.
    enum Way: CaseIterable, Sendable {
        case plain, ownBF16, ownInt8, libraryBF16, libraryInt8

        var precision: Precision {
            switch self {
            case .plain: .f32
            case .ownBF16, .libraryBF16: .bf16
            case .ownInt8, .libraryInt8: .int8
            }
        }

        /// What multiplies, by its name.
        var kernel: String {
            switch self {
            case .plain: BLAS.kernel
            case .ownBF16, .ownInt8:
                precision.kernel.contains("oneDNN") ? "Float32 products" : precision.kernel
            case .libraryBF16, .libraryInt8: precision.kernel
            }
        }

        var backend: Linear.Backend { self == .libraryBF16 || self == .libraryInt8 ? .oneDNN : .own }

        /// Relative error of a sum of products: rounding of sums, of bf16, of 8 bits (7 for activations without VNNI).
        var tolerance: Double {
            switch precision {
            case .f32: 1e-5
            case .bf16: 6e-3
            case .int8: 4e-2
            }
        }
    }

    @Test(arguments: Way.allCases, [1, 2, 3])
    func everyBackEndGivesTheProduct(way: Way, threads: Int) {
        let pool = ThreadPool(threads: threads, name: "linear")
        let converted = ConvertedRows()
        for rows in [1, 2, 3, 5, 6, 7, 12, 13, 32, 33, 200] {
            for (outputs, inputs) in [(1, 1), (16, 37), (50, 64), (130, 520)] {
                let x = numbers((rows + 2) * inputs, seed: 1)
                let w = numbers(outputs * inputs, seed: 2)
                let bias = numbers(outputs, seed: 4)
                let before = numbers((rows + 3) * (outputs + 3), seed: 3)
                for adding in [false, true] {
                    let output = matrix(before, columns: outputs + 3)
                    let layer = Linear(
                        outputs: outputs, inputs: inputs, precision: way.precision, backend: way.backend,
                        bias: matrix(bias, columns: outputs), pool: pool
                    ) { range, buffer in
                        _ = buffer.update(fromContentsOf: w[range.lowerBound * inputs..<range.upperBound * inputs])
                    }
                    layer.apply(
                        matrix(x, columns: inputs), rows: 1..<rows + 1, to: output, from: 2, column: 1, adding: adding,
                        converted: converted, pool: pool)
                    let result = output.withUnsafeBufferPointer { Array($0) }
                    var (error, size) = (0.0, 0.0)
                    for row in 0..<rows + 3 {
                        for column in 0..<outputs + 3 {
                            let index = row * (outputs + 3) + column
                            guard 2..<rows + 2 ~= row, 1..<outputs + 1 ~= column else {
                                #expect(result[index] == before[index])
                                continue
                            }
                            var sum = 0.0
                            for i in 0..<inputs {
                                sum += Double(x[(row - 1) * inputs + i]) * Double(w[(column - 1) * inputs + i])
                            }
                            let expected = sum + Double(bias[column - 1]) + (adding ? Double(before[index]) : 0)
                            error += (Double(result[index]) - expected) * (Double(result[index]) - expected)
                            size += sum * sum + 1e-3
                        }
                    }
                    #expect((error / size).squareRoot() < way.tolerance, "\(rows) x \(outputs) x \(inputs)")
                }
            }
        }
    }

    @Test(arguments: [Way.ownInt8, .libraryInt8])
    func eightBitSumsNeverOverflow(way: Way) {
        // Weights and activations as large as they can be, all of one sign: the sums that saturate 16 bits elsewhere.
        let pool = ThreadPool(threads: 1, name: "int8")
        for inputs in [8, 64, 4096] {
            for sign: Float in [1, -1] {
                let layer = Linear(
                    outputs: 33, inputs: inputs, precision: .int8, backend: way.backend, pool: pool
                ) { _, buffer in buffer.update(repeating: sign) }
                let input = matrix([Float](repeating: 2, count: 3 * inputs), columns: inputs)
                let output = Matrix(rows: 3, columns: 33)
                layer.apply(input, rows: 0..<3, to: output, from: 0, converted: ConvertedRows(), pool: pool)
                let expected = 2 * Float(inputs) * sign
                output.withUnsafeBufferPointer {
                    for value in $0 { #expect(abs(value / expected - 1) < 0.03) }
                }
            }
        }
    }

    /// Values that show what a scale must bear: one far above the rest, all alike, all tiny, all huge.
    enum Values: CaseIterable, Sendable {
        case even, outlier, alike, tiny, huge

        func make(rows: Int, columns: Int, seed: UInt64) -> [Float] {
            let values = numbers(rows * columns, seed: seed)
            return values.indices.map { index in
                switch self {
                case .even: values[index]
                case .outlier: index % columns == columns / 3 ? 1000 : values[index]
                case .alike: 0.75
                case .tiny: values[index] * 1e-14
                case .huge: values[index] * 1e14
                }
            }
        }
    }

    @Test(arguments: Values.allCases, Values.allCases)
    func manyRowsLoseLessThanBF16Holds(inputValues: Values, weightValues: Values) {
        // Weights that bf16 holds exactly: what is lost is lost by the product. Rounding activations to bf16 loses 1.6e-3.
        let pool = ThreadPool(threads: 2, name: "many")
        let (rows, outputs) = (61, 35)
        for inputs in [33, 512, 1301] {
            let x = inputValues.make(rows: rows, columns: inputs, seed: 11)
            let w = weightValues.make(rows: outputs, columns: inputs, seed: 12).map {
                Float(bitPattern: $0.bitPattern & 0xffff_0000)
            }
            let layer = Linear(outputs: outputs, inputs: inputs, precision: .bf16, backend: .own, pool: pool) {
                range, buffer in
                _ = buffer.update(fromContentsOf: w[range.lowerBound * inputs..<range.upperBound * inputs])
            }
            let output = Matrix(rows: rows, columns: outputs)
            layer.apply(
                matrix(x, columns: inputs), rows: 0..<rows, to: output, from: 0, converted: ConvertedRows(), pool: pool)
            let result = output.withUnsafeBufferPointer { Array($0) }
            var (error, size) = (0.0, 0.0)
            for row in 0..<rows {
                for column in 0..<outputs {
                    var (sum, squares) = (0.0, (x: 0.0, w: 0.0))
                    for i in 0..<inputs {
                        let (a, b) = (Double(x[row * inputs + i]), Double(w[column * inputs + i]))
                        sum += a * b
                        squares = (squares.x + a * a, squares.w + b * b)
                    }
                    let difference = Double(result[row * outputs + column]) - sum
                    error += difference * difference
                    // What the product of such vectors is, or as a rule would be.
                    size += max(sum * sum, squares.x * squares.w / Double(inputs))
                }
            }
            #expect((error / size).squareRoot() < 6e-4, "\(inputs) inputs")
        }
    }

    @Test(.enabled(if: Precision.bf16.kernel.contains("fixed point"), "16-bit weights are not in fixed point here"))
    func rowsInFixedPointAreTheSameInAnyCompany() {
        let pool = ThreadPool(threads: 2, name: "company")
        let (most, inputs, outputs) = (400, 700, 50)
        let w = numbers(outputs * inputs, seed: 22)
        let layer = Linear(outputs: outputs, inputs: inputs, precision: .bf16, backend: .own, pool: pool) {
            range, buffer in
            _ = buffer.update(fromContentsOf: w[range.lowerBound * inputs..<range.upperBound * inputs])
        }
        let x = matrix(numbers(most * inputs, seed: 21), columns: inputs)
        func product(_ rows: Range<Int>) -> [UInt32] {
            let output = Matrix(rows: rows.count, columns: outputs)
            layer.apply(x, rows: rows, to: output, from: 0, converted: ConvertedRows(), pool: pool)
            return output.withUnsafeBufferPointer { $0.map(\.bitPattern) }
        }
        let together = product(0..<most)
        for rows in [0..<1, 3..<5, 100..<103, 7..<11, 10..<15, 385..<391, 300..<307, 200..<213, 1..<398] {
            #expect(product(rows) == Array(together[rows.lowerBound * outputs..<rows.upperBound * outputs]))
        }
    }

    /// Few rows and many go through different kernels. With oneDNN 2 both add in the same order; version 3 may not.
    @Test(arguments: Way.allCases.filter { $0 != .plain })
    func rowsKeepTheirProductsInAnyCompany(way: Way) {
        let pool = ThreadPool(threads: 2, name: "company")
        for inputs in [70, 700, 1100] {
            let (most, outputs) = (80, 150)
            let w = numbers(outputs * inputs, seed: 32)
            let layer = Linear(
                outputs: outputs, inputs: inputs, precision: way.precision, backend: way.backend, pool: pool
            ) { range, buffer in
                _ = buffer.update(fromContentsOf: w[range.lowerBound * inputs..<range.upperBound * inputs])
            }
            let x = matrix(numbers(most * inputs, seed: 31), columns: inputs)
            func product(_ rows: Range<Int>) -> [Float] {
                let output = Matrix(rows: rows.count, columns: outputs)
                layer.apply(x, rows: rows, to: output, from: 0, converted: ConvertedRows(), pool: pool)
                return output.withUnsafeBufferPointer { Array($0) }
            }
            let together = product(0..<most)
            // What is multiplied as Float32 is summed in different orders.
            let isExact = way.precision == .int8 || way.kernel.contains("fixed") || way.kernel.contains("oneDNN 2")
            for rows in [0..<1, 3..<5, 7..<11, 10..<16, 17..<24, 30..<62, 30..<63, 1..<80] {
                let alone = product(rows)
                let expected = Array(together[rows.lowerBound * outputs..<rows.upperBound * outputs])
                if isExact { #expect(alone == expected) } else { #expect(worst(alone, expected) < 3e-5) }
            }
        }
    }

    @Test func whatIsReadBackIsWhatWasGiven() {
        let pool = ThreadPool(threads: 3, name: "read")
        let (outputs, inputs) = (200, 77)
        let w = numbers(outputs * inputs, seed: 41).map { Float(bitPattern: $0.bitPattern & 0xffff_0000) }
        for way in Way.allCases {
            let layer = Linear(
                outputs: outputs, inputs: inputs, precision: way.precision, backend: way.backend, pool: pool
            ) { range, buffer in
                _ = buffer.update(fromContentsOf: w[range.lowerBound * inputs..<range.upperBound * inputs])
            }
            // A format that loses something must not serve as an embedding.
            if way.precision == .int8 { #expect(!layer.isReadable) }
            guard layer.isReadable else { continue }
            var row = [Float](repeating: .nan, count: inputs)
            for output in 0..<outputs {
                row.withUnsafeMutableBufferPointer { layer.read(output: output, into: $0) }
                #expect(row == Array(w[output * inputs..<(output + 1) * inputs]))
            }
        }
    }

    @Test(arguments: [3, 20])
    func aRowThatIsNotFiniteStaysSo(rows: Int) {
        let pool = ThreadPool(threads: 1, name: "nan")
        for way in Way.allCases {
            let layer = Linear(
                outputs: 20, inputs: 40, precision: way.precision, backend: way.backend, pool: pool
            ) { _, buffer in buffer.update(repeating: 0.5) }
            for bad in [Float.nan, .infinity] {
                var x = numbers(rows * 40, seed: 5)
                x[40 + 17] = bad
                let output = Matrix(rows: rows, columns: 20)
                layer.apply(
                    matrix(x, columns: 40), rows: 0..<rows, to: output, from: 0, converted: ConvertedRows(), pool: pool)
                output.withUnsafeBufferPointer {
                    for index in $0.indices { #expect($0[index].isFinite == (index / 20 != 1)) }
                }
            }
        }
    }

    @Test func weightsThatCannotBeReadEndTheLoading() {
        struct Unreadable: Error {}
        let pool = ThreadPool(threads: 3, name: "error")
        for way in Way.allCases {
            #expect(throws: Unreadable.self) {
                _ = try Linear(outputs: 100, inputs: 8, precision: way.precision, backend: way.backend, pool: pool) {
                    rows, buffer throws(Unreadable) in
                    buffer.update(repeating: 0)
                    if rows.contains(70) { throw Unreadable() }
                }
            }
        }
    }

    @Test func theLibraryNamesItsKernels() {
        // Either kernels with a name, or a reason why there are none.
        #expect(!BLAS.kernel.isEmpty)
        #expect((BLAS.kernel == "portable") == (BLAS.problem != nil))
    }
}
