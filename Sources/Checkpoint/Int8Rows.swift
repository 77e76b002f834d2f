// Int8 weights with the scales of their rows.

extension Checkpoint {
    /// Copies rows of a tensor that is stored in int8 as they are stored; any number of threads may call it at once.
    ///
    /// - Parameters:
    ///   - rows: of the tensor, `[rows, columns]`.
    ///   - output: room for `rows.count * columns` values.
    ///   - scales: room for `rows.count` scales: a weight is its value times its row's scale.
    /// - Returns: false, with nothing copied, if the tensor is stored in another way.
    /// - Throws: if the model does not have the tensor in this shape.
    package func copyInt8Rows(
        _ tensor: TensorLayout.Tensor, rows: Range<Int>, into output: UnsafeMutableBufferPointer<Int8>,
        scales: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) -> Bool {
        let stored = try stored(tensor)
        guard stored.encoding == .int8 else { return false }
        let columns = tensor.columns
        precondition(rows.lowerBound >= 0 && rows.upperBound <= tensor.rows)
        precondition(output.count >= rows.count * columns && scales.count >= rows.count)
        stored.file.withBytes { file in
            let start = stored.bytes.lowerBound + rows.lowerBound * columns
            UnsafeMutableRawBufferPointer(output).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: file[start..<start + rows.count * columns]))
        }
        decodeScales(of: tensor, rows: rows, into: scales)
        return true
    }

    /// Widens the scales of rows of an int8 tensor that has been checked.
    func decodeScales(of tensor: TensorLayout.Tensor, rows: Range<Int>, into scales: UnsafeMutableBufferPointer<Float>)
    {
        guard let stored = tensors[CompressedTensors.scaleName(tensor.name)], let encoding = stored.encoding else {
            return
        }
        stored.file.withBytes { file in
            guard let base = file.baseAddress else { return }
            encoding.decode(
                base + stored.bytes.lowerBound + rows.lowerBound * encoding.block.bytes,
                into: UnsafeMutableBufferPointer(rebasing: scales[..<rows.count]))
        }
    }

    /// Throws unless an int8 tensor has a scale for every row.
    func checkScales(of tensor: TensorLayout.Tensor, in file: MappedFile) throws(CheckpointError) {
        let name = CompressedTensors.scaleName(tensor.name)
        guard CompressedTensors.covers(tensor), let scales = tensors[name] else {
            throw CheckpointError(
                path: file.path, place: tensor.name, problem: "its type is I8, and there is no \(name)",
                fix: "convert the weights to F32, F16 or BF16")
        }
        guard scales.shape == [tensor.rows, 1] || scales.shape == [tensor.rows] else {
            throw CheckpointError(
                path: scales.file.path, place: name,
                problem: "its shape is \(scales.shape), expected [\(tensor.rows), 1]",
                fix: "only scales per output channel are supported")
        }
        guard let encoding = scales.encoding, [.f32, .f16, .bf16].contains(encoding) else {
            throw CheckpointError(
                path: scales.file.path, place: name, problem: "its type is \(scales.typeName)",
                fix: "scales in F32, F16 or BF16 are supported")
        }
    }
}
