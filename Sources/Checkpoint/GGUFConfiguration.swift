// GGUF metadata to a ModelConfiguration.

extension ModelConfiguration {
    /// Reads the metadata of a GGUF model.
    ///
    /// Throws for what is missing or malformed, and for a model whose arithmetic this program does not have: the error
    /// names the key. End-of-text tokens are those of `tokenizer.ggml.eos_token_id`, `eot_token_id` and `eom_token_id`. A
    /// model without `output.weight` in any of its parts has its head tied to the embedding, which all families may.
    init(gguf parts: GGUFParts) throws(CheckpointError) {
        let file = parts.first
        let metadata = try GGUFMetadata(parts)
        let rules = metadata.family.rules
        try metadata.checkSupported()
        let size = 1...(1 << 24)
        let headCount = try metadata.integer("attention.head_count", in: size)
        let kvHeadCount = try metadata.integer("attention.head_count_kv", in: size, default: headCount)
        guard headCount % kvHeadCount == 0 else {
            throw metadata.error(
                "attention.head_count_kv", "\(kvHeadCount) does not divide the \(headCount) query heads")
        }
        let hiddenSize = try metadata.integer("embedding_length", in: size)
        let headDim = try metadata.integer("attention.key_length", in: 2...4096, default: hiddenSize / headCount)
        guard headDim % 2 == 0, headDim > 0, headCount * headDim <= 1 << 24 else {
            throw metadata.error("attention.key_length", "\(headCount) heads of \(headDim) cannot be")
        }
        for key in ["attention.value_length", "rope.dimension_count"] {
            let other = try metadata.integer(key, in: size, default: headDim)
            guard other == headDim else {
                throw metadata.error(key, "\(other), where heads have \(headDim) values, is not supported")
            }
        }
        let epsilon = try metadata.number("attention.layer_norm_rms_epsilon", default: 1e-6)
        guard epsilon >= 0, epsilon < 1 else {
            throw metadata.error("attention.layer_norm_rms_epsilon", "\(epsilon) is outside 0 to 1")
        }
        let theta = try metadata.number("rope.freq_base", default: 10_000)
        guard RopeReader.bases.contains(theta) else {
            throw metadata.error("rope.freq_base", "\(theta) is not a positive number that can be a base")
        }
        let layerCount = try metadata.integer("block_count", in: 1...65_536)
        let contextLength = try metadata.integer("context_length", in: 1...(1 << 30))
        let tensors = Dictionary(uniqueKeysWithValues: parts.tensors.map { ($0.tensor.name, $0.tensor) })
        // Of each layer's tensors the names are made, before it is found that they are not there.
        guard layerCount <= tensors.count else {
            throw metadata.error(
                "block_count", "\(layerCount) layers cannot be in \(tensors.count) tensors",
                fix: "convert the model again")
        }
        let rows = tensors["token_embd.weight"]?.dimensions.last ?? 0
        let vocabularySize = try metadata.integer("vocab_size", in: size, default: rows)
        let marks = try metadata.marks(vocabularySize: vocabularySize)
        self.init(
            family: metadata.family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
            feedForwardSize: try metadata.integer("feed_forward_length", in: size), layerCount: layerCount,
            headCount: headCount, kvHeadCount: kvHeadCount, headDim: headDim, contextLength: contextLength,
            normEpsilon: Float(epsilon), ropeTheta: theta, ropeScaling: try metadata.scaling(headDim: headDim),
            slidingWindow: try metadata.slidingWindow(layerCount: layerCount, contextLength: contextLength),
            hasAttentionBias: rules.hasAttentionBias || tensors["blk.0.attn_q.bias"] != nil,
            hasQueryKeyNorm: rules.hasQueryKeyNorm, tiedEmbeddings: tensors["output.weight"] == nil,
            bosToken: marks.begin, eosTokens: marks.ends,
            isSynthetic: try file.value(SyntheticGGUF.mark, "a boolean", \.boolean) ?? false)
    }
}

/// The metadata of one model, whose keys begin with the architecture's name.
private struct GGUFMetadata {
    private let parts: GGUFParts
    private var file: GGUFFile { parts.first }
    private let architecture: String
    let family: ModelFamily

    init(_ parts: GGUFParts) throws(CheckpointError) {
        self.parts = parts
        let file = parts.first
        let name = try file.value("general.architecture", "a string", \.string)
        guard let name, let family = ModelFamily.allCases.first(where: { $0.rules.ggufArchitecture == name }) else {
            throw CheckpointError(
                path: file.path, place: "general.architecture",
                problem: name.map { "unsupported: \"\($0.prefix(80))\"" } ?? "missing",
                fix: "supported are \(ModelFamily.ggufArchitectures)")
        }
        architecture = name
        self.family = family
    }

    func error(_ key: String, _ problem: String, fix: String? = nil) -> CheckpointError {
        CheckpointError(path: file.path, place: "\(architecture).\(key)", problem: problem, fix: fix)
    }

    /// An integer that must be in `range`, and there unless it has a default; the default is checked too.
    func integer(_ key: String, in range: ClosedRange<Int>, default other: Int? = nil) throws(CheckpointError) -> Int {
        guard let value = try file.value("\(architecture).\(key)", "an integer", \.integer) ?? other else {
            throw error(key, "missing", fix: "convert the model again")
        }
        guard range.contains(value) else {
            throw error(key, "\(value) is outside \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func number(_ key: String, default other: Double) throws(CheckpointError) -> Double {
        try file.value("\(architecture).\(key)", "a number", \.number) ?? other
    }

    /// Throws for keys that would change the arithmetic in a way not implemented here.
    func checkSupported() throws(CheckpointError) {
        try GGUFKeys.check(file, architecture: architecture)
    }

    /// The stretching of rotary frequencies: by metadata, or by a tensor of factors.
    func scaling(headDim: Int) throws(CheckpointError) -> RopeScaling? {
        let typeKey = "\(architecture).rope.scaling.type"
        let factor = try number("rope.scaling.factor", default: try number("rope.scale_linear", default: 0))
        let type = try file.value(typeKey, "a string", \.string) ?? (factor == 0 ? "none" : "linear")
        var scaling: RopeScaling?
        switch type {
        case "none": break
        case "linear":
            guard factor == 0 || RopeReader.factors.contains(factor) else {
                let range = RopeReader.factors
                throw error("rope.scaling.factor", "\(factor) is outside \(range.lowerBound) to \(range.upperBound)")
            }
            if factor != 0, factor != 1 { scaling = .linear(factor: factor) }
        default:
            throw error(
                "rope.scaling.type", "unsupported scaling \"\(type.prefix(80))\"",
                fix: "supported are none, linear and factors in \(GGUFTensorName.ropeFactors)")
        }
        let own = parts.tensors.first { $0.tensor.name == GGUFTensorName.ropeFactors }
        guard let (tensor, file) = own else { return scaling }
        guard scaling == nil else {
            throw error("rope.scaling.type", "\(type) scaling together with \(GGUFTensorName.ropeFactors)")
        }
        return .factors(try factors(tensor, in: file, count: headDim / 2))
    }

    private func factors(
        _ tensor: GGUFTensor, in file: GGUFFile, count: Int
    ) throws(CheckpointError) -> [Double] {
        func fail(_ problem: String) -> CheckpointError {
            CheckpointError(
                path: file.path, place: tensor.name, problem: problem, fix: "convert the model again")
        }
        guard WeightEncoding(tensor.type) == .f32, tensor.dimensions == [count] else {
            throw fail("\(tensor.dimensions) values of type \(tensor.type), expected [\(count)] of type F32")
        }
        let factors = file.file.withBytes { bytes in
            (0..<count).map {
                Double(Float(bitPattern: bytes.loadUnaligned(fromByteOffset: tensor.offset + 4 * $0, as: UInt32.self)))
            }
        }
        if let bad = factors.first(where: { !RopeReader.factors.contains($0) }) { throw fail("a factor of \(bad)") }
        return factors
    }

    /// `attention.sliding_window`, which for Llama's architecture holds for all layers, as Mistral's does.
    func slidingWindow(layerCount: Int, contextLength: Int) throws(CheckpointError) -> SlidingWindow? {
        let size = try integer("attention.sliding_window", in: 0...(1 << 32), default: 0)
        guard size > 0, size < contextLength else { return nil }
        guard family == .llama else {
            throw error("attention.sliding_window", "\(size): the file does not say for which layers")
        }
        return SlidingWindow(size: size, layers: 0..<layerCount)
    }

    /// The tokens that begin and end a text.
    func marks(vocabularySize: Int) throws(CheckpointError) -> (begin: Int32?, ends: [Int32]) {
        func token(_ name: String) throws(CheckpointError) -> Int32? {
            let key = "tokenizer.ggml.\(name)_token_id"
            guard let id = try file.value(key, "an integer", \.integer) else { return nil }
            guard id >= 0, id < vocabularySize, let token = Int32(exactly: id) else {
                throw CheckpointError(
                    path: file.path, place: key, problem: "\(id) is outside the vocabulary of \(vocabularySize)",
                    fix: "convert the model again")
            }
            return token
        }
        var ends: [Int32] = []
        for name in ["eos", "eot", "eom"] {
            if let id = try token(name), !ends.contains(id) { ends.append(id) }
        }
        return (try token("bos"), ends)
    }
}
