// From a checkpoint's tensors to what computes.

internal import Checkpoint
internal import Compute

extension Checkpoint {
    /// A vector of a layer as one Float32 row.
    func vector(_ tensors: TensorLayout.Tensor...) throws(CheckpointError) -> Matrix { try vector(tensors) }

    private func vector(_ tensors: [TensorLayout.Tensor]) throws(CheckpointError) -> Matrix {
        let matrix = Matrix(rows: 1, columns: tensors.reduce(0) { $0 + $1.rows * $1.columns })
        var failure: CheckpointError?
        matrix.withUnsafeMutableBufferPointer { all in
            var at = 0
            for tensor in tensors where failure == nil {
                let count = tensor.rows * tensor.columns
                do throws(CheckpointError) {
                    try decodeRows(
                        tensor, rows: 0..<tensor.rows, into: UnsafeMutableBufferPointer(rebasing: all[at..<at + count]))
                } catch {
                    failure = error
                }
                at += count
            }
        }
        if let failure { throw failure }
        return matrix
    }

    /// Tensors of equal width, one below the other, as one linear layer; columns are multiplied with `factors`, if any.
    ///
    /// - Parameter cache: where it may lie packed, and is noted to be kept if it does not.
    func linear(
        _ tensors: [TensorLayout.Tensor], bias: [TensorLayout.Tensor] = [], factors: [Float]? = nil,
        precision: Precision, cache: WeightsCache?, pool: ThreadPool
    ) throws(CheckpointError) -> Linear {
        let (outputs, inputs) = (tensors.reduce(0) { $0 + $1.rows }, tensors.first?.columns ?? 0)
        let bias = bias.isEmpty ? nil : try vector(bias)
        func key(_ memory: WeightMemory) -> WeightsKey? {
            try? weightsKey(tensors, factors: factors, layout: memory.layout)
        }
        if let cache,
            let kept = Linear(
                outputs: outputs, inputs: inputs, precision: precision, bias: bias, pool: pool,
                fill: { memory in key(memory).map { cache.fill(memory, $0, pool: pool) } ?? false })
        {
            return kept
        }
        willDecode(tensors)
        let room: Linear.Room
        do throws(MemoryError) {
            room = try Linear.Room(outputs: outputs, inputs: inputs, precision: precision, pool: pool)
        } catch {
            throw CheckpointError(path: path, place: tensors.first?.name ?? "", error)
        }
        let linear = try Linear(room, bias: bias, pool: pool) { rows, buffer throws(CheckpointError) in
            var first = 0
            for tensor in tensors {
                let share = rows.clamped(to: first..<first + tensor.rows)
                if !share.isEmpty {
                    let at = (share.lowerBound - rows.lowerBound) * inputs
                    try decodeRows(
                        tensor, rows: share.lowerBound - first..<share.upperBound - first,
                        into: UnsafeMutableBufferPointer(rebasing: buffer[at..<at + share.count * inputs]))
                }
                first += tensor.rows
            }
            guard let factors else { return }
            for index in 0..<rows.count * inputs { buffer[index] *= factors[index % inputs] }
        }
        if let cache, let memory = linear.memory, let key = key(memory) { cache.note(memory, key) }
        return linear
    }
}

extension Matrix {
    /// Copies of some rows, one behind the other.
    func gathered(rows: [Int]) -> Matrix {
        let copy = Matrix(rows: rows.count, columns: columns)
        gather(rows, into: copy)
        return copy
    }

    /// Copies some rows to the beginning of another matrix of this width.
    func gather(_ rows: [Int], into copy: Matrix) {
        withUnsafeBufferPointer { from in
            copy.withUnsafeMutableBufferPointer { to in
                for (place, row) in rows.enumerated() {
                    _ = to[place * columns..<(place + 1) * columns].update(
                        fromContentsOf: from[row * columns..<(row + 1) * columns])
                }
            }
        }
    }

    /// Writes the rows of `other` over the given rows: what ``gathered(rows:)`` took, put back.
    func scatter(_ other: Matrix, rows: [Int]) {
        other.withUnsafeBufferPointer { from in
            withUnsafeMutableBufferPointer { to in
                for (place, row) in rows.enumerated() {
                    _ = to[row * columns..<(row + 1) * columns].update(
                        fromContentsOf: from[place * columns..<(place + 1) * columns])
                }
            }
        }
    }
}
