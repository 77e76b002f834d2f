// config.json and generation_config.json to a ModelConfiguration.

internal import Glibc

extension ModelConfiguration {
    /// Reads `config.json` and, where there is one, `generation_config.json` of a Hugging Face model directory.
    ///
    /// Throws for a file that is missing or malformed, and for a model whose arithmetic this program does not have: the
    /// error names the field.
    public init(directory: String) throws(CheckpointError) {
        self = try Self.read(directory: directory).shape
    }

    /// As ``init(directory:)``, with what is worth a word about the files.
    static func read(directory: String) throws(CheckpointError) -> (shape: ModelConfiguration, notes: [String]) {
        let config = try JSONObject(file: directory + "/config.json", limit: 16 << 20)
        let shape = try ModelConfiguration(config, directory: directory)
        return (shape, ConfigurationKeys.notes(on: config, shape.family))
    }

    private init(_ config: JSONObject, directory: String) throws(CheckpointError) {
        let family = try Self.family(config)
        let rules = family.rules
        try Self.checkSupported(config, rules)
        try ConfigurationKeys.check(config)

        let size = 1...(1 << 24)
        let headCount = try config.integer("num_attention_heads", in: size)
        let absent = config.fields["num_key_value_heads"] == nil ? rules.defaultKVHeadCount : nil
        let kvHeadCount = try config.integer("num_key_value_heads") ?? absent ?? headCount
        guard kvHeadCount > 0, headCount % kvHeadCount == 0 else {
            throw config.error(
                "num_key_value_heads", "\(kvHeadCount) does not divide num_attention_heads, which is \(headCount)")
        }
        let hiddenSize = try config.integer("hidden_size", in: size)
        let headDim = try config.integer("head_dim") ?? rules.defaultHeadDim ?? hiddenSize / headCount
        guard headDim > 0, headDim % 2 == 0, headDim <= 4096 else {
            throw config.error("head_dim", "\(headDim) is not an even number from 2 to 4096")
        }
        let rope = try RopeReader(config)
        let epsilon = try config.number("rms_norm_eps") ?? 1e-6
        guard epsilon >= 0, epsilon < 1 else { throw config.error("rms_norm_eps", "\(epsilon) is outside 0 to 1") }

        let vocabularySize = try config.integer("vocab_size", in: size)
        let layerCount = try config.integer("num_hidden_layers", in: 1...65_536)
        self.init(
            family: family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
            feedForwardSize: try config.integer("intermediate_size", in: size),
            layerCount: layerCount, headCount: headCount, kvHeadCount: kvHeadCount, headDim: headDim,
            contextLength: config.fields["max_position_embeddings"] == nil
                ? rules.defaultContextLength : try config.integer("max_position_embeddings", in: 1...(1 << 30)),
            normEpsilon: Float(epsilon), ropeTheta: try rope.theta(), ropeScaling: try rope.scaling(),
            slidingWindow: try rules.slidingWindow(config, layerCount: layerCount),
            hasAttentionBias: rules.hasAttentionBias, hasQueryKeyNorm: rules.hasQueryKeyNorm,
            tiedEmbeddings: try config.bool("tie_word_embeddings") ?? false,
            bosToken: try config.tokens("bos_token_id").first,
            eosTokens: try Self.endTokens(config, directory: directory, vocabularySize: vocabularySize),
            isSynthetic: try config.bool("winnow_synthetic") ?? false)
        guard headCount * headDim <= 1 << 24 else {
            throw config.error("head_dim", "\(headCount) heads of \(headDim) are more than 16777216 values")
        }
    }

    /// The family that the configuration names.
    private static func family(_ config: JSONObject) throws(CheckpointError) -> ModelFamily {
        let supported = "supported are \(ModelFamily.architectures)"
        switch config.fields["architectures"] {
        case .array(let list)? where !list.isEmpty:
            let named = ModelFamily.allCases.first { list.contains(.string($0.rules.architecture)) }
            guard let named else {
                throw config.error("architectures", "unsupported: \(list[0].kind)", fix: supported)
            }
            return named
        case nil, .null:
            let type = try config.string("model_type")
            guard let named = ModelFamily.allCases.first(where: { $0.rules.modelType == type }) else {
                throw config.error(
                    "model_type", "unsupported: \(config.fields["model_type"]?.kind ?? "missing")", fix: supported)
            }
            return named
        case .some(let other):
            throw config.error("architectures", "expected a list of names, found \(other.kind)", fix: supported)
        }
    }

    /// Throws for anything in the configuration that would change the arithmetic in a way not implemented here.
    private static func checkSupported(_ config: JSONObject, _ rules: any FamilyRules.Type) throws(CheckpointError) {
        let activation = try config.string("hidden_act") ?? "silu"
        guard activation == "silu" || activation == "swish" else {
            throw config.error("hidden_act", "unsupported activation \"\(activation)\"", fix: "only silu is supported")
        }
        for key in rules.refusedBiases where try config.bool(key) ?? false {
            throw config.error(key, "layers with such biases are not supported")
        }
        if let quantization = try config.object("quantization_config") { try CompressedTensors.check(quantization) }
    }

    /// The end-of-text tokens of generation_config.json, else of config.json. The tokenizer may name another.
    private static func endTokens(
        _ config: JSONObject, directory: String, vocabularySize: Int
    ) throws(CheckpointError) -> [Int32] {
        var source = config
        let path = directory + "/generation_config.json"
        if access(path, F_OK) == 0 {
            let generation = try JSONObject(file: path, limit: 16 << 20)
            if try !generation.tokens("eos_token_id").isEmpty { source = generation }
        }
        let tokens = try source.tokens("eos_token_id")
        if let outside = tokens.first(where: { Int($0) >= vocabularySize }) {
            throw source.error("eos_token_id", "\(outside) is outside the vocabulary of \(vocabularySize)")
        }
        return tokens
    }
}
