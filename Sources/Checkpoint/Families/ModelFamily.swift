// Which families of models can be run, and what each is asked for.

/// A family of models: decoders with rotary positions, grouped KV heads, RMS norms and a SwiGLU feed-forward.
public enum ModelFamily: String, Sendable, CaseIterable {
    /// Llama 1 to 3.x.
    case llama
    /// Mistral: Llama, with a sliding window in its first version.
    case mistral
    /// Qwen 2 and 2.5: with biases on queries, keys and values.
    case qwen2
    /// Qwen 3: with a norm over each head's queries and keys.
    case qwen3

    /// What the family's files mean.
    var rules: any FamilyRules.Type {
        switch self {
        case .llama: LlamaFamily.self
        case .mistral: MistralFamily.self
        case .qwen2: Qwen2Family.self
        case .qwen3: Qwen3Family.self
        }
    }

    /// The architectures of config.json that can be run, for messages.
    static var architectures: String { allCases.map { $0.rules.architecture }.joined(separator: ", ") }

    /// The architectures of GGUF files that can be run, for messages.
    static var ggufArchitectures: String { allCases.compactMap { $0.rules.ggufArchitecture }.joined(separator: ", ") }
}

/// What one family's files mean: its names, the defaults of fields that are left out, its optional tensors.
protocol FamilyRules {
    /// The entry of `architectures` in config.json.
    static var architecture: String { get }
    /// The `model_type` in config.json.
    static var modelType: String { get }
    /// `general.architecture` in GGUF files; nil if they come under another family's.
    static var ggufArchitecture: String? { get }
    /// Whether GGUF files hold the rows of queries and keys in the order of interleaved rotation.
    static var ggufInterleavesHeads: Bool { get }
    /// Whether queries, keys and values have biases.
    static var hasAttentionBias: Bool { get }
    /// Whether queries and keys are normed head by head.
    static var hasQueryKeyNorm: Bool { get }
    /// Fields of config.json that this family has beside those that all have.
    static var ownKeys: Set<String> { get }
    /// Fields of config.json that switch on biases which are not implemented.
    static var refusedBiases: [String] { get }
    /// `num_key_value_heads` where config.json leaves it out; nil: one per query head.
    static var defaultKVHeadCount: Int? { get }
    /// `head_dim` where config.json leaves it out; nil: the hidden size shared out among the heads.
    static var defaultHeadDim: Int? { get }
    /// `max_position_embeddings` where config.json leaves it out.
    static var defaultContextLength: Int { get }
    /// The sliding window that config.json asks for.
    static func slidingWindow(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> SlidingWindow?
}

/// What most families have in common.
extension FamilyRules {
    static var ggufArchitecture: String? { modelType }
    static var ggufInterleavesHeads: Bool { false }
    static var hasAttentionBias: Bool { false }
    static var hasQueryKeyNorm: Bool { false }
    static var ownKeys: Set<String> { Set(refusedBiases) }
    static var refusedBiases: [String] { [] }
    static var defaultKVHeadCount: Int? { nil }
    static var defaultHeadDim: Int? { nil }

    /// No window; a file that asks for one in some layers is refused.
    static func slidingWindow(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> SlidingWindow? {
        let listed = try slidingLayers(config, layerCount: layerCount)
        guard listed?.isEmpty ?? true else {
            throw config.error("layer_types", "\(modelType) models with sliding windows are not supported")
        }
        return nil
    }

    /// The layers that `layer_types` gives a sliding window; nil if it is left out.
    static func slidingLayers(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> Set<Int>? {
        let list: [JSONValue]
        switch config.fields["layer_types"] {
        case nil, .null: return nil
        case .array(let values): list = values
        case .some(let other): throw config.error("layer_types", "expected a list, found \(other.kind)")
        }
        guard list.count == layerCount else {
            throw config.error("layer_types", "\(list.count) entries for \(layerCount) layers")
        }
        var layers: Set<Int> = []
        for (layer, type) in list.enumerated() {
            switch type {
            case .string("full_attention"): continue
            case .string("sliding_attention"): layers.insert(layer)
            default:
                throw config.error(
                    "layer_types", "unsupported: \(type.kind)",
                    fix: "supported are full_attention and sliding_attention")
            }
        }
        return layers
    }
}
