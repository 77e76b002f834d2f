"""Speculative prefill's selection in plain PyTorch: the yardstick for Sources/Speculation, not a script.

The algorithm of SpecPrefill (arXiv 2502.02789, section 3, and its published code), written to be read beside the
paper, and Winnow's sliding windows. `make_selection_fixtures.py` and `make_needle_prompts.py` import it.
"""

import math

import torch
import transformers.models.llama.modeling_llama as llama


def importance(queries, keys, pool):
    """One number per prompt token.

    queries: [layers, steps, heads, headDim], post-RoPE, of the last prompt token and the look-ahead tokens.
    keys: [layers, kvHeads, M, headDim], post-RoPE, of the prompt only.
    """
    group = queries.shape[2] // keys.shape[1]
    keys = keys.repeat_interleave(group, dim=1)
    scores = torch.einsum("lthd,lhmd->lhtm", queries, keys) / math.sqrt(queries.shape[-1])
    attention = scores.softmax(dim=-1, dtype=torch.float32).flatten(0, 1)  # [layers x heads, steps, M]
    if pool > 1:
        attention = torch.nn.functional.avg_pool1d(attention, pool, stride=1, padding=pool // 2, count_include_pad=True)
    return attention.amax(dim=0).mean(dim=0)


def chunk_scores(values, chunk):
    return torch.stack([part.mean() for part in values.split(chunk)])


def kept_chunks(values, chunk, rate):
    """Ids of the ceil(rate x chunks) best chunks, ascending."""
    scores = chunk_scores(values, chunk)
    return sorted(scores.topk(math.ceil(len(scores) * rate)).indices.tolist())


def reference_selection(values, chunk, rate):
    """Kept token ids of the paper's selection: nothing is kept by force."""
    count = len(values)
    return [t for c in kept_chunks(values, chunk, rate) for t in range(c * chunk, min(count, (c + 1) * chunk))]


def windows_selection(values, rate, window=32, stride=8, head=1, tail=64):
    """Kept token ids of the sliding windows: greedy by mean importance until the union, without what is kept by
    force (the first `head` and last `tail` tokens), reaches ceil(rate x M); then what is kept by force on top."""
    count = len(values)
    forced = set(range(min(head, count))) | set(range(max(0, count - tail), count))
    last = max(0, count - window)
    starts = sorted({*range(0, last + 1, stride), last})
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), values.double().cumsum(0)])
    means = [((sums[min(count, s + window)] - sums[s]) / (min(count, s + window) - s)).item() for s in starts]
    budget, kept = math.ceil(rate * count), set()
    for _, start in sorted(zip(means, starts), key=lambda item: (-item[0], item[1])):
        if len(kept) >= budget:
            break
        kept |= set(range(start, min(count, start + window))) - forced
    return sorted(kept | forced)


class QueryTap:
    """While active, records the post-RoPE queries [heads, rows, headDim] of every layer call of a transformers Llama."""

    def __enter__(self):
        self.calls, self.original = [], llama.apply_rotary_pos_emb

        def tap(query, key, *arguments, **keywords):
            query, key = self.original(query, key, *arguments, **keywords)
            self.calls.append(query[0].float())
            return query, key

        llama.apply_rotary_pos_emb = tap
        return self

    def __exit__(self, *_):
        llama.apply_rotary_pos_emb = self.original


@torch.no_grad()
def look_ahead(model, tokens, steps, eos):
    """The speculator's part: prefill, then greedy decoding.

    Returns queries [layers, steps done, heads, headDim], keys [layers, kvHeads, M, headDim], the decoded tokens, and the
    smallest margin between a greedy choice and the runner-up. A decoded EOS ends the look-ahead: the queries that led to
    it count, its own and all later ones do not (as in the published code).
    """
    decoded, queries, margin, cache, keys = [], [], math.inf, None, None
    row = torch.tensor([tokens])
    for step in range(steps):
        with QueryTap() as tap:
            output = model(input_ids=row, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        if keys is None:
            keys = torch.stack([layer.keys[0].float().clone() for layer in cache.layers])
        queries.append(torch.stack([call[:, -1] for call in tap.calls]))
        best = output.logits[0, -1].topk(2)
        decoded.append(best.indices[0].item())
        if step + 1 < steps:  # the last step's token decides nothing
            margin = min(margin, (best.values[0] - best.values[1]).item())
        if decoded[-1] in eos:
            break
        row = best.indices[None, :1]
    return torch.stack(queries, dim=1), keys, decoded, margin
