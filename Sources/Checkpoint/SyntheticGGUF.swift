// Synthetic models as GGUF files, which llama.cpp reads too.

/// Writes the weights of ``SyntheticCheckpoint`` as one GGUF file.
enum SyntheticGGUF {
    /// The metadata key by which such a file is known, a boolean.
    static let mark = "winnow.synthetic"

    /// Writes the file; a GGUF file there that is not synthetic is not overwritten.
    static func write(
        _ configuration: ModelConfiguration, _ precision: SyntheticCheckpoint.Precision, _ seed: UInt64,
        to path: String, _ progress: (Int, Int) -> Void
    ) throws(CheckpointError) {
        if GGUFFile.isFile(path) {
            guard try GGUFFile(path: path).value(mark, "a boolean", \.boolean) ?? false else {
                throw CheckpointError(
                    path: path, place: "", problem: "holds a model that is not synthetic", fix: "give another path")
            }
        }
        let tensors = TensorLayout(configuration).tensors
        let entries = tensors.map { tensor in
            // What is no matrix is in Float32, as llama.cpp's converter has it.
            GGUFWriter.Entry(
                name: GGUFTensorName.gguf(tensor.name) ?? tensor.name, shape: tensor.shape,
                type: GGUFTensorType(code: precision == .bf16 && tensor.shape.count > 1 ? 30 : 0))
        }
        var writer = try GGUFWriter(path: path, metadata: metadata(configuration, precision), entries: entries)
        for (index, (tensor, entry)) in zip(tensors, entries).enumerated() {
            var source = RandomWeights(tensor, seed: seed, stream: UInt64(index))
            let stored: SyntheticCheckpoint.Precision = entry.type.code == 0 ? .f32 : .bf16
            let isRotated = GGUFTensorName.holdsRotatedRows(tensor.name)
            // A head at a time where rows change places, else some rows.
            let rows = isRotated ? configuration.headDim : max(1, (1 << 18) / tensor.columns)
            for first in stride(from: 0, to: tensor.rows, by: rows) {
                let count = min(rows, tensor.rows - first)
                let bytes = source.next(count * tensor.columns, stored)
                try writer.write(isRotated ? interleaved(bytes, rows: count) : bytes)
                progress(writer.writtenBytes, writer.totalBytes)
            }
            try writer.endTensor(entry.byteCount)
        }
        try writer.finish()
    }

    /// The rows of one head in the order of interleaved rotation: row b of the first half, row b of the second half.
    private static func interleaved(_ bytes: [UInt8], rows: Int) -> [UInt8] {
        let size = bytes.count / rows
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        for pair in 0..<rows / 2 {
            result += bytes[pair * size..<(pair + 1) * size]
            result += bytes[(pair + rows / 2) * size..<(pair + rows / 2 + 1) * size]
        }
        return result
    }

    private static func metadata(
        _ configuration: ModelConfiguration, _ precision: SyntheticCheckpoint.Precision
    ) -> [(key: String, value: GGUFValue)] {
        func size(_ value: Int) -> GGUFValue { .unsigned(UInt64(value)) }
        let tokens = SyntheticTokenizer.tokens(vocabularySize: configuration.vocabularySize)
        let marks = [Int(SyntheticTokenizer.beginToken), Int(SyntheticTokenizer.endToken)]
        return [
            ("general.architecture", .string("llama")), ("general.name", .string("random weights")),
            // llama.cpp's codes for "all F32" and "mostly BF16".
            ("general.file_type", size(precision == .bf16 ? 32 : 0)), (mark, .boolean(true)),
            ("llama.vocab_size", size(configuration.vocabularySize)),
            ("llama.context_length", size(configuration.contextLength)),
            ("llama.embedding_length", size(configuration.hiddenSize)),
            ("llama.block_count", size(configuration.layerCount)),
            ("llama.feed_forward_length", size(configuration.feedForwardSize)),
            ("llama.attention.head_count", size(configuration.headCount)),
            ("llama.attention.head_count_kv", size(configuration.kvHeadCount)),
            ("llama.attention.key_length", size(configuration.headDim)),
            ("llama.attention.value_length", size(configuration.headDim)),
            ("llama.attention.layer_norm_rms_epsilon", .float(Double(configuration.normEpsilon))),
            ("llama.rope.dimension_count", size(configuration.headDim)),
            ("llama.rope.freq_base", .float(configuration.ropeTheta)),
            ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string("gpt-2")),
            ("tokenizer.ggml.tokens", .array(.string(tokens))),
            // llama.cpp's codes for control and normal tokens.
            (
                "tokenizer.ggml.token_type",
                .array(.signed(tokens.indices.map { marks.contains($0) ? 3 : 1 }))
            ),
            ("tokenizer.ggml.merges", .array(.string([]))),
            ("tokenizer.ggml.bos_token_id", size(marks[0])), ("tokenizer.ggml.eos_token_id", size(marks[1])),
            ("tokenizer.ggml.add_bos_token", .boolean(true)), ("tokenizer.ggml.add_eos_token", .boolean(false)),
        ]
    }
}
