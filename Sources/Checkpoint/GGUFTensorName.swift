// What GGUF files call the tensors that Hugging Face names otherwise.

/// The two names of every tensor.
enum GGUFTensorName {
    /// Factors by which rotary frequencies are divided, `[headDim / 2]`: metadata in the form of a tensor.
    static let ropeFactors = "rope_freqs.weight"

    private static let whole = [
        "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    ]
    private static let ofLayer = [
        "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
        "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    ]
    private static let wholeReversed = Dictionary(uniqueKeysWithValues: whole.map { ($1, $0) })
    private static let ofLayerReversed = Dictionary(uniqueKeysWithValues: ofLayer.map { ($1, $0) })

    /// `model.layers.3.self_attn.q_proj.weight` for `blk.3.attn_q.weight`; nil for an unknown name.
    static func huggingFace(_ name: String) -> String? {
        if let whole = whole[name] { return whole }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "blk", let own = ofLayer[String(parts[2])] else { return nil }
        return "model.layers.\(parts[1]).\(own).\(parts[3])"
    }

    /// The reverse; nil for an unknown name.
    static func gguf(_ name: String) -> String? {
        if let whole = wholeReversed[name] { return whole }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count > 4, parts[0] == "model", parts[1] == "layers",
            let own = ofLayerReversed[parts[3..<(parts.count - 1)].joined(separator: ".")]
        else { return nil }
        return "blk.\(parts[2]).\(own).\(parts[parts.count - 1])"
    }

    /// Whether a tensor of this Hugging Face name has the rows of queries or keys.
    static func holdsRotatedRows(_ name: String) -> Bool {
        name.contains(".q_proj.") || name.contains(".k_proj.")
    }
}
