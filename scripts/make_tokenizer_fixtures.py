#!/usr/bin/env python3
"""Make the fixtures that hold the tokenizer to Hugging Face's `tokenizers` and to jinja2.

    pip install tokenizers jinja2
    scripts/make_tokenizer_fixtures.py BOOK.txt Tests/TokenizerTests/Fixtures

BOOK.txt is any English text in the public domain (Alice's Adventures in Wonderland was used). Trains tiny tokenizers of
every supported kind on it and writes, for each, the files of a model directory and `cases.json`: texts with the ids and
the decoded text that `tokenizers` gives, and conversations as their jinja template renders them. The tokenizers of the
models under cluster/models get cases too. Needs no network; the same input gives the same files.
"""

import argparse
import copy
import json
import random
from pathlib import Path

import jinja2
import jinja2.sandbox
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

REPOSITORY = Path(__file__).resolve().parent.parent
SPACE = "\u2581"  # what SentencePiece writes for a space

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{CONTRACTIONS}|{WORDS}|\p{{N}}{{1,3}}|{REST}"
QWEN2 = rf"{CONTRACTIONS}|{WORDS}|\p{{N}}|{REST}"

# What tokenizers get wrong: white space, digits, scripts, combining marks, emoji, quotes, special tokens in the text.
TRICKY = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "\t\n", "a", " a", "a ", "  a  b  ", "Hello world", " Hello world",
    "Hello, world!", "I'm sure they'll say 'tisn't; we'VE seen IT'S fine, he'd", "3 33 333 3333 33333 333333 3.14159 1,000,000",
    "x=1;y+=2\n\tif (a<b) { return a[b]; }\n\n\n", "tabs\tand  double  spaces   triple", "trailing space ", "trailing newline\n",
    "café naïve Zürich Ærøskøbing", "cafe\u0301 e\u0301\u0323 A\u030a \u1e9b\u0323", "ﬁne ﬂag ½ ² ㎏", "İstanbul ı ß ẞ ſ K Å Ω",
    "Привет, мир! Как дела?", "γειά σου Κόσμε", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "កាន់តែពិសេស",
    "你好，世界！今天天气很好。", "こんにちは世界、カタカナ", "안녕하세요 세계", "안녕 decomposed 한", "🦙.cpp 🚀✅ 👩‍👩‍👧‍👦 🇩🇪 👍🏽",
    "zero\u200bwidth\u200djoin\ufeffbom\u00a0nbsp\u2003em\u3000ideographic\u2028line\u2029par\u0085nel", "\x00\x01\x1f\x7f\x80",
    "''''''```````\"\"\"\"......!!!!!!??????", "------======= ~~~ ### $$$ %%% ^^^", "a" * 300, " " * 70 + "x", "ab" * 200, "\n" * 9 + " " * 9,
    "\U0010ffff \U0001f999 \ue000", "\u2581visible space\u2581\u2581", "<0x41> <0x0A> <unk>", "word\u0301\u0301\u0301 x", "Ġ Ċ ġ Ń",
]


def corpus(path):
    """Paragraphs of the book, one line each."""
    text = Path(path).read_text(encoding="utf-8")
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()][:700]


def added(text, special=True, **options):
    return AddedToken(text, special=special, normalized=options.pop("normalized", False), **options)


def byte_level(lines, pre_tokenizer, special, size=600, normalizer=None, ignore_merges=False):
    """A trained byte-level tokenizer whose special tokens come after its vocabulary."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet), show_progress=False)
    )
    tokenizer.add_tokens([token for token in special if not token.special])
    tokenizer.add_special_tokens([token for token in special if token.special])
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def sentencepiece(lines, whole):
    """A trained tokenizer as transformers writes Llama 2's; `whole` is its form without a pre-tokenizer."""
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=700, special_tokens=specials, show_progress=False)
    )
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:3]  # byte tokens are in the vocabulary, nothing more
    tail = [{"type": "ByteFallback"}, {"type": "Fuse"}]
    if whole:
        data["pre_tokenizer"] = None
        data["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE},
            {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        ]}
        data["decoder"] = {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, *tail,
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]}
    else:
        data["pre_tokenizer"] = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": True}
        data["decoder"] = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": True}
        data["model"]["byte_fallback"] = False  # what has no token is <unk>, adjacent ones fused
    return Tokenizer.from_str(json.dumps(data))


def template(bos, bos_id, eos=None, eos_id=None):
    pairs = [(bos, bos_id)] + ([(eos, eos_id)] if eos else [])
    return processors.TemplateProcessing(single=f"{bos} $A" + (f" {eos}" if eos else ""), special_tokens=pairs)


# The families' forms, in the words of this project; they render what the models' own templates render.
TEMPLATES = {
    "llama3": """
{%- for message in messages -%}
{%- if loop.first %}{{ bos_token }}{% endif -%}
{{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' ~ (message.content | trim) ~ '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif -%}
""",
    "llama31": """
{%- set day = date_string if date_string is defined else '26 Jul 2024' -%}
{%- set has_system = messages[0].role == 'system' -%}
{{ bos_token ~ '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: ' ~ day ~ '\\n\\n' }}
{%- if has_system %}{{ messages[0].content | trim }}{% endif %}{{ '<|eot_id|>' }}
{%- for message in (messages[1:] if has_system else messages) -%}
{%- if message.role == 'tool' -%}
{{ '<|start_header_id|>ipython<|end_header_id|>\\n\\n' ~ (message.content | tojson) ~ '<|eot_id|>' }}
{%- else -%}
{{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' ~ (message.content | trim) ~ '<|eot_id|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif -%}
""",
    "chatml": """
{%- if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif -%}
{{ '\\n<tool_response>\\n' ~ message.content ~ '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif -%}
{%- else -%}
{{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
""",
    "llama2": """
{%- set start = 1 if messages[0].role == 'system' else 0 -%}
{%- for message in messages[start:] -%}
{%- if message.role == 'user' -%}
{%- set system = '<<SYS>>\\n' ~ messages[0].content ~ '\\n<</SYS>>\\n\\n' if start == 1 and loop.first else '' -%}
{{ bos_token ~ '[INST] ' ~ (system ~ message.content).strip() ~ ' [/INST]' }}
{%- else -%}
{{ ' ' ~ message.content.strip() ~ ' ' ~ eos_token }}
{%- endif -%}
{%- endfor -%}
""",
}

SYSTEM = {"role": "system", "content": "  You answer in one word.\n"}
HELLO = {"role": "user", "content": "Hello there, how are you? "}
FINE = {"role": "assistant", "content": " Fine."}
MORE = {"role": "user", "content": "\n What is 3 + 4?\n\nSay \"it\" – now"}
TOOL = {"role": "tool", "content": "{\"a\": [1, 2], \"b\": \"x/y é\\n\"}"}
CONVERSATIONS = [[HELLO], [SYSTEM, HELLO], [HELLO, FINE, MORE], [SYSTEM, HELLO, FINE, MORE, FINE, HELLO], [SYSTEM, HELLO, FINE]]
WITH_TOOLS = [[HELLO, FINE, TOOL], [SYSTEM, HELLO, FINE, TOOL, TOOL, FINE, MORE]]


def render(source, messages, bos, eos):
    """As transformers' apply_chat_template renders."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(source).render(
        messages=copy.deepcopy(messages), add_generation_prompt=True, bos_token=bos, eos_token=eos
    )


def texts(lines, specials, seed):
    """The tricky texts, stretches of the book, random mixtures and texts with special tokens in them."""
    chance = random.Random(seed)
    result = list(TRICKY)
    for _ in range(25):
        start = chance.randrange(len(lines) - 3)
        result.append("\n\n".join(lines[start : start + chance.randint(1, 2)])[: chance.randint(20, 700)])
    letters = list("aeiou thrsn'.,  \n\t0123456789-ABCÉéßжя中文🦙\u0301\u2581")
    for _ in range(40):
        result.append("".join(chance.choice(letters) for _ in range(chance.randint(1, 80))))
    for special in specials:
        result += [special, f"a{special}b", f" {special} ", f"x {special}\n{special}{special} y", special[:-1], special + special[-1]]
    for _ in range(15):
        parts = [chance.choice(specials + [" ", "word", " Alice", "\n"]) for _ in range(chance.randint(2, 9))]
        result.append("".join(parts))
    return result


def cases(tokenizer, lines, specials, seed):
    """What `tokenizers` makes of the texts: ids with special tokens added, ids with none parsed, decoded texts."""
    literal = Tokenizer.from_str(tokenizer.to_str())
    literal.encode_special_tokens = True
    result = []
    for text in texts(lines, specials, seed):
        ids = tokenizer.encode(text).ids
        result.append({
            "text": text,
            "ids": ids,
            "literal": literal.encode(text, add_special_tokens=False).ids,
            "decoded": tokenizer.decode(ids),
            "withSpecial": tokenizer.decode(ids, skip_special_tokens=False),
        })
    return result


def write(folder, name, tokenizer, config, lines, specials, chat=None, merges_as_text=False):
    """Writes a model directory's tokenizer files and the cases for them."""
    directory = folder / name
    directory.mkdir(parents=True, exist_ok=True)
    data = json.loads(tokenizer.to_str())
    if merges_as_text:
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    dump(directory / "tokenizer.json", data)
    found = {"cases": cases(tokenizer, lines, specials, seed=name), "chats": []}
    if chat:
        source = TEMPLATES[chat]
        config = {**config, "chat_template": source}
        for messages in CONVERSATIONS + (WITH_TOOLS if chat in ("llama31", "chatml") else []):
            text = render(source, messages, config.get("bos_token") or "", config.get("eos_token") or "")
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            found["chats"].append({"messages": messages, "text": text, "ids": ids})
    dump(directory / "tokenizer_config.json", config)
    dump(directory / "cases.json", found)


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", help="a text in the public domain")
    parser.add_argument("out", help="folder for the fixtures")
    arguments = parser.parse_args()
    lines = corpus(arguments.book)
    out = Path(arguments.out)

    marks = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    for name, chat in (("llama3", "llama3"), ("llama31", "llama31")):
        llama3 = byte_level(lines, split(LLAMA3), [added(mark) for mark in marks], ignore_merges=True)
        bos = llama3.token_to_id(marks[0])
        llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template(marks[0], bos)])
        write(out, name, llama3, {"bos_token": marks[0], "eos_token": marks[4]}, lines, marks[:2], chat)

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    qwen2 = byte_level(
        lines, split(QWEN2), [added(mark) for mark in marks] + [added("<tool_response>", special=False), added("</tool_response>", special=False)],
        normalizer=normalizers.NFC(),
    )
    config = {"add_bos_token": False, "bos_token": None, "eos_token": "<|im_end|>"}
    write(out, "qwen2", qwen2, config, lines, marks + ["<tool_response>"], "chatml", merges_as_text=True)

    gpt2 = byte_level(lines, pre_tokenizers.ByteLevel(add_prefix_space=False), [added("<|endoftext|>"), added("  ", special=False), added("   ", special=False)])
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)
    config = {"bos_token": {"content": "<|endoftext|>", "lstrip": False}, "eos_token": "<|endoftext|>"}
    write(out, "gpt2", gpt2, config, lines, ["<|endoftext|>", "  "])

    digits = byte_level(
        lines,
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        [
            added("<|end|>"), added("<left>", special=False, lstrip=True), added("<right>", rstrip=True),
            added("<both>", special=False, lstrip=True, rstrip=True), added("word", special=False, single_word=True),
            # Composed from и and a breve: found in the normalized text only. (`tokenizers` decodes added tokens wrongly whose
            # characters belong to the byte-level alphabet, such as é; so none of those here.)
            added("\u0447\u0430\u0439", special=False, normalized=True),
        ],
        normalizer=normalizers.NFC(),
    )
    digits.post_processor = template("<|end|>", digits.token_to_id("<|end|>"), "<right>", digits.token_to_id("<right>"))
    strange = ["<|end|>", "<left>", "<right>", "<both>", "word", " word ", "sword", "word\u0301", "\u0447\u0430\u0438\u0306", "\u0447\u0430\u0439"]
    write(out, "digits", digits, {"eos_token": "<|end|>"}, lines, strange)

    llama2 = sentencepiece(lines, whole=True)
    llama2.post_processor = template("<s>", 1)
    config = {"add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>"}
    write(out, "llama2", llama2, config, lines, ["<s>", "</s>"], "llama2")

    metaspace = sentencepiece(lines, whole=False)
    metaspace.post_processor = template("<s>", 1)
    write(out, "metaspace", metaspace, {"bos_token": "<s>", "eos_token": "</s>"}, lines, ["<s>", "</s>"])

    for model in ("needle-main-2m", "stories260K"):
        tokenizer = Tokenizer.from_file(str(REPOSITORY / "cluster" / "models" / model / "tokenizer.json"))
        specials = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
        (out / "models").mkdir(parents=True, exist_ok=True)
        dump(out / "models" / f"{model}.json", {"cases": cases(tokenizer, lines, specials[:3], seed=model), "chats": []})


if __name__ == "__main__":
    main()
