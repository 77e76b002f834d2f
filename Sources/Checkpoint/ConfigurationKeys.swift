// Which fields of config.json are honoured, which do not matter here, and which would change the answer.

/// The fields of config.json. One that is known to change the arithmetic and is not honoured is refused by name; one that
/// nobody here knows is listed.
enum ConfigurationKeys {
    /// Read for every family; each has fields of its own besides.
    private static let honoured: Set<String> = [
        "architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings",
        "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "layer_types",
        "tie_word_embeddings", "bos_token_id", "eos_token_id", "quantization_config", "winnow_synthetic",
    ]

    /// Of training, of other programs, or of generation, which a request says for itself.
    private static let indifferent: Set<String> = [
        "_name_or_path", "name_or_path", "_attn_implementation", "_attn_implementation_autoset", "_commit_hash",
        "attention_dropout", "attn_pdrop", "auto_map", "bad_words_ids", "begin_suppress_tokens", "cache_implementation",
        "chunk_size_feed_forward", "custom_pipelines", "decoder_start_token_id", "diversity_penalty", "do_sample",
        "dtype", "early_stopping", "embd_pdrop", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty",
        "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing", "hidden_dropout",
        "id2label", "initializer_range", "is_decoder", "keys_to_ignore_at_inference", "label2id", "length_penalty",
        "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels",
        "num_nextn_predict_layers", "num_return_sequences", "output_attentions", "output_hidden_states",
        "output_scores", "pad_token_id", "prefix", "pretraining_tp", "problem_type", "remove_invalid_values",
        "repetition_penalty", "resid_pdrop", "return_dict", "return_dict_in_generate", "sep_token_id",
        "suppress_tokens", "task_specific_params", "temperature", "tf_legacy_loss",
        "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript",
        "transformers_version", "transformers.js_config", "typical_p", "unk_token_id", "unsloth_fixed",
        "unsloth_version", "use_bfloat16", "use_cache",
    ]

    /// Change the arithmetic unless they are off; the value that is off beside null, false, 0 and an empty list.
    private static let refused: [String: JSONValue?] = [
        "add_cross_attention": nil, "alibi": nil, "altup_num_inputs": nil, "attention_chunk_size": nil,
        "attention_multiplier": nil, "attention_out_bias": nil, "attn_logit_softcapping": nil,
        "attn_output_gate": nil, "attn_temperature_tuning": nil, "clip_qkv": nil, "compression_config": nil,
        "embedding_multiplier": .integer(1), "final_logit_softcapping": nil, "first_k_dense_replace": nil,
        "full_attention_interval": nil, "is_encoder_decoder": nil, "kv_lora_rank": nil,
        "linear_num_value_heads": nil, "logit_scale": .integer(1), "logits_scaling": .integer(1),
        "mlp_only_layers": nil,
        "moe_intermediate_size": nil, "mup_width_multiplier": .integer(1), "n_routed_experts": nil,
        "no_rope_layers": nil,
        "num_experts": nil, "num_experts_per_tok": nil, "num_local_experts": nil, "parallel_residual": nil,
        "pruned_heads": nil, "q_lora_rank": nil, "qk_layernorm": nil, "qk_norm": nil, "query_pre_attn_scalar": nil,
        "residual_multiplier": .integer(1), "rope_interleaved": nil, "rope_local_base_freq": nil,
        "rope_local_theta": nil,
        "rotary_pct": .integer(1), "rotary_percent": .integer(1), "scale_emb": .integer(1),
        "sliding_window_pattern": nil, "sparsity_config": nil, "use_bidirectional_attention": nil, "use_mrope": nil,
        "use_parallel_residual": nil, "use_qk_norm": nil, "use_qkv_bias": nil, "vision_config": nil,
        "audio_config": nil,
    ]

    /// The fields of `rope_scaling` and `rope_parameters` that are honoured, or that other types of scaling have.
    private static let ofRope: Set<String> = [
        "rope_type", "type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
        "rope_theta", "partial_rotary_factor", "mrope_section",
    ]

    /// Throws for a field that would change the answer and is not honoured.
    static func check(_ config: JSONObject) throws(CheckpointError) {
        for (key, value) in config.fields.sorted(by: { $0.key < $1.key }) {
            guard let neutral = refused[key], !isOff(value), value != neutral else { continue }
            throw config.error(key, "\(value.kind): models that need it are not supported")
        }
    }

    private static func isOff(_ value: JSONValue) -> Bool {
        switch value {
        case .null, .bool(false), .integer(0): true
        case .number(let number): number == 0
        case .array(let values): values.isEmpty
        case .object(let fields): fields.isEmpty
        default: false
        }
    }

    /// Names the fields that are not known, or not of this family, and say something.
    static func notes(on config: JSONObject, _ family: ModelFamily) -> [String] {
        var unknown = config.fields.filter { key, value in
            !honoured.contains(key) && !family.rules.ownKeys.contains(key) && !indifferent.contains(key)
                && refused[key] == nil && !isOff(value)
        }.map(\.key)
        for name in ["rope_scaling", "rope_parameters"] {
            guard case .object(let fields)? = config.fields[name] else { continue }
            unknown += fields.filter { !ofRope.contains($0.key) && !isOff($0.value) }.map { "\(name).\($0.key)" }
        }
        return unknownNote(unknown, in: "config.json", family).map { [$0] } ?? []
    }

    /// One sentence about keys that are not honoured; nil if there are none. They come from a file: they are cut short.
    static func unknownNote(_ keys: [String], in place: String, _ family: ModelFamily) -> String? {
        guard !keys.isEmpty else { return nil }
        let most = 16
        let names = keys.sorted().prefix(most).map { key in
            // Scalars, not characters: one character may be megabytes of marks.
            key.unicodeScalars.count > 64 ? String(key.unicodeScalars.prefix(64)) + "..." : key
        }
        return "\(place) has keys that are not known for \(family.rawValue) models and not honoured: "
            + names.joined(separator: ", ") + (keys.count > most ? " and \(keys.count - most) more" : "")
    }
}
