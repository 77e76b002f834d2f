// Llama 1, 2 and 3.x (Touvron et al. 2023, arXiv 2302.13971; Llama 3, arXiv 2407.21783).

/// The names and defaults of transformers' `LlamaConfig`.
enum LlamaFamily: FamilyRules {
    static let architecture = "LlamaForCausalLM"
    static let modelType = "llama"
    static let ggufInterleavesHeads = true
    static let refusedBiases = ["attention_bias", "mlp_bias"]
    static let defaultContextLength = 2048
}
