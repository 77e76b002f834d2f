"""Prints what the demo measured as one small table. Standard library only.

    table.py PROMPT-FILE QUESTION-DENSE.tsv QUESTION-PRUNED.tsv [LADDER-DENSE.json LADDER-PRUNED.json]

The right answer is in the prompt: the number that follows the key its last sentence asks for. The .tsv files come from ask.py, the .json files from `winnow loadgen --ladder ... --json`.
"""

import json
import re
import sys


def milliseconds(value) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def question(path: str) -> tuple[list[str], float, int]:
    with open(path, encoding="utf-8") as file:
        answer, ttft, prompt, kept, _ = file.read().rstrip("\n").split("\t")
    right = "right" if answer == expected else f"wrong, it is {expected}"
    return [f"{answer} ({right})", share(int(kept), int(prompt)), milliseconds(float(ttft))], float(ttft), int(prompt)


def share(kept, prompt) -> str:
    return f"{100 * kept / prompt:.1f} %" if kept and prompt else "-"


class Ladder:
    """One mode of one `winnow loadgen --ladder`."""

    def __init__(self, path: str):
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        mode = report["modes"][0]
        prefills = [rung.get("speculative_prefill") for rung in mode["runs"]]
        prefill = next((prefill for prefill in prefills if prefill), {})
        kept = share(prefill.get("kept_tokens"), prefill.get("prompt_tokens"))
        self.ttft = mode["unloaded_ttft_ms"]
        # ttft:p99:BOUNDms, as the report writes it.
        self.bound = float(report["slo"][0].split(":")[2].removesuffix("ms"))
        # What the true rate is at least and under; a climb that no broken promise ended has no ceiling.
        self.floor = mode["max_qps"] or mode["passed_qps"]
        broken = [rung["offered_rate"] for rung in mode["runs"] if rung["verdict"] == "MISSED"]
        self.ceiling = min(broken, default=None)
        # One after the other, where no rate could be tried in the time given.
        self.sequential = round(1000 / self.ttft, 2) if self.ttft and not mode["runs"] else None
        if self.sequential:
            rate = f"about {self.sequential:g}"
        elif self.floor is None:
            rate = f"under {self.ceiling:g}" if self.ceiling else "-"
        else:
            rate = f"{self.floor:g}" if self.ceiling else f"at least {self.floor:g}"
        self.cells = ["-", "100.0 %" if mode["name"] == "dense" else kept, milliseconds(self.ttft), rate]


def gain(dense: Ladder, pruned: Ladder) -> str:
    text = f"the first token comes {times(dense.ttft, pruned.ttft)} as early"
    if pruned.floor and dense.floor and dense.ceiling:
        return f"{text}, at {'' if pruned.ceiling else 'at least '}{times(pruned.floor, dense.floor)} the rate"
    if pruned.floor and dense.sequential:
        return f"{text}, at about {times(pruned.floor, dense.sequential)} the rate"
    if pruned.floor and dense.ceiling:
        return f"{text}, at more than {times(pruned.floor, dense.ceiling)} the rate"
    return text


def times(a, b) -> str:
    return f"{a / b:.1f}x" if a and b else "-"


def right_answer(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        prompt = file.read().rstrip()
    key = re.search(r"special magic number for (\w+) is:$", prompt)
    fact = key and re.search(rf"special magic numbers for {key[1]} is: (\d+)", prompt)
    return fact[1] if fact else "unknown"


expected = right_answer(sys.argv[1])
files = sys.argv[2:]
rows = [["", "answer", "kept", "TTFT", "requests/s"]]
dense, dense_ttft, length = question(files[0])
pruned, pruned_ttft, _ = question(files[1])
rows += [["A dense"] + dense + ["-"], ["A 10 %"] + pruned + ["-"]]
notes = [
    f"A: the needle pair (2 M and 0.4 M parameters), one question about a fact hidden in {length} tokens of a novel:",
    f"   the first token comes {times(dense_ttft, pruned_ttft)} as early from a tenth of the prompt. It is too small to be slow.",
]
if len(files) > 2:
    dense_ladder, pruned_ladder = Ladder(files[2]), Ladder(files[3])
    rows += [["B dense"] + dense_ladder.cells, ["B 10 %"] + pruned_ladder.cells]
    notes += [
        "B: a synthetic pair (64 M and 1 M parameters, random weights: for speed only), prompts of 4096 tokens:",
        f"   {gain(dense_ladder, pruned_ladder)}.",
        f"   TTFT without load; requests/s: highest rate tried whose slowest TTFT stayed under {milliseconds(dense_ladder.bound)}",
        "   (a quick estimate from a few requests a rate, not a verdict).",
    ]
    if dense_ladder.sequential or pruned_ladder.sequential:
        notes += ["   about: this machine is too slow to try a rate in the time given; one request after the other."]
widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
for number, row in enumerate(rows):
    cells = [cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))]
    print("  ".join(cells).rstrip())
    if number == 0:
        print("-" * (sum(widths) + 2 * (len(widths) - 1)))
print()
print("\n".join(notes))
