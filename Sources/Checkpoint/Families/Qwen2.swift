// Qwen 2 and 2.5 (arXiv 2407.10671, 2412.15115).

/// The names and defaults of transformers' `Qwen2Config`.
enum Qwen2Family: FamilyRules {
    static let architecture = "Qwen2ForCausalLM"
    static let modelType = "qwen2"
    static let hasAttentionBias = true
    static let ownKeys = windowKeys
    static let defaultKVHeadCount: Int? = 32
    static let defaultContextLength = 32_768

    /// The fields that say which layers have a window, in Qwen 3 too.
    static let windowKeys: Set<String> = ["sliding_window", "use_sliding_window", "max_window_layers"]

    static func slidingWindow(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> SlidingWindow? {
        try qwenSlidingWindow(config, layerCount: layerCount)
    }

    /// With `use_sliding_window`, a window of `sliding_window` tokens (4096) holds for the layers that `layer_types`
    /// calls `sliding_attention`, else for those from `max_window_layers` (28) on. Qwen 3 does the same.
    static func qwenSlidingWindow(_ config: JSONObject, layerCount: Int) throws(CheckpointError) -> SlidingWindow? {
        let listed = try slidingLayers(config, layerCount: layerCount)
        guard try config.bool("use_sliding_window") ?? false else {
            guard listed?.isEmpty ?? true else {
                throw config.error("layer_types", "asks for sliding windows that use_sliding_window switches off")
            }
            return nil
        }
        guard config.fields["sliding_window"] != .null else {
            guard listed?.isEmpty ?? true else {
                throw config.error("sliding_window", "is null, though layer_types asks for sliding windows")
            }
            return nil
        }
        let isGiven = config.fields["sliding_window"] != nil
        let size = isGiven ? try config.integer("sliding_window", in: 1...(1 << 30)) : 4096
        let first = try config.integer("max_window_layers") ?? 28
        guard first >= 0 else { throw config.error("max_window_layers", "\(first) is negative") }
        let layers = listed ?? Set(min(first, layerCount)..<layerCount)
        return layers.isEmpty ? nil : SlidingWindow(size: size, layers: layers)
    }
}
