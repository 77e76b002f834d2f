#!/usr/bin/env python3
"""Make the fixtures that hold Winnow's reference selection to a plain PyTorch version of the official algorithm.

    pip install torch transformers
    scripts/make_selection_fixtures.py     # writes Tests/SpeculationTests/Fixtures

reference-selection.json: random queries and keys (integers, to be multiplied by `scale`: exact in Float32), the
importance and the kept chunks. model-selection.json: the whole flow, look-ahead included, of the small random Llama in
`random-llama`, through Hugging Face transformers. Cases whose verdict hangs on a difference that Float32 arithmetic
may swallow are drawn again.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from reference_selection import chunk_scores, importance, kept_chunks, look_ahead

ROOT = Path(__file__).resolve().parent.parent / "Tests" / "SpeculationTests" / "Fixtures"
SCALE = 1 / 16

# prompt length, chunk, pool, keep rate, steps, steps left by an EOS
RANDOM_CASES = [
    (5, 32, 13, 0.1, 8, 8), (7, 2, 3, 0.5, 4, 4), (12, 5, 3, 0.3, 1, 1), (13, 4, 13, 0.7, 8, 8),
    (31, 32, 13, 0.01, 8, 8), (32, 32, 13, 0.5, 8, 8), (33, 32, 13, 0.5, 8, 8), (33, 32, 13, 0.9, 4, 4),
    (40, 8, 1, 0.3, 4, 4), (61, 32, 13, 0.5, 1, 1), (64, 16, 5, 0.7, 8, 3), (77, 7, 7, 0.9, 4, 4),
    (96, 32, 13, 0.3, 8, 8), (97, 32, 13, 0.1, 8, 8), (100, 10, 13, 0.01, 8, 1), (127, 32, 13, 0.7, 4, 4),
    (128, 32, 13, 1.0, 8, 8), (160, 32, 13, 0.3, 8, 5), (175, 32, 13, 0.5, 8, 8), (200, 32, 31, 0.3, 8, 8),
    (225, 32, 13, 0.1, 1, 1), (256, 32, 13, 0.9, 8, 8), (257, 32, 13, 0.3, 8, 7), (300, 32, 13, 0.1, 8, 8),
    (320, 32, 13, 0.01, 4, 4), (333, 32, 13, 0.3, 8, 2), (399, 32, 13, 0.5, 8, 8), (400, 32, 13, 1.0, 4, 4),
    (385, 32, 13, 0.9, 8, 8), (400, 16, 13, 0.1, 8, 6),
]  # fmt: skip
SHAPES = [(1, 1, 1, 4), (2, 2, 1, 4), (2, 4, 2, 4), (1, 6, 2, 6), (3, 2, 2, 2)]  # layers, heads, kvHeads, headDim

# prompt length, keep rate, look-ahead, step whose decoded token is the EOS (None: no EOS comes), chunk
MODEL_CASES = [
    (1, 0.5, 8, None, 32), (5, 0.1, 8, None, 32), (40, 0.5, 8, None, 32), (64, 0.5, 1, None, 16),
    (100, 0.3, 4, None, 32), (100, 0.5, 8, 0, 16), (130, 0.3, 8, 2, 16), (200, 0.3, 8, 6, 32),
    (200, 0.3, 8, 7, 32), (333, 0.1, 8, None, 32), (600, 0.3, 8, None, 32), (600, 0.1, 8, 3, 32),
]  # fmt: skip


def decided(values, chunk, rate):
    """Whether the last kept chunk is better than the first dropped one by more than rounding."""
    scores = chunk_scores(values, chunk).sort(descending=True).values
    keep = math.ceil(len(scores) * rate)
    return keep >= len(scores) or (scores[keep - 1] - scores[keep]).item() > max(1e-5, 1e-3 * scores[keep].item())


def rounded(values):
    return [float(f"{value:.7g}") for value in values.tolist()]


def random_case(index, generator):
    count, chunk, pool, rate, steps, left = RANDOM_CASES[index]
    layers, heads, kv_heads, head_dim = SHAPES[index % len(SHAPES)]
    while True:
        queries = (torch.randn(layers, steps, heads, head_dim, generator=generator) * 24).round()
        keys = (torch.randn(layers, kv_heads, count, head_dim, generator=generator) * 24).round()
        values = importance(queries[:, :left] * SCALE, keys * SCALE, pool)
        if decided(values, chunk, rate):
            break
    case = {"count": count, "chunk": chunk, "pool": pool, "keepRate": rate, "steps": steps, "stepsBeforeEOS": left}
    case |= {"layers": layers, "heads": heads, "kvHeads": kv_heads, "headDim": head_dim, "scale": SCALE}
    case |= {"keptChunks": kept_chunks(values, chunk, rate), "importance": rounded(values)}
    return case | {"queries": queries.int().flatten().tolist(), "keys": keys.int().flatten().tolist()}


def random_llama():
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=1024, bos_token_id=0, eos_token_id=1,
        tie_word_embeddings=True, rms_norm_eps=1e-5,
    )  # fmt: skip
    model = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            elif "embed_tokens" in name:
                weight.copy_(0.4 * torch.randn_like(weight))
            else:
                gain = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
                weight.copy_(gain * torch.randn_like(weight) / weight.shape[1] ** 0.5)
    return model


def model_case(model, shape, generator):
    count, rate, steps, eos_step, chunk = shape
    while True:
        tokens = torch.randint(2, 96, (count,), generator=generator).tolist()
        eos = [1]
        if eos_step is not None:  # what it will decode at that step, and not before
            _, _, decoded, _ = look_ahead(model, tokens, steps, eos=[])
            if decoded[eos_step] in decoded[:eos_step]:
                continue
            eos = [95 if decoded[eos_step] != 95 else 94, decoded[eos_step]]
            if eos[0] in decoded:
                continue
        queries, keys, decoded, margin = look_ahead(model, tokens, steps, eos)
        done = steps if eos_step is None else eos_step + 1
        values = importance(queries, keys, pool=13)
        if len(decoded) == done and margin > 1e-2 and decided(values, chunk, rate):
            break
    case = {"tokens": tokens, "keepRate": rate, "lookAhead": steps, "chunk": chunk, "pool": 13, "eosTokens": eos}
    return case | {
        "decoded": decoded, "keptChunks": kept_chunks(values, chunk, rate), "importance": rounded(values)
    }  # fmt: skip


def write(name, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (ROOT / name).write_text('{"cases": [\n' + lines + "\n]}\n")
    print(f"{name}: {len(cases)} cases, {(ROOT / name).stat().st_size // 1024} KiB")


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    ROOT.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    write("reference-selection.json", [random_case(index, generator) for index in range(len(RANDOM_CASES))])
    model = random_llama()
    model.save_pretrained(ROOT / "random-llama")
    write("model-selection.json", [model_case(model, shape, generator) for shape in MODEL_CASES])


if __name__ == "__main__":
    main()
