// Which metadata of GGUF files are honoured, and which would change the answer.

/// The keys of a GGUF file. One that is known to change the answer and is not honoured is refused by name; one of the
/// model's own that nobody here knows is listed.
enum GGUFKeys {
    /// Read by the configuration's reader, or of no consequence here. They begin with the architecture's name.
    private static let known: Set<String> = [
        "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "attention.layer_norm_rms_epsilon", "attention.sliding_window", "rope.dimension_count", "rope.freq_base",
        "rope.scaling.type", "rope.scaling.factor", "rope.scale_linear", "rope.scaling.original_context_length",
        "rope.scaling.finetuned", "rope.scaling.attn_factor", "tensor_data_layout",
    ]

    /// Change the arithmetic unless they are 0 or false.
    private static let refused: Set<String> = [
        "expert_count", "attention.scale", "embedding_scale", "residual_scale", "logit_scale", "attention.clamp_kqv",
        "attn_logit_softcapping", "final_logit_softcapping", "attention.max_alibi_bias", "use_parallel_residual",
        "attention.chunk_size", "attention.sliding_window_pattern", "attention.temperature_scale",
        "attention.temperature_length", "no_rope_layer_interval", "nextn_predict_layers", "attention.kv_lora_rank",
        "attention.q_lora_rank", "leading_dense_block_count", "interleave_moe_layer_step", "expert_shared_count",
        "swin_norm", "pooling_type",
    ]

    /// Change how text is read unless they are 0, false or empty.
    private static let refusedOfTokenizer = ["tokenizer.ggml.precompiled_charsmap"]

    /// Groups of keys that are not the model's arithmetic.
    private static let groups = ["general.", "tokenizer.", "quantize.", "split.", "imatrix.", "winnow."]

    /// Throws for a key that would change the answer and is not honoured.
    static func check(_ file: GGUFFile, architecture: String) throws(CheckpointError) {
        for key in refused.sorted().map({ "\(architecture).\($0)" }) + refusedOfTokenizer {
            guard let value = file.metadata[key], !isOff(value) else { continue }
            throw CheckpointError(
                path: file.path, place: key, problem: "models that need it are not supported",
                fix: "use another model, or another conversion of it")
        }
        if let value = file.metadata["\(architecture).attention.causal"], value.boolean != true {
            throw CheckpointError(
                path: file.path, place: "\(architecture).attention.causal",
                problem: "models that look ahead of a token are not supported", fix: "use a model that generates text")
        }
    }

    private static func isOff(_ value: GGUFValue) -> Bool {
        switch value {
        case .boolean(let flag): !flag
        case .string(let text): text.isEmpty
        case .array(let array): array.count == 0
        default: value.number == 0
        }
    }

    /// Names the keys of the model that nobody here knows.
    static func notes(on file: GGUFFile, _ family: ModelFamily) -> [String] {
        guard let architecture = family.rules.ggufArchitecture else { return [] }
        let unknown = file.keys.filter { key in
            guard !groups.contains(where: { key.hasPrefix($0) }) else { return false }
            guard key.hasPrefix(architecture + ".") else { return true }
            let name = String(key.dropFirst(architecture.count + 1))
            return !known.contains(name) && !refused.contains(name) && name != "attention.causal"
        }
        return ConfigurationKeys.unknownNote(unknown, in: "the file's metadata", family).map { [$0] } ?? []
    }
}
