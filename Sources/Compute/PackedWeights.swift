// Weights in the layout of the packed kernels.

internal import CKernels

/// What rows must be converted to before they are multiplied.
enum RowFormat {
    /// Float32, as they are.
    case floats
    /// 16-bit fixed point, a scale for each run of 512 inputs.
    case fixed
    /// 8 bits, a scale for each row.
    case bytes
}

/// A weight matrix in 16 or 8 bits, in panels of some outputs; it never changes after it was filled.
final class PackedWeights: @unchecked Sendable {  // filled by who made it, then only read
    /// `[outputs, inputs]`.
    let outputs: Int
    let inputs: Int
    private let packed: winnow_packed
    private let scaleCount: Int
    private let level = Kernels.level

    /// Outputs of a panel: products begin at multiples of it.
    static var panelOutputs: Int { winnow_panel_outputs(Kernels.level) }

    /// Inputs beyond which sums of 8-bit products could leave 32 bits.
    static let mostInt8Inputs = 65_536

    /// Room for weights, to be filled before the first product.
    init(outputs: Int, inputs: Int, isInt8: Bool) throws(MemoryError) {
        precondition(outputs > 0 && inputs > 0)
        self.outputs = outputs
        self.inputs = inputs
        let width = Self.panelOutputs
        let panels = (outputs + width - 1) / width
        let type = isInt8 ? winnow_packed_int8 : winnow_packed_half(level)
        let scaleCount =
            switch type {
            case winnow_packed_int8: panels * width
            case winnow_packed_fixed: panels * winnow_fixed_runs(inputs) * width
            default: 0
            }
        let sizes = [
            panels * winnow_panel_bytes(level, type, inputs), scaleCount * 4, isInt8 ? panels * width * 4 : 0,
        ]
        let blocks = sizes.map { $0 > 0 ? winnow_memory($0) : nil }
        guard zip(sizes, blocks).allSatisfy({ $0 <= 0 || $1 != nil }) else {
            for (size, block) in zip(sizes, blocks) { winnow_memory_free(block, size) }
            throw MemoryError(purpose: "weights of \(outputs) x \(inputs) values", bytes: sizes.reduce(0, +))
        }
        self.scaleCount = scaleCount
        packed = winnow_packed(
            type: type, outputs: outputs, inputs: inputs, panels: blocks[0],
            scales: blocks[1]?.bindMemory(to: Float.self, capacity: scaleCount),
            offsets: blocks[2]?.bindMemory(to: Int32.self, capacity: panels * width))
    }

    /// Fills the weights with the rows that `rows` gives, panel by panel, on all threads of the pool.
    ///
    /// - Parameter rows: fills a buffer with the Float32 weights of some outputs, `[range.count, inputs]`.
    func pack<E: Error>(
        pool: ThreadPool, rows: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws(E) -> Void
    ) throws(E) {
        let (width, level, packed) = (Self.panelOutputs, level, packed)
        try pool.tryParallelFor(panels) { panel throws(E) in
            let range = panel * width..<min(outputs, (panel + 1) * width)
            try withFloats(width * inputs) { buffer throws(E) in
                try rows(range, UnsafeMutableBufferPointer(rebasing: buffer[..<(range.count * inputs)]))
                if let base = buffer.baseAddress {
                    var packed = packed
                    winnow_pack_panel(level, &packed, panel, base, range.count)
                }
            }
        }
    }

    /// The weights as bytes.
    var memory: WeightMemory {
        func piece(_ start: UnsafeMutableRawPointer?, _ count: Int) -> [UnsafeMutableRawBufferPointer] {
            [UnsafeMutableRawBufferPointer(start: start, count: start == nil ? 0 : count)]
        }
        return WeightMemory(
            layout: "own \(CPULevel(level).rawValue) type \(packed.type.rawValue)",
            sections: [
                piece(packed.panels, panels * winnow_panel_bytes(level, packed.type, inputs)),
                piece(packed.scales, scaleCount * 4), piece(packed.offsets, panels * Self.panelOutputs * 4),
            ], owner: self)
    }

    deinit {
        winnow_memory_free(packed.panels, panels * winnow_panel_bytes(level, packed.type, inputs))
        winnow_memory_free(packed.scales, scaleCount * 4)
        winnow_memory_free(packed.offsets, isInt8 ? panels * Self.panelOutputs * 4 : 0)
    }

    /// What rows must be converted to.
    var format: RowFormat {
        switch packed.type {
        case winnow_packed_int8: .bytes
        case winnow_packed_fixed: .fixed
        default: .floats
        }
    }

    /// Whether the weights are bf16: in fixed point or 8 bits what is read back is not what was given.
    var isReadable: Bool { packed.type == winnow_packed_bf16 }

    private var isInt8: Bool { packed.type == winnow_packed_int8 }

    /// Panels that hold all outputs.
    var panels: Int { (outputs + Self.panelOutputs - 1) / Self.panelOutputs }

    /// Memory of the weights, in bytes.
    var byteCount: Int {
        panels * winnow_panel_bytes(level, packed.type, inputs) + scaleCount * 4
            + (isInt8 ? panels * Self.panelOutputs * 4 : 0)
    }

    /// One output's weights as Float32, `[inputs]`.
    func read(output: Int, into row: UnsafeMutablePointer<Float>) {
        var packed = packed
        winnow_unpack_output(level, &packed, output, row)
    }

    /// Converts rows of `input` to ``format``, for ``multiply(panels:rows:_:stride:converted:into:stride:adding:)``.
    func convert(_ input: Matrix, rows: Range<Int>, into converted: ConvertedRows, pool: ThreadPool) {
        switch format {
        case .floats: break
        case .fixed: converted.fix(input, rows: rows, pool: pool)
        case .bytes: converted.quantize(input, rows: rows, pool: pool)
        }
    }

    /// `c = x W^T`, or `c += x W^T`, for the outputs of some panels; `c` is output 0 of row 0. One thread.
    ///
    /// - Parameters:
    ///   - rows: how many.
    ///   - x: Float32 rows, `stride` apart; looked at where the format is ``RowFormat/floats``.
    ///   - converted: the rows in ``format``, otherwise.
    func multiply(
        panels: Range<Int>, rows: Int, _ x: UnsafePointer<Float>, stride: Int, converted: ConvertedRows,
        into c: UnsafeMutablePointer<Float>, stride ldc: Int, adding: Bool
    ) {
        var packed = packed
        let isConverted = format != .floats
        winnow_packed_product(
            level, &packed, panels.lowerBound, panels.upperBound, rows,
            isConverted ? UnsafeRawPointer(converted.bytes) : UnsafeRawPointer(x), stride,
            isConverted ? UnsafePointer(converted.scales) : nil, c, ldc, adding ? 1 : 0)
    }

}

/// Lends room for some values, whose contents are undefined.
func withFloats<E: Error>(
    _ count: Int, _ body: (UnsafeMutableBufferPointer<Float>) throws(E) -> Void
) throws(E) {
    let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
    defer { buffer.deallocate() }
    try body(buffer)
}
