// The scales of int8 weights' rows.

extension Checkpoint {
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
