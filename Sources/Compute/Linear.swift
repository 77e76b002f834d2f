// A weight matrix applied to rows, by whichever back end serves its precision on this CPU.

internal import CKernels

/// A linear layer: `output = input W^T + bias`, its product shared out over the threads of a pool.
package struct Linear: Sendable {
    /// Rows of the weights.
    package let outputs: Int
    /// Columns of the weights.
    package let inputs: Int
    let weights: Weights
    let bias: Matrix?

    enum Weights: Sendable {
        /// `[outputs, inputs]`, Float32, as checkpoints store it; multiplied by OpenBLAS.
        case plain(Matrix)
        /// 16 or 8 bits, multiplied by the kernels of this package.
        case packed(PackedWeights)
        /// bf16 or int8, multiplied by oneDNN.
        case oneDNN(OneDNNWeights, Precision)
    }

    /// Who multiplies in bf16 and int8.
    package enum Backend: Sendable {
        /// oneDNN where it uses instructions made for the precision, the kernels of this package elsewhere.
        case automatic
        /// The kernels of this package.
        case own
        /// oneDNN wherever it multiplies the precision at all, however slowly.
        case oneDNN
    }

    /// Memory for a layer's weights, to be filled.
    package struct Room {
        package let outputs: Int
        package let inputs: Int
        fileprivate let precision: Precision
        /// Float32 weights; else one of the two below.
        fileprivate var plain: Matrix?
        fileprivate var library: OneDNNWeights?
        fileprivate var packed: PackedWeights?

        /// Takes memory for weights; see ``Linear/init(outputs:inputs:precision:backend:bias:pool:rows:)``.
        ///
        /// - Throws: if it cannot be had.
        package init(
            outputs: Int, inputs: Int, precision: Precision, backend: Backend = .automatic, pool: ThreadPool
        ) throws(MemoryError) {
            self.outputs = outputs
            self.inputs = inputs
            // Sums of 8-bit products must stay in 32 bits.
            let format = precision == .int8 && inputs > PackedWeights.mostInt8Inputs ? .bf16 : precision
            self.precision = format
            guard format != .f32 else {
                plain = try Matrix(rows: outputs, columns: inputs, for: "weights of \(outputs) x \(inputs) values")
                return
            }
            if backend == .oneDNN || backend == .automatic && OneDNN.serves(format) {
                library = OneDNNWeights(outputs: outputs, inputs: inputs, precision: format, threads: pool.threads)
            }
            if library == nil {
                packed = try PackedWeights(outputs: outputs, inputs: inputs, isInt8: format == .int8)
            }
        }
    }

    /// Takes over Float32 weights `[outputs, inputs]`, which nobody may change from now on.
    package init(weights: Matrix, bias: Matrix? = nil) {
        outputs = weights.rows
        inputs = weights.columns
        self.weights = .plain(weights)
        self.bias = bias
    }

    /// Brings weights into the layout of their precision. The Float32 weights are not kept.
    ///
    /// - Parameters:
    ///   - precision: int8 falls back to bf16 where a row has so many inputs that sums would leave 32 bits.
    ///   - backend: who multiplies in bf16 and int8.
    ///   - bias: `outputs` values, or nil.
    ///   - rows: fills a buffer with the Float32 weights of some outputs, `[range.count, inputs]`; called on the threads of
    ///     the pool, several at once.
    ///
    /// Memory that cannot be had ends the process: weights from outside get a ``Room`` first.
    package init<E: Error>(
        outputs: Int, inputs: Int, precision: Precision, backend: Backend = .automatic, bias: Matrix? = nil,
        pool: ThreadPool, rows: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws(E) -> Void
    ) throws(E) {
        let room: Room
        do {
            room = try Room(outputs: outputs, inputs: inputs, precision: precision, backend: backend, pool: pool)
        } catch {
            preconditionFailure("\(error)")
        }
        try self.init(room, bias: bias, pool: pool, rows: rows)
    }

    /// The same in memory that was taken before.
    package init<E: Error>(
        _ room: Room, bias: Matrix? = nil, pool: ThreadPool,
        rows: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws(E) -> Void
    ) throws(E) {
        let outputs = room.outputs
        self.outputs = outputs
        inputs = room.inputs
        self.bias = bias
        if let matrix = room.plain {
            let rowsPerTask = 16
            try pool.tryParallelFor((outputs + rowsPerTask - 1) / rowsPerTask) { task throws(E) in
                let range = task * rowsPerTask..<min(outputs, (task + 1) * rowsPerTask)
                try rows(range, matrix.buffer(rows: range))
            }
            weights = .plain(matrix)
        } else if let library = room.library, try library.pack(pool: pool, rows: rows) {
            weights = .oneDNN(library, room.precision)
        } else {
            let packed: PackedWeights
            do {
                // The library may refuse at last what it had room for.
                if let ready = room.packed {
                    packed = ready
                } else {
                    packed = try PackedWeights(
                        outputs: room.outputs, inputs: room.inputs, isInt8: room.precision == .int8)
                }
            } catch {
                preconditionFailure("\(error)")
            }
            try packed.pack(pool: pool, rows: rows)
            weights = .packed(packed)
        }
    }

    /// Weights in 16 or 8 bits that were brought into their layout before; nil in Float32, which has none, and where
    /// `fill` says that it has no such weights, or the memory cannot be had.
    ///
    /// - Parameter fill: fills the memory with the bytes that ``memory`` had, and says whether it did.
    package init?(
        outputs: Int, inputs: Int, precision: Precision, backend: Backend = .automatic, bias: Matrix? = nil,
        pool: ThreadPool, fill: (WeightMemory) -> Bool
    ) {
        guard precision != .f32,
            let room = try? Room(outputs: outputs, inputs: inputs, precision: precision, backend: backend, pool: pool)
        else { return nil }
        if let library = room.library {
            weights = .oneDNN(library, room.precision)
        } else if let packed = room.packed {
            weights = .packed(packed)
        } else {
            return nil
        }
        self.outputs = outputs
        self.inputs = inputs
        self.bias = bias
        guard let memory, fill(memory) else { return nil }
    }

    /// The weights as bytes; nil in Float32.
    package var memory: WeightMemory? {
        switch weights {
        case .plain: nil
        case .packed(let packed): packed.memory
        case .oneDNN(let library, _): library.memory
        }
    }

    /// Memory of the weights, in bytes.
    package var byteCount: Int {
        switch weights {
        case .plain(let matrix): matrix.count * MemoryLayout<Float>.stride
        case .packed(let packed): packed.byteCount
        case .oneDNN(let library, _): library.byteCount
        }
    }

    /// Whether single outputs can be read back just as they were given, rounded to bf16 at most.
    package var isReadable: Bool {
        switch weights {
        case .plain: true
        case .packed(let packed): packed.isReadable
        case .oneDNN(let library, _): library.isReadable
        }
    }

    /// Copies one output's weights, `[inputs]`, as they are multiplied: what an embedding that shares them looks up. Only
    /// where ``isReadable``.
    package func read(output: Int, into row: UnsafeMutableBufferPointer<Float>) {
        precondition(row.count == inputs && 0 <= output && output < outputs)
        guard let base = row.baseAddress else { return }
        switch weights {
        case .plain(let matrix): base.update(from: matrix.pointer(row: output), count: inputs)
        case .packed(let packed): packed.read(output: output, into: base)
        case .oneDNN(let library, _): library.read(output: output, into: base)
        }
    }

    /// Writes, or adds, `input W^T + bias` for rows `inputRows` of `input` to the rows of `output` from `outputRow` on,
    /// columns from `outputColumn` on.
    ///
    /// `input` is `[_, inputs]` and `output` `[_, outputColumn + outputs or more]`.
    package func apply(
        _ input: Matrix, rows inputRows: Range<Int>, to output: Matrix, from outputRow: Int,
        column outputColumn: Int = 0,
        adding: Bool = false, converted: ConvertedRows, pool: ThreadPool
    ) {
        precondition(input.columns == inputs && outputColumn + outputs <= output.columns)
        precondition(inputRows.upperBound <= input.rows && outputRow + inputRows.count <= output.rows)
        guard !inputRows.isEmpty else { return }
        let count = inputRows.count
        let target = output.pointer(row: outputRow) + outputColumn
        switch weights {
        case .plain(let matrix):
            share((outputs + 15) / 16, rows: count, pool: pool) { groups in
                let first = groups.lowerBound * 16
                BLAS.multiplyTransposed(
                    rows: count, columns: min(groups.upperBound * 16, outputs) - first, depth: inputs,
                    input.pointer(row: inputRows.lowerBound), stride: input.columns, matrix.pointer(row: first),
                    stride: inputs, adding: adding, into: target + first, stride: output.columns)
            }
        case .packed(let packed):
            packed.convert(input, rows: inputRows, into: converted, pool: pool)
            share(packed.panels, rows: count, pool: pool) { panels in
                packed.multiply(
                    panels: panels, rows: count, input.pointer(row: inputRows.lowerBound), stride: input.columns,
                    converted: converted, into: target, stride: output.columns, adding: adding)
            }
        case .oneDNN(let library, let format):
            converted.convert(input, rows: inputRows, precision: format, pool: pool)
            library.multiply(
                rows: count, converted, into: target, stride: output.columns, adding: adding, pool: pool)
        }
        if let bias {
            winnow_add_bias(Kernels.level, target, output.columns, bias.pointer(row: 0), count, outputs)
        }
    }

    /// Shares `0..<groups` out in slices: a few more than threads, so that a late thread holds nobody up.
    func share(_ groups: Int, rows: Int, pool: ThreadPool, _ body: (Range<Int>) -> Void) {
        let slices = pool.threads == 1 ? 1 : min(groups, pool.threads * (rows <= 8 ? 1 : 2))
        pool.parallelFor(slices) { slice in
            body(groups * slice / slices..<groups * (slice + 1) / slices)
        }
    }
}
