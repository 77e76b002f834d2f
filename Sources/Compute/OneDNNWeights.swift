// Weights in oneDNN's own layout.

internal import CKernels
internal import COneDNN

/// The oneDNN library, where this process could load it.
enum OneDNN {
    /// "oneDNN 2.6.3" and so on; nil where it cannot be used.
    static let version: String? = {
        guard problem == nil, let text = winnow_onednn_version() else { return nil }
        return String(cString: text)
    }()

    /// Why it cannot be used; nil when it can.
    static let problem: String? = winnow_onednn_problem().map { String(cString: $0) }

    /// Whether it multiplies in this precision with instructions that the kernels of this package do without: bf16 with
    /// AVX512-BF16 or AMX, int8 with AVX512-VNNI.
    static func serves(_ precision: Precision) -> Bool {
        guard problem == nil, let type = type(precision) else { return false }
        return winnow_onednn_supports(type) != 0
    }

    /// Whether the CPU has such instructions.
    static let hasInstructions = CPULevel.inUse == .avx512bf16

    fileprivate static func type(_ precision: Precision) -> winnow_onednn_type? {
        switch precision {
        case .f32: nil
        case .bf16: winnow_onednn_bf16
        case .int8: winnow_onednn_int8
        }
    }
}

/// A weight matrix in slices of outputs, each in the library's layout; it never changes after it was filled.
///
/// The library works in the calling thread alone: threads share a product by taking slices of it.
final class OneDNNWeights: @unchecked Sendable {  // filled by who made it, then only read
    private let slices: [(first: Int, weights: OpaquePointer)]
    private let precision: Precision
    private let outputs: Int
    private let inputs: Int

    /// Outputs of a slice, but the last: a multiple of all the library's block sizes.
    private static let sliceOutputs = 64

    /// Room for weights, to be filled before the first product; nil where the library does not multiply this shape.
    ///
    /// - Parameter threads: as many slices are made, so that each is as large as it can be.
    init?(outputs: Int, inputs: Int, precision: Precision, threads: Int) {
        self.precision = precision
        self.outputs = outputs
        self.inputs = inputs
        guard let type = OneDNN.type(precision) else { return nil }
        let groups = (outputs + Self.sliceOutputs - 1) / Self.sliceOutputs
        let count = min(groups, threads)
        let bounds = (0...count).map { min(outputs, groups * $0 / count * Self.sliceOutputs) }
        var made: [(first: Int, weights: OpaquePointer)] = []
        for (first, end) in zip(bounds, bounds.dropFirst()) {
            guard let weights = winnow_onednn_create(type, end - first, inputs) else {
                for slice in made { winnow_onednn_destroy(slice.weights) }
                return nil
            }
            made.append((first, weights))
        }
        slices = made
    }

    /// The outputs of slice `index`.
    private func range(_ index: Int) -> Range<Int> {
        slices[index].first..<(index + 1 < slices.count ? slices[index + 1].first : outputs)
    }

    /// Fills the weights with the rows that `rows` gives, on all threads of the pool. Returns whether that was possible.
    func pack<E: Error>(
        pool: ThreadPool, rows: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws(E) -> Void
    ) throws(E) -> Bool {
        guard slices.allSatisfy({ winnow_onednn_has_panels($0.weights) != 0 }) else {
            return try reorder(pool: pool, rows: rows)
        }
        let panel = Int(winnow_panel_width)
        // Slices begin at panels, so all panels together can be shared out.
        let slices = slices
        try pool.tryParallelFor((outputs + panel - 1) / panel) { index throws(E) in
            let first = index * panel
            guard let slice = slices.last(where: { $0.first <= first }) else { return }
            let end = min(outputs, first + panel)
            let rowBytes = winnow_onednn_row_bytes(slice.weights)
            let converted = UnsafeMutableRawPointer.allocate(byteCount: panel * rowBytes, alignment: 64)
            defer { converted.deallocate() }
            // A few rows at a time, which then lie in a cache.
            let rowsAtOnce = 4
            try withFloats(rowsAtOnce * inputs) { buffer throws(E) in
                guard let base = buffer.baseAddress else { return }
                for start in stride(from: first, to: end, by: rowsAtOnce) {
                    let part = start..<min(end, start + rowsAtOnce)
                    try rows(part, UnsafeMutableBufferPointer(rebasing: buffer[..<(part.count * inputs)]))
                    for row in part {
                        winnow_onednn_convert(
                            slice.weights, row - slice.first, base + (row - start) * inputs,
                            converted + (row - first) * rowBytes)
                    }
                }
            }
            winnow_onednn_fill(slice.weights, (first - slice.first) / panel, converted, end - first)
        }
        return true
    }

    /// ``pack(pool:rows:)`` for layouts of the library's own choice.
    private func reorder<E: Error>(
        pool: ThreadPool, rows: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws(E) -> Void
    ) throws(E) -> Bool {
        var isPacked = true
        for (index, slice) in slices.enumerated() {
            let range = range(index)
            // Float32 rows for the moment of packing only; a slice at a time bounds them.
            let matrix = Matrix(rows: range.count, columns: inputs)
            let rowsPerTask = 16
            try pool.tryParallelFor((range.count + rowsPerTask - 1) / rowsPerTask) { task throws(E) in
                let part = task * rowsPerTask..<min(range.count, (task + 1) * rowsPerTask)
                try rows(
                    part.lowerBound + slice.first..<part.upperBound + slice.first, matrix.buffer(rows: part))
            }
            isPacked = isPacked && winnow_onednn_pack(slice.weights, matrix.pointer(row: 0)) == 0
        }
        return isPacked
    }

    /// The weights as bytes.
    var memory: WeightMemory {
        let blocks = slices.map { winnow_onednn_memory_of($0.weights) }
        func section(
            _ pointer: (winnow_onednn_memory) -> UnsafeMutableRawPointer?, _ size: (winnow_onednn_memory) -> Int
        ) -> [UnsafeMutableRawBufferPointer] {
            blocks.map { UnsafeMutableRawBufferPointer(start: pointer($0), count: size($0)) }
        }
        let hasPanels = slices.allSatisfy { winnow_onednn_has_panels($0.weights) != 0 }
        let lie = hasPanels ? "panels" : "\(OneDNN.version ?? "") \(CPULevel.inUse.rawValue) of \(slices.map(\.first))"
        return WeightMemory(
            layout: "\(precision.rawValue) \(winnow_onednn_largest_step()) \(lie)",
            sections: [
                section(\.packed, \.packed_size), section(\.scales, \.scales_size), section(\.shifts, \.shifts_size),
            ], owner: self)
    }

    deinit { for slice in slices { winnow_onednn_destroy(slice.weights) } }

    /// Memory of the weights, in bytes.
    var byteCount: Int { slices.reduce(0) { $0 + winnow_onednn_bytes($1.weights) } }

    /// Whether single outputs can be read back just as they were given, rounded to bf16.
    var isReadable: Bool { slices.allSatisfy { winnow_onednn_is_readable($0.weights) != 0 } }

    /// One output's weights as Float32, `[inputs]`. Only where ``isReadable``.
    func read(output: Int, into row: UnsafeMutablePointer<Float>) {
        guard let slice = slices.last(where: { $0.first <= output }) else { return }
        let status = winnow_onednn_read(slice.weights, output - slice.first, row)
        precondition(status == 0, "output \(output) of these weights cannot be read back")
    }

    /// `output = input W^T`, or adds it, as ``Linear`` does. `converted` holds the rows in the library's format.
    func multiply(
        rows: Int, _ converted: ConvertedRows, into output: UnsafeMutablePointer<Float>, stride: Int, adding: Bool,
        pool: ThreadPool
    ) {
        pool.parallelFor(slices.count) { index in
            let status = winnow_onednn_multiply(
                slices[index].weights, rows, converted.bytes, inputs, precision == .int8 ? converted.scales : nil,
                output + slices[index].first, stride, adding ? 1 : 0)
            check(status, rows: rows)
        }
    }

    /// `output = silu(input W^T) * (input U^T)`, as ``GatedLinear`` does; `ups` is of the same shape and format.
    func multiplyGated(
        _ ups: OneDNNWeights, rows: Int, _ converted: ConvertedRows, into output: Matrix, pool: ThreadPool
    ) {
        precondition(ups.outputs == outputs && ups.inputs == inputs && ups.precision == precision)
        // Bounds follow from outputs and how many slices there are.
        precondition(ups.slices.count == slices.count)
        pool.parallelFor(slices.count) { index in
            let status = winnow_onednn_multiply_gated(
                slices[index].weights, ups.slices[index].weights, rows, converted.bytes, inputs,
                precision == .int8 ? converted.scales : nil, output.pointer(row: 0) + slices[index].first,
                output.columns)
            check(status, rows: rows)
        }
    }

    /// Nothing from outside comes to a failure: the library has multiplied this shape before, or is out of memory.
    private func check(_ status: Int32, rows: Int) {
        precondition(status == 0, "oneDNN could not multiply \(rows) x \(inputs) activations: status \(status)")
    }
}
