"""What a comparison of engines measured, as a table and as JSON. Standard library only."""

import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from engines import MODEL, STEPS, spelled

PAIRS = {
    "prefill": [
        ("winnow-bf16", "transformers-bf16"), ("winnow-bf16", "llama-bf16"), ("winnow-f32", "transformers-f32"),
        ("winnow-f32", "llama-f32"), ("winnow-bf16", "transformers-f32"),
        ("winnow-bf16", "openvino-bf16"), ("winnow-bf16", "llama-bench-bf16"),
        ("winnow-int8", "llama-q8_0"), ("winnow-int8", "llama-q4_0"), ("winnow-int8", "llama-q4_k_m"),
        ("winnow-int8", "llama-bench-q8_0"), ("winnow-int8", "openvino-int8"), ("winnow-int8", "openvino-w8a8"),
        ("winnow-int8", "openvino-trishape"), ("winnow-int8", "openvino-xattention"),
        ("winnow-pruned", "winnow-int8"), ("winnow-pruned", "openvino-bf16"), ("winnow-pruned", "openvino-w8a8"),
        ("winnow-pruned", "openvino-trishape"), ("winnow-pruned", "openvino-xattention"),
        ("winnow-pruned-sparse", "winnow-pruned"), ("winnow-pruned-sparse", "winnow-int8"),
        ("winnow-pruned-sparse", "openvino-w8a8"), ("winnow-pruned-sparse", "openvino-trishape"),
        ("winnow-pruned-sparse", "openvino-xattention"),
    ],
    "decode": [
        ("winnow-bf16", "llama-bf16"), ("winnow-bf16", "llama-bench-bf16"), ("winnow-bf16", "openvino-bf16"),
        ("winnow-f32", "llama-f32"), ("winnow-int8", "llama-q8_0"), ("winnow-int8", "llama-bench-q8_0"),
        ("winnow-int8", "openvino-int8"), ("winnow-int8", "openvino-w8a8"),
    ],
}  # fmt: skip


@dataclass
class Results:
    options: object
    load: float
    # (task, tokens) -> engine -> one entry a repetition: the run or None.
    runs: dict[tuple[str, int], dict[str, list]] = field(default_factory=dict)
    warm_ups: dict[tuple[str, int], dict[str, dict]] = field(default_factory=dict)
    too_slow: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    # What engines say of themselves: version, kernel.
    facts: dict[str, dict] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    # Of two peers that read different files: the correlation of their logits.
    agreement: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False

    def rate(self, key, name):
        rates = [run["tokens_per_second"] for run in self.runs.get(key, {}).get(name, []) if run]
        return statistics.median(rates) if rates else None

    def ratios(self, key, ours: str, theirs: str) -> list[float]:
        runs = self.runs.get(key, {})
        pairs = zip(runs.get(ours, []), runs.get(theirs, []))
        return [a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs if a and b]

    def comparisons(self) -> list[dict]:
        result = []
        for key in self.runs:
            for ours, theirs in PAIRS[key[0]]:
                if ours not in self.runs[key] or theirs not in self.runs[key]:
                    continue
                entry = {"task": key[0], "tokens": key[1], "winnow": ours, "peer": theirs}
                entry |= {"winnow_tokens_per_second": self.rate(key, ours)}
                entry |= {"peer_tokens_per_second": self.rate(key, theirs)}
                ratios = self.ratios(key, ours, theirs)
                if ratios:
                    entry |= {"ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}
                    entry["pairs"] = len(ratios)
                elif theirs in self.too_slow[key] and entry["winnow_tokens_per_second"]:
                    entry["ratio_over"] = entry["winnow_tokens_per_second"] * self.options.timeout / key[1]
                else:
                    continue
                result.append(entry)
        return result

    def best_quantised(self, key):
        rates = {n: self.rate(key, n) for n in self.runs[key] if n.startswith("llama-q")}
        rates = {name: rate for name, rate in rates.items() if rate}
        return max(rates, key=rates.get) if rates else None

    def table(self) -> str:
        options = self.options
        lines = [f"{processor()}; threads: {options.threads}, on CPU {spelled(options.cpus)}; "
                 f"{options.repetitions} repetitions, in turns{'; INTERRUPTED' if self.interrupted else ''}", ""]  # fmt: skip
        keys = [key for key in self.runs if any(self.rate(key, name) for name in self.runs[key]) or self.too_slow[key]]
        if not keys:
            return "\n".join(lines + ["Nothing was measured."])
        rows = [["tokens/s, median"] + [title(key) for key in keys]]
        for name in options.engines:
            cells = []
            for key in keys:
                rate = self.rate(key, name)
                late = f"over {options.timeout} s" if name in self.too_slow[key] else "-"
                cells.append(late if rate is None else f"{rate:.1f}")
            rows.append([name] + cells)
        lines += layout(rows, 1) + [""]
        rows = [["compared", "Winnow", "peer", "", "Winnow/peer", "min", "max"]]
        for entry in self.comparisons():
            key = (entry["task"], entry["tokens"])
            mark = ""
            if entry["winnow"] == "winnow-int8" and key[0] == "prefill" and entry["peer"] == self.best_quantised(key):
                mark = "llama.cpp's best quantised"
            if "ratio" in entry:
                numbers = [f"{entry[name]:.2f}x" for name in ("ratio", "ratio_min", "ratio_max")]
            else:
                numbers = [f"over {entry['ratio_over']:.1f}x", "-", "-"]
            rows.append([title(key), entry["winnow"], entry["peer"], mark] + numbers)
        lines += layout(rows, 4) if len(rows) > 1 else ["Nothing to compare."]
        lines += ["", *self.notes()]
        return "\n".join(lines)

    def notes(self) -> list[str]:
        lines = []
        for name in self.facts:
            if name in self.missing:
                continue
            facts = [self.facts[name][fact] for fact in ("version", "kernel") if self.facts[name].get(fact)]
            shares = [run["peak_share"] for runs in self.runs.values() for run in runs.get(name, []) if run and run.get("peak_share")]
            if shares:
                facts.append(f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of the measured peak")
            chosen = [(warm[name]["setting"], title(key)) for key, warm in self.warm_ups.items()
                      if warm.get(name, {}).get("setting")]  # fmt: skip
            facts += [f"{setting} at {', '.join(t for s, t in chosen if s == setting)}" for setting in dict(chosen)]
            facts += [f"not {setting} at {title(key)}: {why}" for key, warm in self.warm_ups.items()
                      for setting, why in warm.get(name, {}).get("refused", {}).items()]  # fmt: skip
            if facts:
                lines.append(f"{name}: {'; '.join(facts)}")
        for pair, agreement in self.agreement.items():
            lines.append(f"Same weights: logits of {pair} correlate by {agreement:.5f}.")
        if self.load > 0.5:
            lines.append(f"The machine was not idle before the run: load average {self.load:.2f}.")
        lines += [f"NOT MEASURED: {name}: {why}" for name, why in self.missing.items()]
        return lines

    def report(self) -> dict:
        options = self.options
        tasks = [
            {
                "task": key[0], "tokens": key[1], "steps": STEPS if key[0] == "decode" else None,
                "too_slow": self.too_slow[key],
                "engines": {
                    name: {"tokens_per_second": self.rate(key, name), "runs": runs,
                           "warm_up": self.warm_ups[key].get(name) or None}
                    for name, runs in self.runs[key].items()
                },
            }
            for key in self.runs
        ]  # fmt: skip
        return {
            "processor": processor(), "threads": options.threads, "cpus": options.cpus, "model": MODEL,
            "repetitions": options.repetitions, "timeout_seconds": options.timeout,
            "load_average_before": self.load, "interrupted": self.interrupted, "missing": self.missing,
            "logit_correlation": self.agreement,
            "engines": {name: facts for name, facts in self.facts.items() if name not in self.missing},
            "tasks": tasks, "comparisons": self.comparisons(),
        }  # fmt: skip


def title(key: tuple[str, int]) -> str:
    return f"{key[0]} {key[1]}"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def layout(rows: list[list[str]], left: int) -> list[str]:
    """Columns; the first ones are text, the others numbers."""
    kept = [column for column in range(len(rows[0])) if any(row[column] for row in rows)]
    widths = {column: max(len(row[column]) for row in rows) for column in kept}
    lines = []
    for number, row in enumerate(rows):
        cells = [row[c].ljust(widths[c]) if c < left else row[c].rjust(widths[c]) for c in kept]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("-" * (sum(widths.values()) + 2 * (len(widths) - 1)))
    return lines
