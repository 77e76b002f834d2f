// Models of random weights, for measuring speed where no trained weights can be had.

internal import Glibc

/// Writes models whose weights are random numbers.
public enum SyntheticCheckpoint {
    /// How weights are stored.
    public enum Precision: String, Sendable, CaseIterable {
        /// bfloat16, rounded to nearest even.
        case bf16
        /// Float32.
        case f32
    }

    /// What is written.
    public enum Format: String, Sendable, CaseIterable {
        /// A directory in Hugging Face's layout.
        case safetensors
        /// One GGUF file.
        case gguf
    }

    /// Tokens a vocabulary must have room for: 256 bytes and two marks.
    public static let smallestVocabulary = SyntheticTokenizer.smallestVocabulary

    /// The configuration of a Llama model of this shape, with untied head, the tokenizer's marks and the synthetic mark.
    ///
    /// `headDim` is `hidden / heads`; nothing is checked until ``write(_:format:precision:seed:to:progress:)``.
    public static func configuration(
        hidden: Int, layers: Int, feedForward: Int, heads: Int, kvHeads: Int, vocabulary: Int, context: Int
    ) -> ModelConfiguration {
        ModelConfiguration(
            family: .llama, vocabularySize: vocabulary, hiddenSize: hidden, feedForwardSize: feedForward,
            layerCount: layers, headCount: heads, kvHeadCount: kvHeads, headDim: heads > 0 ? hidden / heads : 0,
            contextLength: context, normEpsilon: 1e-5, ropeTheta: 500_000, ropeScaling: nil,
            hasAttentionBias: false, hasQueryKeyNorm: false, tiedEmbeddings: false,
            bosToken: SyntheticTokenizer.beginToken, eosTokens: [SyntheticTokenizer.endToken], isSynthetic: true)
    }

    /// Writes a GGUF file, or a directory with `generation_config.json`, `tokenizer.json`, `tokenizer_config.json`,
    /// `model.safetensors` and `config.json`, the configuration last, so that a directory with one is complete.
    ///
    /// Weights are drawn with mean 0 and standard deviation 1 / sqrt(inputs), norms are 1; the same seed, shape and
    /// precision give the same bytes. They are streamed: memory use does not grow with the model. Models of equal
    /// vocabulary get equal tokenizers.
    ///
    /// - Parameters:
    ///   - path: the file, or the directory, which is made if it does not exist; a model there that is not synthetic is
    ///     not overwritten.
    ///   - progress: told the bytes of weights written so far and in total.
    /// - Throws: for a shape that cannot be, when a file cannot be written, and when the task is cancelled; nothing of
    ///   the model is left then.
    public static func write(
        _ configuration: ModelConfiguration, format: Format = .safetensors, precision: Precision = .bf16,
        seed: UInt64 = 1, to path: String, progress: (_ written: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(CheckpointError) {
        try check(configuration, path)
        switch format {
        case .gguf: try SyntheticGGUF.write(configuration, precision, seed, to: path, progress)
        case .safetensors: try writeDirectory(configuration, precision, seed, to: path, progress)
        }
    }

    private static func writeDirectory(
        _ configuration: ModelConfiguration, _ precision: Precision, _ seed: UInt64, to directory: String,
        _ progress: (Int, Int) -> Void
    ) throws(CheckpointError) {
        let output = try OutputDirectory(path: directory)
        defer { output.removeUnlessComplete() }
        let configPath = directory + "/config.json"
        if access(configPath, F_OK) == 0 {
            let existing = try JSONObject(file: configPath)
            guard try existing.bool("winnow_synthetic") ?? false else {
                throw CheckpointError(
                    path: directory, place: "", problem: "holds a model that is not synthetic",
                    fix: "give another directory")
            }
            unlink(configPath)
        }
        try JSONValue.object([
            "bos_token_id": .integer(Int(SyntheticTokenizer.beginToken)),
            "eos_token_id": .integer(Int(SyntheticTokenizer.endToken)),
        ]).write(to: output.file("generation_config.json"))
        try SyntheticTokenizer.tokenizer(vocabularySize: configuration.vocabularySize)
            .write(to: output.file("tokenizer.json"))
        try SyntheticTokenizer.configuration(contextLength: configuration.contextLength)
            .write(to: output.file("tokenizer_config.json"))
        try writeWeights(configuration, precision, seed, to: output.file("model.safetensors"), progress)
        try config(configuration, precision).write(to: output.file("config.json"))
        output.complete()
    }

    private static func check(_ configuration: ModelConfiguration, _ directory: String) throws(CheckpointError) {
        func fail(_ place: String, _ problem: String) -> CheckpointError {
            CheckpointError(path: directory, place: place, problem: problem)
        }
        let sizes = [
            ("hidden", configuration.hiddenSize), ("layers", configuration.layerCount),
            ("ffn", configuration.feedForwardSize), ("heads", configuration.headCount),
            ("kv-heads", configuration.kvHeadCount), ("vocab", configuration.vocabularySize),
            ("context", configuration.contextLength),
        ]
        for (name, size) in sizes where size < 1 || size > 1 << 24 {
            throw fail(name, "\(size) is outside 1 to \(1 << 24)")
        }
        guard configuration.headCount * configuration.headDim == configuration.hiddenSize,
            configuration.headDim % 2 == 0
        else {
            throw fail(
                "heads",
                "hidden size \(configuration.hiddenSize) is not \(configuration.headCount) heads of an even size")
        }
        guard configuration.headCount % configuration.kvHeadCount == 0 else {
            throw fail("kv-heads", "\(configuration.kvHeadCount) does not divide \(configuration.headCount) heads")
        }
        guard configuration.vocabularySize >= smallestVocabulary else {
            throw fail("vocab", "\(configuration.vocabularySize) is less than \(smallestVocabulary)")
        }
    }

    private static func config(_ configuration: ModelConfiguration, _ precision: Precision) -> JSONValue {
        .object([
            "architectures": .array([.string("LlamaForCausalLM")]), "model_type": .string("llama"),
            "winnow_synthetic": .bool(true), "vocab_size": .integer(configuration.vocabularySize),
            "hidden_size": .integer(configuration.hiddenSize),
            "intermediate_size": .integer(configuration.feedForwardSize),
            "num_hidden_layers": .integer(configuration.layerCount),
            "num_attention_heads": .integer(configuration.headCount),
            "num_key_value_heads": .integer(configuration.kvHeadCount), "head_dim": .integer(configuration.headDim),
            "max_position_embeddings": .integer(configuration.contextLength), "hidden_act": .string("silu"),
            "rms_norm_eps": .number(1e-5), "rope_theta": .number(configuration.ropeTheta), "rope_scaling": .null,
            "attention_bias": .bool(false), "mlp_bias": .bool(false),
            "tie_word_embeddings": .bool(configuration.tiedEmbeddings),
            "torch_dtype": .string(precision == .bf16 ? "bfloat16" : "float32"),
            "bos_token_id": .integer(Int(SyntheticTokenizer.beginToken)),
            "eos_token_id": .integer(Int(SyntheticTokenizer.endToken)),
        ])
    }

    private static func writeWeights(
        _ configuration: ModelConfiguration, _ precision: Precision, _ seed: UInt64, to path: String,
        _ progress: (Int, Int) -> Void
    ) throws(CheckpointError) {
        let tensors = TensorLayout(configuration).tensors
        var writer = try SafetensorsWriter(
            path: path,
            entries: tensors.map {
                SafetensorsWriter.Entry(name: $0.name, type: precision == .bf16 ? .bf16 : .f32, shape: $0.shape)
            })
        for (index, tensor) in tensors.enumerated() {
            var source = RandomWeights(tensor, seed: seed, stream: UInt64(index))
            var left = tensor.shape.reduce(1, *)
            while left > 0 {
                let count = min(left, 1 << 18)
                try writer.write(source.next(count, precision))
                left -= count
                progress(writer.writtenBytes, writer.totalBytes)
            }
        }
        try writer.finish()
    }
}
