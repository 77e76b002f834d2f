// Mistral 7B and its successors of the same architecture (Jiang et al. 2023, arXiv 2310.06825).

/// The names and defaults of transformers' `MistralConfig`. GGUF files of these models say that they are Llama's.
enum MistralFamily: FamilyRules {
    static let architecture = "MistralForCausalLM"
    static let modelType = "mistral"
    static let ownKeys: Set<String> = ["sliding_window"]
    static let ggufArchitecture: String? = nil
    static let defaultKVHeadCount: Int? = 8
    static let defaultContextLength = 131_072

    /// `sliding_window` holds for the layers that `layer_types` calls `sliding_attention`, else for all of them: null is
    /// none, and 4096 where the field is left out.
    static func slidingWindow(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> SlidingWindow? {
        let listed = try slidingLayers(config, layerCount: layerCount)
        let layers = listed ?? Set(0..<layerCount)
        guard config.fields["sliding_window"] != nil else {
            return layers.isEmpty ? nil : SlidingWindow(size: 4096, layers: layers)
        }
        guard try config.integer("sliding_window") != nil else {
            guard listed?.isEmpty ?? true else {
                throw config.error("sliding_window", "is null, though layer_types asks for sliding windows")
            }
            return nil
        }
        let size = try config.integer("sliding_window", in: 1...(1 << 30))
        return layers.isEmpty ? nil : SlidingWindow(size: size, layers: layers)
    }
}
