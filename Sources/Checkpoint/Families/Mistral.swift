// Mistral 7B and its successors of the same architecture (Jiang et al. 2023, arXiv 2310.06825).

/// The names and defaults of transformers' `MistralConfig`. GGUF files of these models say that they are Llama's.
enum MistralFamily: FamilyRules {
    static let architecture = "MistralForCausalLM"
    static let modelType = "mistral"
    static let ggufArchitecture: String? = nil
    static let defaultKVHeadCount: Int? = 8
    static let defaultContextLength = 131_072

    /// `sliding_window` holds for all layers: null is none, and 4096 where the field is left out.
    static func slidingWindow(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> SlidingWindow? {
        guard config.fields["sliding_window"] != nil else { return SlidingWindow(size: 4096, layers: 0..<layerCount) }
        guard try config.integer("sliding_window") != nil else { return nil }
        return SlidingWindow(
            size: try config.integer("sliding_window", in: 1...(1 << 30)), layers: 0..<layerCount)
    }
}
