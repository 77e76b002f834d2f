#!/usr/bin/env python3
"""Make the GGUF model that holds Winnow's decoders to those of llama.cpp's own Python package.

    pip install gguf safetensors numpy
    scripts/make_gguf_fixtures.py          # writes Tests/CheckpointTests/Fixtures/gguf-blocks

The folder has model.gguf, a three-layer model of every tensor type that is decoded, and the same model in Hugging Face's
layout: config.json and model.safetensors, Float32, with the values that gguf.quants gives for the packed bytes and the
rows of queries and keys in Hugging Face's order.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parent.parent / "Tests" / "CheckpointTests" / "Fixtures" / "gguf-blocks"
VOCABULARY, HIDDEN, FORWARD, HEADS, KV_HEADS, HEAD_DIM = 8, 256, 32, 2, 1, 8

# Types of the matrices of each layer: queries, keys, values, output, gate, up, down. Rows of
# "output" have 16 values and fit no block, those of "down" have 32.
LAYERS = [
    (Type.Q4_K, Type.Q6_K, Type.BF16, Type.F16, Type.Q4_K, Type.Q6_K, Type.Q4_0),
    (Type.Q5_K, Type.Q3_K, Type.Q2_K, Type.F16, Type.IQ4_XS, Type.Q5_K, Type.Q5_0),
    (Type.Q3_K, Type.Q2_K, Type.IQ4_NL, Type.F16, Type.Q4_1, Type.IQ4_XS, Type.Q5_1),
]


def layer_tensors(layer, types):
    """GGUF name, Hugging Face name, shape, type of each tensor of a layer."""
    queries, keys = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    query, key, value, output, gate, up, down = types
    rows = [
        ("attn_norm.weight", "input_layernorm.weight", (HIDDEN,), Type.F32),
        ("attn_q.weight", "self_attn.q_proj.weight", (queries, HIDDEN), query),
        ("attn_k.weight", "self_attn.k_proj.weight", (keys, HIDDEN), key),
        ("attn_v.weight", "self_attn.v_proj.weight", (keys, HIDDEN), value),
        ("attn_q.bias", "self_attn.q_proj.bias", (queries,), Type.F32),
        ("attn_k.bias", "self_attn.k_proj.bias", (keys,), Type.F32),
        ("attn_v.bias", "self_attn.v_proj.bias", (keys,), Type.F32),
        ("attn_output.weight", "self_attn.o_proj.weight", (HIDDEN, queries), output),
        ("ffn_norm.weight", "post_attention_layernorm.weight", (HIDDEN,), Type.F32),
        ("ffn_gate.weight", "mlp.gate_proj.weight", (FORWARD, HIDDEN), gate),
        ("ffn_up.weight", "mlp.up_proj.weight", (FORWARD, HIDDEN), up),
        ("ffn_down.weight", "mlp.down_proj.weight", (HIDDEN, FORWARD), down),
    ]
    return [(f"blk.{layer}.{a}", f"model.layers.{layer}.{b}", shape, kind) for a, b, shape, kind in rows]


TENSORS = [
    ("token_embd.weight", "model.embed_tokens.weight", (VOCABULARY, HIDDEN), Type.Q8_0),
    *(row for layer, types in enumerate(LAYERS) for row in layer_tensors(layer, types)),
    ("output_norm.weight", "model.norm.weight", (HIDDEN,), Type.F32),
]

# Where a block's half-precision scales are, in bytes: for the types that the package cannot quantise to.
SCALES = {
    Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,), Type.IQ4_NL: (0,),
    Type.IQ4_XS: (0,),
}  # fmt: skip


def packed(shape, kind, random):
    """The tensor's bytes as the file has them."""
    if kind not in SCALES:
        return gguf.quants.quantize(random.normal(size=shape).astype(np.float32), kind)
    # There is no quantiser for these: any bytes are values, but the scales must be sane.
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (int(np.prod(shape)) // elements, size), dtype=np.uint8)
    halves = random.normal(scale=0.01, size=(len(blocks), 2)).astype(np.float16)
    halves[0] = 6e-7  # subnormal
    for place, offset in enumerate(SCALES[kind]):
        blocks[:, offset : offset + 2] = halves[:, place : place + 1].copy().view(np.uint8)
    return blocks.reshape(shape[0], -1)


def huggingface_order(values):
    """Undo the converter's permutation: rows 2 b and 2 b + 1 of a head are rows b of its halves."""
    heads = values.reshape(-1, HEAD_DIM // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(heads.swapaxes(1, 2).reshape(values.shape))


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(OUT / "model.gguf", "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(len(LAYERS))
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    expected = {}
    for name, other, shape, kind in TENSORS:
        data = packed(shape, kind, random)
        writer.add_tensor(name, data, raw_dtype=kind)
        values = gguf.quants.dequantize(data, kind).reshape(shape).astype(np.float32)
        expected[other] = huggingface_order(values) if ".attn_q." in name or ".attn_k." in name else values
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, OUT / "model.safetensors")
    config = {
        # Of the families whose directories can be read, only this one has the biases.
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "intermediate_size": FORWARD, "num_hidden_layers": len(LAYERS), "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (OUT / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    print(f"{OUT.name}: {sum(file.stat().st_size for file in OUT.iterdir()) // 1024} KiB")


if __name__ == "__main__":
    main()
