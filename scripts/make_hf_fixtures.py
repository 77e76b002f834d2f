#!/usr/bin/env python3
"""Make the small random models that hold Winnow's logits to those of Hugging Face transformers.

    pip install torch transformers
    scripts/make_hf_fixtures.py            # writes Tests/TransformerTests/Fixtures/hf-*
    scripts/make_hf_fixtures.py hf-qwen3   # only this one

Each folder has config.json and model.safetensors (float32) as `save_pretrained` writes them, and two expectations of
the form {"tokens": [...], "positions": [...] (absent: 0, 1, 2, ...), "logits": [[...], one row per token]}:
expected.json, and expected-gaps.json whose positions have gaps, as a pruned prompt's have. config.json comes in both
forms in use: `rope_parameters` (transformers 5, hf-untied and hf-qwen3), `rope_theta` and `rope_scaling` (before, the
others). Windows of sliding attention are shorter than the prompts; where positions have gaps, a window counts positions,
not tokens.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).resolve().parent.parent / "Tests" / "TransformerTests" / "Fixtures"

COMMON = dict(vocab_size=96, max_position_embeddings=512, bos_token_id=0, eos_token_id=1, rms_norm_eps=1e-5)
MODELS = {
    # Four query heads to each key head, tied embeddings.
    "hf-gqa": dict(
        hidden_size=48, intermediate_size=56, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=2,
        head_dim=8, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    # An output head of its own, a head dimension that is not hidden / heads, another RoPE base.
    "hf-untied": dict(
        hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        head_dim=16, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
    ),
    # Llama 3's frequency scaling with a short original context, so that 48 tokens already reach past it.
    "hf-llama3rope": dict(
        hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
        },
    ),
    # A sliding window in all layers.
    "hf-mistral": dict(
        model_type="mistral", vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, tie_word_embeddings=False, sliding_window=12,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    # Biases on queries, keys and values; a sliding window in the last two layers of three.
    "hf-qwen2": dict(
        model_type="qwen2", vocab_size=64, hidden_size=32, intermediate_size=40, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, use_sliding_window=True,
        sliding_window=16, max_window_layers=1, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
    # Norms over each head's queries and keys, heads wider than hidden / heads.
    "hf-qwen3": dict(
        model_type="qwen3", vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
}  # fmt: skip


def make(config, seed):
    """A random model whose weights are large enough for its logits to differ by several units."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(**{"model_type": "llama", **COMMON, **config})
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            elif name.endswith(".bias"):
                weight.copy_(0.5 * torch.randn_like(weight))
            elif "embed_tokens" in name or "lm_head" in name:
                weight.copy_(0.3 * torch.randn_like(weight))
            else:  # unit gain, a little more where attention is to be peaked
                gain = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
                weight.copy_(gain * torch.randn_like(weight) / weight.shape[1] ** 0.5)
    return model


def write_older_form(path):
    """Rewrite config.json as transformers 4 wrote it, which is what most checkpoints on the hub have."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.0"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def masks(model, positions):
    """Additive masks for tokens at these positions, as the model takes them: one, or one per type of layer."""
    behind = positions[:, None] - positions[None, :]

    def mask(seen):
        return torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[None, None]

    window = getattr(model.config, "sliding_window", None)
    full = mask(behind >= 0)
    if window is None:
        return full
    sliding = mask((behind >= 0) & (behind < window))
    if getattr(model.config, "layer_types", None) is None:
        return sliding
    return {"full_attention": full, "sliding_attention": sliding}


def cases(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for gapped, count in ((False, 48), (True, 40)):
        tokens = torch.randint(2, model.config.vocab_size, (count,), generator=generator)
        positions = None
        if gapped:  # runs of kept tokens, then a jump
            steps = torch.where(torch.rand(count, generator=generator) < 0.2, torch.randint(2, 24, (count,), generator=generator), 1)
            positions = steps.cumsum(0) - steps[0]
        with torch.no_grad():
            ids = torch.arange(count) if positions is None else positions
            # Without a mask, recent transformers read gaps in position_ids as packed sequences; a mask says otherwise.
            # A window without gaps is left to transformers: its own mask is what the window means.
            own = positions is None and getattr(model.config, "sliding_window", None) is not None
            mask = None if own else masks(model, ids)
            logits = model(input_ids=tokens[None], position_ids=ids[None], attention_mask=mask, use_cache=False).logits[0]
        expected = {"tokens": tokens.tolist()}
        if positions is not None:
            expected["positions"] = positions.tolist()
        expected["logits"] = [[float(f"{value:.6g}") for value in row] for row in logits.tolist()]
        yield "expected-gaps.json" if gapped else "expected.json", expected


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these; all if none is named")
    names = parser.parse_args().names
    if unknown := set(names) - set(MODELS):
        parser.error(f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    torch.set_num_threads(1)
    for seed, (name, config) in enumerate(MODELS.items()):
        if names and name not in names:
            continue
        model = make(config, seed)
        out = ROOT / name
        model.save_pretrained(out)
        if name not in ("hf-untied", "hf-qwen3"):
            write_older_form(out / "config.json")
        for file, expected in cases(model, seed + 100):
            (out / file).write_text(json.dumps(expected) + "\n")
            rows = torch.tensor(expected["logits"])
            print(f"{name}/{file}: logits {rows.min():.2f} ... {rows.max():.2f}")
        print(f"{name}: {sum(file.stat().st_size for file in out.iterdir()) // 1024} KiB")


if __name__ == "__main__":
    main()
