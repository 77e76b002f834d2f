"""Cuts a text into prompts of an exact length, as JSONL for `winnow loadgen`. Standard library only.

    make_prompts.py TEXT BYTES COUNT > prompts.jsonl

The prompts start at evenly spaced words of the text. One byte is one token for a synthetic model's tokenizer.
"""

import json
import sys

path, length, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "rb") as file:
    text = file.read()
if len(text) < length or not text.isascii():
    sys.exit(f"{path}: wanted ASCII text of at least {length} bytes, found {len(text)}")
for index in range(count):
    start = (len(text) - length) * index // max(1, count - 1)
    # At a word's beginning, where there is one before.
    start = text.rfind(b" ", 0, start) + 1
    print(json.dumps({"prompt": text[start : start + length].decode()}))
