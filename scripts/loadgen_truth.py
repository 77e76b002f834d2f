#!/usr/bin/env python3
"""Holds `winnow loadgen` against queues whose latencies and maximal QPS are known. Standard library only.

    scripts/loadgen_truth.py [--check latency|maximum|both] [--law constant|exponential|both] [--seeds N] [--samples N]
                             [--service MS] [--precision SHARE] [--winnow PATH]

For each seed there is a real server (lib/queue_server.py: one server, one queue, Poisson arrivals: M/D/1 or M/M/1), measured
over HTTP, all seeds of a law at the same time. Theory knows how long requests take: Erlang's formula (Crommelin 1932) for
constant service, the exponential sojourn time for exponential service.

latency: one run at 60 % of what the server can do, with five times the service time (so that the client's own part of a
millisecond does not show). The 99 % intervals of the p50 and of the p99 must hold the true ones in nine of ten cases.
maximum: a search with an SLO on the p90 TTFT. The true maximum is where theory puts the p90 exactly on the bound. Nine of ten
searches must end VALID within 5 % of it. Takes about half an hour a law, and a core that nobody else wants.
"""

import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--law", choices=["constant", "exponential", "both"], default="both")
parser.add_argument("--check", choices=["latency", "maximum", "both"], default="both")
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--samples", type=int, default=12000, help="requests of a run (default 12000)")
parser.add_argument("--service", type=float, default=10, help="mean service time in ms (default 10)")
parser.add_argument("--precision", type=float, default=0.01, help="of the search (default 0.01)")
parser.add_argument("--winnow", default=os.path.join(here, "..", ".build", "release", "winnow"))
options = parser.parse_args()

service = options.service / 1000
# Bounds that put the maximum at about three quarters of what the server can do at all.
bounds = {"constant": 4.5 * service, "exponential": 9 * service}


def exceeding(law: str, seconds: float, rate: float, service: float) -> float:
    """The probability that a request takes longer in the long run."""
    if law == "exponential":
        return math.exp(-(1 / service - rate) * seconds)
    waiting = seconds - service
    if waiting < 0:
        return 1
    parts = [rate * (waiting - k * service) for k in range(int(waiting / service + 1e-9) + 1)]
    return 1 - (1 - rate * service) * sum((-y) ** k / math.factorial(k) * math.exp(y) for k, y in enumerate(parts))


def root(low: float, high: float, is_low) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if is_low(middle) else (low, middle)
    return low


def loadgen(law: str, seed: int, folder: str, service: float, load: list[str]) -> dict:
    """Measures a server of its own."""
    prompt = os.path.join(folder, "prompt.txt")
    report = os.path.join(folder, f"{law}-{seed}.json")
    with subprocess.Popen(
        [sys.executable, os.path.join(here, "lib", "queue_server.py"), "--service", str(service * 1000), "--law", law,
         "--seed", str(seed)], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().split()[1]
            subprocess.run(
                [options.winnow, "loadgen", "--target", url, "--prompts", prompt, "--seed", str(seed), "--json", report]
                + load, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        finally:
            server.terminate()
    with open(report, encoding="utf-8") as file:
        return json.load(file)


def latency(law: str, pool, folder: str) -> bool:
    """Whether the intervals hold the truth in nine of ten cases."""
    slow = 5 * service
    rate = 0.6 / slow
    true = {
        name: root(slow, 100 * slow, lambda time, share=share: exceeding(law, time, rate, slow) > share)
        for name, share in (("p50", 0.5), ("p99", 0.01))}
    load = ["--rate", f"{rate:g}", "--duration", f"{options.samples / 3 / rate:g}s"]
    runs = [pool.submit(loadgen, law, seed, folder, slow, load) for seed in range(1, options.seeds + 1)]
    held = 0
    for seed, run in enumerate(runs, 1):
        ttft = run.result()["ttft_ms"]
        words = []
        for name, seconds in true.items():
            # A p99 that the run can't bound from above has no upper end.
            low, high = (ttft[f"{name}_interval"] or {}).get("low"), (ttft[f"{name}_interval"] or {}).get("high")
            holds = low is not None and low <= seconds * 1000 <= (high or math.inf)
            held += holds
            words.append(f"{name} {ttft[name]:.0f} ms ({low or 0:.0f} to {high or math.inf:.0f}), true "
                         f"{seconds * 1000:.0f}{'' if holds else ' MISSED'}")
        print(f"{law:11} seed {seed:2}: " + "; ".join(words), flush=True)
    print(f"{law}: {held} of {2 * options.seeds} intervals hold the truth")
    return 10 * held >= 9 * 2 * options.seeds


def maximum(law: str, pool, folder: str) -> bool:
    """Whether nine of ten searches come within 5 %."""
    true = root(0.0, 1 / service, lambda rate: exceeding(law, bounds[law], rate, service) <= 0.1)
    load = ["--find-max-qps", "--slo", f"ttft:p90:{bounds[law] * 1000:g}ms", "--samples", str(options.samples),
            "--precision", str(options.precision), "--duration", "10s", "--rate", f"{0.4 / service:g}"]
    runs = [pool.submit(loadgen, law, seed, folder, service, load) for seed in range(1, options.seeds + 1)]
    good = 0
    for seed, run in enumerate(runs, 1):
        report = run.result()
        error = report["max_qps"] / true - 1 if report["max_qps"] else -1
        good += report["verdict"] == "VALID" and abs(error) <= 0.05
        print(f"{law:11} seed {seed:2}: {report['verdict']}, found {report['max_qps'] or 0:.2f}/s, "
              f"true {true:.2f}/s, error {100 * error:+.1f} %", flush=True)
    print(f"{law}: {good} of {options.seeds} within 5 %")
    return 10 * good >= 9 * options.seeds


checks = {"latency": [latency], "maximum": [maximum], "both": [latency, maximum]}[options.check]
laws = ["constant", "exponential"] if options.law == "both" else [options.law]
with tempfile.TemporaryDirectory() as folder:
    with open(os.path.join(folder, "prompt.txt"), "w", encoding="utf-8") as file:
        file.write("anything\n")
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.seeds) as pool:
        passed = [check(law, pool, folder) for check in checks for law in laws]
sys.exit(0 if all(passed) else 1)
