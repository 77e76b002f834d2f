#!/usr/bin/env python3
"""Convert a llama2.c checkpoint (.bin) and its SentencePiece model to a Hugging Face model directory.

    pip install numpy safetensors sentencepiece protobuf
    scripts/convert_llama2c.py stories260K.bin tok512.model OUT_DIRECTORY

Writes config.json, generation_config.json, model.safetensors (float32), tokenizer.json and tokenizer_config.json, in
the form `transformers` writes for Llama 2: SentencePiece BPE with byte fallback. What the model's own normalizer does to
white space is written down, too: a model that drops needless spaces gets a tokenizer that does. Needs no network.

llama2.c rotates neighbouring pairs of a head (2i, 2i+1), Hugging Face rotates halves (i, i + headDim/2). The rows of the
query and key projections are therefore reordered within each head, so that both give the same attention scores.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from safetensors.numpy import save_file

HEADER = struct.Struct("<7i")
SPACE = "\u2581"  # SentencePiece's visible space


def read_checkpoint(path):
    """The header as a dictionary and the tensors by Hugging Face name (legacy llama2.c format, "version 0")."""
    data = Path(path).read_bytes()
    if len(data) < HEADER.size:
        raise SystemExit(f"{path}: {len(data)} bytes are no llama2.c checkpoint: the header alone is {HEADER.size}")
    names = ("dim", "hidden", "layers", "heads", "kv_heads", "vocab", "context")
    shape = dict(zip(names, HEADER.unpack_from(data)))
    shape["tied"] = shape["vocab"] > 0  # a negative vocabulary size says that the output head is a tensor of its own
    shape["vocab"] = abs(shape["vocab"])
    if min(shape[name] for name in names) <= 0 or shape["dim"] % shape["heads"] or shape["heads"] % shape["kv_heads"]:
        raise SystemExit(f"{path}: the header is not a llama2.c (version 0) header: {shape}")

    floats = numpy.frombuffer(data, dtype="<f4", offset=HEADER.size)
    offset = 0

    def take(*dimensions):
        nonlocal offset
        count = int(numpy.prod(dimensions))
        if offset + count > floats.size:
            raise SystemExit(f"{path}: ends after {floats.size} floats, {offset + count} expected: truncated?")
        part = floats[offset : offset + count].reshape(dimensions)
        offset += count
        return part

    layers, dim, hidden = shape["layers"], shape["dim"], shape["hidden"]
    head_dim = dim // shape["heads"]
    kv_dim = head_dim * shape["kv_heads"]
    embedding = take(shape["vocab"], dim)
    attention_norm = take(layers, dim)
    query = take(layers, dim, dim)
    key = take(layers, kv_dim, dim)
    value = take(layers, kv_dim, dim)
    output = take(layers, dim, dim)
    feed_forward_norm = take(layers, dim)
    gate = take(layers, hidden, dim)
    down = take(layers, dim, hidden)
    up = take(layers, hidden, dim)
    final_norm = take(dim)
    take(2, shape["context"], head_dim // 2)  # cosines and sines of RoPE, which a reader computes

    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": final_norm}
    if not shape["tied"]:
        tensors["lm_head.weight"] = take(shape["vocab"], dim)
    if offset != floats.size:
        raise SystemExit(f"{path}: {floats.size - offset} floats left over: not a version 0 llama2.c checkpoint")
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = attention_norm[layer]
        tensors[prefix + "self_attn.q_proj.weight"] = halves(query[layer], shape["heads"])
        tensors[prefix + "self_attn.k_proj.weight"] = halves(key[layer], shape["kv_heads"])
        tensors[prefix + "self_attn.v_proj.weight"] = value[layer]
        tensors[prefix + "self_attn.o_proj.weight"] = output[layer]
        tensors[prefix + "post_attention_layernorm.weight"] = feed_forward_norm[layer]
        tensors[prefix + "mlp.gate_proj.weight"] = gate[layer]
        tensors[prefix + "mlp.up_proj.weight"] = up[layer]
        tensors[prefix + "mlp.down_proj.weight"] = down[layer]
    return shape, {name: numpy.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def halves(weight, heads):
    """Rows of each head from interleaved pairs (0, 1, 2, 3, ...) to halves (0, 2, ..., 1, 3, ...)."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).transpose(0, 2, 1, 3).reshape(rows, columns)


def normalizer(path):
    """What the SentencePiece model does to a text first, in the words of tokenizer.json."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(Path(path).read_bytes())
    spec = proto.normalizer_spec
    if proto.trainer_spec.model_type != proto.trainer_spec.BPE:
        raise SystemExit(f"{path}: not a BPE model")
    if spec.precompiled_charsmap or not (spec.add_dummy_prefix and spec.escape_whitespaces):
        raise SystemExit(f"{path}: a normalizer ({spec.name}) that is not supported: only white space may be changed")
    steps = []
    if spec.remove_extra_whitespaces:
        # Spaces at both ends go, and of several only one stays.
        for pattern, content in ((r"\A +| +\z", ""), (" {2,}", " ")):
            steps.append({"type": "Replace", "pattern": {"Regex": pattern}, "content": content})
    steps.append({"type": "Prepend", "prepend": SPACE})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {"type": "Sequence", "normalizers": steps}


def tokenizer(path, vocabulary_size):
    """tokenizer.json of a SentencePiece BPE model, as `transformers` converts Llama 2's, and the special tokens' text."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    if model.vocab_size() != vocabulary_size:
        raise SystemExit(f"{path}: {model.vocab_size()} pieces, but the checkpoint has {vocabulary_size} embeddings")
    pieces = [model.id_to_piece(index) for index in range(vocabulary_size)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    specials = {"unk": model.unk_id(), "bos": model.bos_id(), "eos": model.eos_id()}
    plain = [i for i in range(vocabulary_size) if not (model.is_control(i) or model.is_byte(i) or model.is_unknown(i))]

    # SentencePiece merges the pair whose *result* has the best score; a merge list says the same by its order.
    # A stable sort keeps the order of ids between equal scores.
    merges = []
    for index in sorted(plain, key=lambda index: -model.get_score(index)):
        piece = pieces[index]
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [split for split in splits if split[0] in vocabulary and split[1] in vocabulary]
        merges += sorted(known, key=lambda split: (vocabulary[split[0]], vocabulary[split[1]]))

    text = {name: pieces[index] for name, index in specials.items()}
    added = [
        {"id": specials[name], "content": text[name], "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
        for name in sorted(specials, key=lambda name: specials[name])
    ]
    begin, a, b = ({"SpecialToken": {"id": text["bos"], "type_id": 0}}, *({"Sequence": {"id": s, "type_id": 0}} for s in "AB"))
    second = [{key: dict(value, type_id=1) for key, value in part.items()} for part in (begin, b)]
    bos = {"id": text["bos"], "ids": [specials["bos"]], "tokens": [text["bos"]]}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer(path),
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, a],
            "pair": [begin, a, *second],
            "special_tokens": {text["bos"]: bos},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": text["unk"],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [list(merge) for merge in merges],
        },
    }
    return document, specials, text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="llama2.c .bin file, version 0 (float32)")
    parser.add_argument("tokenizer", help="SentencePiece .model file the checkpoint was trained with")
    parser.add_argument("out", help="directory to write")
    arguments = parser.parse_args()

    shape, tensors = read_checkpoint(arguments.checkpoint)
    document, specials, text = tokenizer(arguments.tokenizer, shape["vocab"])
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape["vocab"],
        "hidden_size": shape["dim"],
        "intermediate_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "head_dim": shape["dim"] // shape["heads"],
        "hidden_act": "silu",
        "max_position_embeddings": shape["context"],
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": shape["tied"],
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": specials["bos"],
        "eos_token_id": specials["eos"],
        "torch_dtype": "float32",
    }
    # llama2.c's training data has a BOS before each story and no EOS, so its models end a text with BOS.
    ends = [specials["eos"], specials["bos"]]
    generation = {"bos_token_id": specials["bos"], "eos_token_id": ends, "do_sample": False}
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": text["bos"],
        "eos_token": text["eos"],
        "unk_token": text["unk"],
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": True,
        "clean_up_tokenization_spaces": False,
        "model_max_length": shape["context"],
    }
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    documents = {
        "config.json": config,
        "generation_config.json": generation,
        "tokenizer.json": document,
        "tokenizer_config.json": tokenizer_config,
    }
    for name, value in documents.items():
        (out / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    parameters = sum(tensor.size for tensor in tensors.values())
    print(f"{out}: {parameters} parameters in {len(tensors)} tensors, {len(document['model']['merges'])} merges")


if __name__ == "__main__":
    main()
