#!/usr/bin/env python3
"""Make the needle prompts: one fact to find, among distracting ones, in book text.

    pip install torch transformers
    scripts/make_needle_prompts.py --texts DIR           # writes Tests/WinnowTests/Fixtures and cluster/prompts
    scripts/make_needle_prompts.py --check               # measures the models on the committed prompts

DIR holds moby-dick.txt, war-and-peace.txt and sherlock-holmes.txt as Project Gutenberg has them. The text of the prompts is
from the last tenth of each book. --check prints the share of right answers (all five digits, greedy) of the needle pair in
cluster/models, in plain PyTorch: of the whole prompt, and of a tenth of it by windows and by the paper's selection.
"""

import argparse
import json
import random
import re
import unicodedata
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from reference_selection import importance, look_ahead, reference_selection, windows_selection

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "Tests" / "WinnowTests" / "Fixtures"
MODELS = ROOT / "cluster" / "models"
BOOKS = ("moby-dick", "war-and-peace", "sherlock-holmes")
# name: smallest and largest prompt in tokens, distracting facts. Six tokens of answer fit the context of 2,048.
SIZES = {"needle-1024": (1000, 1018, 8), "needle-2048": (2000, 2036, 12)}
KEYS = """
    falcon river castle garden mountain bridge lantern window forest candle hammer anchor basket mirror pillow blanket
    kitchen island valley ocean desert meadow thunder shadow feather button ladder needle pencil ribbon saddle trumpet
    violin wagon whistle tiger rabbit turtle salmon spider eagle monkey pepper carrot lemon orange cherry potato
    bottle barrel compass hunter doctor farmer sailor soldier teacher painter baker
""".split()


def held_out(directory, book):
    """The paragraphs of the last tenth of a book, each on one line of plain ASCII."""
    text = (Path(directory) / f"{book}.txt").read_text(encoding="utf-8-sig", errors="replace")
    text = re.split(r"\*\*\* ?START OF TH.*?\*\*\*", text)[-1]
    text = re.split(r"\*\*\* ?END OF TH|End of (?:the )?Project Gutenberg", text)[0]
    folded = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "--"})
    folded = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    folded = folded[len(folded) * 9 // 10 :]
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", folded)]
    return [part for part in paragraphs[1:] if part]  # the first is cut


def fact(key, number):
    return f" One of the special magic numbers for {key} is: {number}."


def question(key):
    return f"\nWhat is the special magic number for {key}? The special magic number for {key} is:"


def make_prompt(chance, words, tokenizer, smallest, largest, distractors):
    """A prompt of `smallest` to `largest` tokens with BOS, and its answer."""
    keys = chance.sample(KEYS, distractors + 1)
    numbers = [f"{chance.randrange(10000, 100000)}" for _ in keys]
    facts = [fact(key, number) for key, number in zip(keys, numbers)]
    start = chance.randrange(len(words))
    places = [chance.random() for _ in facts]
    count, goal = smallest // 2, chance.randint(smallest, largest)
    for _ in range(50):
        text = [words[(start + index) % len(words)] for index in range(count)]
        for place, sentence in sorted(zip(places, facts), reverse=True):
            text.insert(1 + int(place * (count - 1)), sentence)
        prompt = "".join(text).lstrip() + question(keys[0])
        size = len(tokenizer(prompt).input_ids)
        if smallest <= size <= largest:
            return prompt, numbers[0]
        count += round((goal - size) * 0.4) or (1 if goal > size else -1)
    raise SystemExit("no prompt of the wanted size was found")


def load(name):
    return AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32).eval()


@torch.no_grad()
def answers(model, tokenizer, tokens, kept, answer):
    """Whether greedy decoding from the kept tokens gives the answer: positions go on after the whole prompt."""
    # Greedy decoding gives the answer exactly if each of its tokens is the best one after those before it.
    wanted = tokenizer(f" {answer}", add_special_tokens=False).input_ids
    rows = [tokens[index] for index in kept] + wanted[:-1]
    positions = kept + list(range(len(tokens), len(tokens) + len(wanted) - 1))
    mask = torch.full((len(rows), len(rows)), float("-inf")).triu(1)[None, None]
    logits = model(
        input_ids=torch.tensor([rows]), position_ids=torch.tensor([positions]), attention_mask=mask, use_cache=False
    ).logits[0]
    return logits[len(kept) - 1 :].argmax(-1).tolist() == wanted


def measure(name, count=None):
    """The share of right answers on a committed set of prompts, and the verdicts of each prompt."""
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "needle-main-2m")
    main, speculator = load("needle-main-2m"), load("needle-speculator-0.4m")
    verdicts = []
    for line in (FIXTURES / f"{name}.jsonl").read_text().splitlines()[:count]:
        case = json.loads(line)
        tokens = tokenizer(case["prompt"]).input_ids
        queries, keys, _, _ = look_ahead(speculator, tokens, 8, eos=[1])
        values = importance(queries, keys, pool=13)
        selections = {
            "dense": list(range(len(tokens))),
            "windows": windows_selection(values, 0.1),
            "reference": reference_selection(values, 32, 0.1),
        }
        verdicts.append({k: answers(main, tokenizer, tokens, v, case["answer"]) for k, v in selections.items()})
    shares = {key: sum(verdict[key] for verdict in verdicts) / len(verdicts) for key in verdicts[0]}
    print(name, " ".join(f"{key} {share:.2f}" for key, share in shares.items()), flush=True)
    return verdicts


def write_demo(verdicts):
    """The first prompt that windows answer as rightly as the whole prompt does, as a file of its own."""
    lines = (FIXTURES / "needle-2048.jsonl").read_text().splitlines()
    case = next(json.loads(line) for line, v in zip(lines, verdicts) if v["dense"] and v["windows"])
    folder = ROOT / "cluster" / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "needle-2048.txt").write_text(case["prompt"])
    print(f"cluster/prompts/needle-2048.txt: the answer is {case['answer']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", help="directory of the books; make the prompts")
    parser.add_argument("--check", action="store_true", help="measure the committed prompts")
    parser.add_argument("--count", type=int, default=50, help="prompts of each size")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.texts:
        tokenizer = AutoTokenizer.from_pretrained(MODELS / "needle-main-2m")
        words = []
        for book in BOOKS:  # each word with the white space before it, so that joining gives the text
            words += re.findall(r"\s*\S+", "\n" + "\n".join(held_out(arguments.texts, book)))
        FIXTURES.mkdir(parents=True, exist_ok=True)
        for name, size in SIZES.items():
            chance = random.Random(f"{name} {arguments.seed}")
            with open(FIXTURES / f"{name}.jsonl", "w") as file:
                for _ in range(arguments.count):
                    prompt, answer = make_prompt(chance, words, tokenizer, *size)
                    file.write(json.dumps({"prompt": prompt, "answer": answer}) + "\n")
    verdicts = {name: measure(name) for name in SIZES} if arguments.check or arguments.texts else {}
    if arguments.texts:
        write_demo(verdicts["needle-2048"])
    if not verdicts:
        parser.error("say --texts or --check")


if __name__ == "__main__":
    main()
