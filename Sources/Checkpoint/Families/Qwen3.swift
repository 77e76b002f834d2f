// Qwen 3, dense models (arXiv 2505.09388).

/// The names and defaults of transformers' `Qwen3Config`.
enum Qwen3Family: FamilyRules {
    static let architecture = "Qwen3ForCausalLM"
    static let modelType = "qwen3"
    static let hasQueryKeyNorm = true
    static let ownKeys = Qwen2Family.windowKeys.union(refusedBiases)
    static let refusedBiases = ["attention_bias"]
    static let defaultKVHeadCount: Int? = 32
    static let defaultHeadDim: Int? = 128
    static let defaultContextLength = 32_768

    static func slidingWindow(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> SlidingWindow? {
        try Qwen2Family.qwenSlidingWindow(config, layerCount: layerCount)
    }
}
