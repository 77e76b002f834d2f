// Rows of a tensor, whatever their type, as Float32.

package import Compute

extension Checkpoint {
    /// Widens rows of a tensor to Float32.
    ///
    /// Any number of threads may call it at once.
    ///
    /// - Parameters:
    ///   - tensor: one of the layout's, `[rows, columns]`; a vector counts as one row.
    ///   - rows: in Hugging Face's order, whatever the order in the file.
    ///   - output: room for `rows.count * columns` values; gets the rows one behind the other.
    /// - Throws: if the model does not have the tensor, in this shape and in a type that can be read, and for a value that
    ///   is infinite or no number.
    package func decodeRows(
        _ tensor: TensorLayout.Tensor, rows: Range<Int>, into output: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        let stored = try stored(tensor)
        let columns = tensor.columns
        precondition(rows.lowerBound >= 0 && rows.upperBound <= tensor.rows && output.count >= rows.count * columns)
        guard columns > 0, let encoding = stored.encoding else { return }
        let rowBytes = columns / encoding.block.values * encoding.block.bytes
        let decoded = UnsafeMutableBufferPointer(rebasing: output[..<(rows.count * columns)])
        stored.file.withBytes { file in
            guard let base = file.baseAddress?.advanced(by: stored.bytes.lowerBound) else { return }
            func decode(_ row: Int, _ count: Int, at place: Int) {
                encoding.decode(
                    base + row * rowBytes,
                    into: UnsafeMutableBufferPointer(rebasing: output[place * columns..<(place + count) * columns]))
            }
            if encoding == .int8 {
                decode(rows.lowerBound, rows.count, at: 0)
                scale(output, rows: rows, of: tensor)
            } else if stored.interleavedHeadDim == nil {
                decode(rows.lowerBound, rows.count, at: 0)
            } else if tensor.shape.count == 1 {
                let values = [Float](unsafeUninitializedCapacity: columns) { values, count in
                    encoding.decode(base, into: UnsafeMutableBufferPointer(rebasing: values[..<columns]))
                    count = columns
                }
                for index in 0..<columns where !rows.isEmpty { output[index] = values[stored.storedRow(index)] }
            } else {
                for (place, row) in rows.enumerated() { decode(stored.storedRow(row), 1, at: place) }
            }
        }
        guard decoded.areFinite else { throw notFinite(tensor, rows: rows, decoded) }
    }

    /// The error about a value that is no number or infinite.
    private func notFinite(
        _ tensor: TensorLayout.Tensor, rows: Range<Int>, _ values: UnsafeMutableBufferPointer<Float>
    ) -> CheckpointError {
        let index = values.firstIndex { !$0.isFinite } ?? 0
        let (row, column) = index.quotientAndRemainder(dividingBy: tensor.columns)
        return error(
            tensor, "the value in row \(rows.lowerBound + row), column \(column) is \(values[index])",
            fix: "the weights are damaged: fetch or convert the model again")
    }

    /// Multiplies rows of int8 values by their scales.
    private func scale(_ values: UnsafeMutableBufferPointer<Float>, rows: Range<Int>, of tensor: TensorLayout.Tensor) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count) { scales in
            decodeScales(of: tensor, rows: rows, into: scales)
            for row in 0..<rows.count {
                let scale = scales[row]
                let columns = tensor.columns
                let own = UnsafeMutableBufferPointer(rebasing: values[row * columns..<(row + 1) * columns])
                for index in own.indices { own[index] *= scale }
            }
        }
    }

    /// Widens rows of a tensor to Float32: a matrix of as many rows, as wide as the tensor's.
    ///
    /// - Throws: as ``decodeRows(_:rows:into:)``.
    package func load(
        _ tensor: TensorLayout.Tensor, rows: Range<Int>, into matrix: Matrix
    ) throws(CheckpointError) {
        precondition(tensor.columns == matrix.columns && rows.count == matrix.rows)
        var failure: CheckpointError?
        matrix.withUnsafeMutableBufferPointer { all in
            do throws(CheckpointError) {
                try decodeRows(tensor, rows: rows, into: all)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}

extension WeightEncoding {
    /// Widens `output.count` values, a whole number of blocks, from `source`, which may have any alignment.
    func decode(_ source: UnsafeRawPointer, into output: UnsafeMutableBufferPointer<Float>) {
        switch self {
        case .f32:
            UnsafeMutableRawBufferPointer(output).copyMemory(
                from: UnsafeRawBufferPointer(start: source, count: output.count * MemoryLayout<Float>.stride))
        case .bf16: Kernels.widenBF16(source, into: output)
        case .f16: Kernels.widenF16(source, into: output)
        case .q80: BlockDecoding.q80(source, into: output)
        case .q40: BlockDecoding.q40(source, into: output)
        case .q41: BlockDecoding.q41(source, into: output)
        case .q50: BlockDecoding.q50(source, into: output)
        case .q51: BlockDecoding.q51(source, into: output)
        case .q2K: BlockDecoding.q2K(source, into: output)
        case .q3K: BlockDecoding.q3K(source, into: output)
        case .q4K: BlockDecoding.q4K(source, into: output)
        case .q5K: BlockDecoding.q5K(source, into: output)
        case .q6K: BlockDecoding.q6K(source, into: output)
        case .iq4NL: BlockDecoding.iq4NL(source, into: output)
        case .iq4XS: BlockDecoding.iq4XS(source, into: output)
        case .int8:
            let bytes = source.assumingMemoryBound(to: Int8.self)
            for index in output.indices { output[index] = Float(bytes[index]) }
        }
    }
}

extension UnsafeMutableBufferPointer<Float> {
    /// Whether no value is infinite or no number.
    fileprivate var areFinite: Bool {
        // Of those two kinds all exponent bits are set, so adding one to the exponent carries into the sign. Without a
        // branch, so that the compiler takes several values at once: the rows have just been written and lie in cache.
        var carried: UInt32 = 0
        for value in self { carried |= (value.bitPattern & 0x7FFF_FFFF) &+ 0x0080_0000 }
        return carried & 0x8000_0000 == 0
    }
}
