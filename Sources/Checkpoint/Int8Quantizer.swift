// A model directory with its linear weights in int8.

internal import Glibc
internal import Layers

/// Writes models in the form of ``CompressedTensors``.
public enum Int8Quantizer {
    /// Writes `directory` with every linear weight but the head's quantised: a row's scale is its largest magnitude
    /// over 127, Float32, and each weight the nearest multiple. All else is copied, config.json last.
    ///
    /// - Parameters:
    ///   - source: a model directory in F32, F16 or BF16.
    ///   - directory: made if it does not exist; must not hold a model.
    ///   - progress: told the bytes of weights written so far and in total.
    /// - Throws: for a source that is not such a directory or has weights that are no finite numbers, when a file cannot
    ///   be written, and when the task is cancelled; nothing of the copy is left then.
    public static func write(
        _ source: String, to directory: String, progress: (_ written: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(CheckpointError) {
        guard !GGUFFile.isFile(source) else {
            throw CheckpointError(
                path: source, place: "", problem: "is a GGUF file, whose tokenizer has no place in a model directory",
                fix: "give the Hugging Face directory of the model")
        }
        let checkpoint = try Checkpoint(path: source)
        try checkpoint.checkHeld(checkpoint.configuration.allLayers)
        let config = try JSONObject(file: source + "/config.json", limit: 16 << 20)
        guard try config.object("quantization_config") == nil else {
            throw config.error("quantization_config", "the model is quantised already", fix: "use it as it is")
        }
        let output = try OutputDirectory(path: directory)
        defer { output.removeUnlessComplete() }
        try output.checkHoldsNoModel()
        try output.copy(companions: CompanionFiles.all, of: source)
        try writeWeights(checkpoint, to: output.file("model.safetensors"), progress)
        var fields = config.fields
        fields["quantization_config"] = CompressedTensors.configuration
        try JSONValue.object(fields).write(to: output.file("config.json"))
        output.complete()
    }

    private static func writeWeights(
        _ checkpoint: Checkpoint, to path: String, _ progress: (Int, Int) -> Void
    ) throws(CheckpointError) {
        let tensors = TensorLayout(checkpoint.configuration).tensors
        var entries: [SafetensorsWriter.Entry] = []
        for tensor in tensors {
            if CompressedTensors.covers(tensor) {
                entries.append(.init(name: tensor.name, type: .i8, shape: tensor.shape))
                entries.append(
                    .init(name: CompressedTensors.scaleName(tensor.name), type: .f32, shape: [tensor.rows, 1]))
            } else {
                let type = ElementType(rawValue: try checkpoint.stored(tensor).typeName) ?? .f32
                entries.append(.init(name: tensor.name, type: type, shape: tensor.shape))
            }
        }
        var writer = try SafetensorsWriter(path: path, entries: entries)
        for tensor in tensors {
            if CompressedTensors.covers(tensor) {
                try quantize(tensor, of: checkpoint, to: &writer, progress)
            } else {
                try writer.copy(try checkpoint.stored(tensor), progress)
            }
        }
        try writer.finish()
    }

    private static func quantize(
        _ tensor: TensorLayout.Tensor, of checkpoint: Checkpoint, to writer: inout SafetensorsWriter,
        _ progress: (Int, Int) -> Void
    ) throws(CheckpointError) {
        let columns = tensor.columns
        let block = min(tensor.rows, max(1, (1 << 20) / columns))
        let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: block * columns)
        defer { values.deallocate() }
        var scales: [UInt8] = []
        for first in stride(from: 0, to: tensor.rows, by: block) {
            let rows = first..<min(tensor.rows, first + block)
            try checkpoint.decodeRows(tensor, rows: rows, into: values)
            var bytes = [UInt8](repeating: 0, count: rows.count * columns)
            for row in 0..<rows.count {
                let source = UnsafeBufferPointer(rebasing: values[row * columns..<(row + 1) * columns])
                let scale = bytes.withUnsafeMutableBytes { all in
                    quantize(
                        source, into: UnsafeMutableRawBufferPointer(rebasing: all[row * columns..<(row + 1) * columns]))
                }
                withUnsafeBytes(of: scale.bitPattern.littleEndian) { scales += $0 }
            }
            try writer.write(bytes)
            progress(writer.writtenBytes, writer.totalBytes)
        }
        try writer.write(scales)
    }

    /// Rounds a row of finite values to signed bytes; returns its scale. A row of zeros has scale 1.
    private static func quantize(
        _ row: UnsafeBufferPointer<Float>, into output: UnsafeMutableRawBufferPointer
    ) -> Float {
        var largest: Float = 0
        for value in row { largest = max(largest, abs(value)) }
        let scale = largest / 127
        guard scale.isNormal else { return 1 }
        // Adding 1.5 * 2^23 leaves no bits for a fraction: it rounds to nearest even.
        let rounding: Float = 12_582_912
        let target = output.bindMemory(to: Int8.self)
        for index in row.indices {
            target[index] = Int8(truncatingIfNeeded: Int32(row[index] / scale + rounding - rounding))
        }
        return scale
    }
}
