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
final class OneDNNWeights: @unchecked Sendable {  // filled by its initialiser, then only read
    private let slices: [(first: Int, weights: OpaquePointer)]
    private let precision: Precision
    private let inputs: Int

    /// Outputs of a slice, but the last: a multiple of all the library's block sizes.
    private static let sliceOutputs = 64

    /// Packs the rows that `rows` gives, slice by slice; nil where the library does not multiply this shape.
    ///
    /// - Parameter rows: fills a buffer with the Float32 weights of some outputs, `[range.count, inputs]`.
    init?<E: Error>(
        outputs: Int, inputs: Int, precision: Precision, pool: ThreadPool,
        rows: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws(E) -> Void
    ) throws(E) {
        self.precision = precision
        self.inputs = inputs
        guard let type = OneDNN.type(precision) else { return nil }
        // As many slices as threads, so that each is as large as it can be.
        let groups = (outputs + Self.sliceOutputs - 1) / Self.sliceOutputs
        let count = min(groups, pool.threads)
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
        var isPacked = true
        for (index, slice) in made.enumerated() {
            let range = slice.first..<bounds[index + 1]
            // Float32 rows for the moment of packing only; a slice at a time bounds them.
            let matrix = Matrix(rows: range.count, columns: inputs)
            let rowsPerTask = 16
            try pool.tryParallelFor((range.count + rowsPerTask - 1) / rowsPerTask) { task throws(E) in
                let part = task * rowsPerTask..<min(range.count, (task + 1) * rowsPerTask)
                try rows(
                    part.lowerBound + slice.first..<part.upperBound + slice.first, matrix.buffer(rows: part))
            }
            isPacked =
                isPacked
                && winnow_onednn_pack(slice.weights, winnow_onednn_f32, matrix.pointer(row: 0), inputs) == 0
        }
        guard isPacked else { return nil }
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
            // Nothing from outside comes to this: the library has multiplied this shape before, or is out of memory.
            precondition(status == 0, "oneDNN could not multiply \(rows) x \(inputs) activations: status \(status)")
        }
    }
}
