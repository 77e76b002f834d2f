#!/usr/bin/env python3
"""Holds `winnow loadgen --find-max-qps` against queues whose maximal QPS is known. Standard library only.

    scripts/loadgen_truth.py [--law constant|exponential|both] [--seeds N] [--samples N] [--service MS] [--winnow PATH]

For each seed a real server (lib/queue_server.py: one server, one queue, Poisson arrivals: M/D/1 or M/M/1) is searched over
HTTP with an SLO on the p90 TTFT, all seeds of a law at the same time. The true maximum is where theory puts the p90 exactly on the bound:
Erlang's formula (Crommelin 1932) for constant service, the exponential sojourn time for exponential service. Succeeds when at
least nine of ten searches end VALID within 5 % of it. Takes about 20 minutes, and a core that nobody else wants.
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
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--samples", type=int, default=12000, help="requests of a run (default 12000)")
parser.add_argument("--service", type=float, default=5, help="mean service time in ms (default 5)")
parser.add_argument("--precision", type=float, default=0.03)
parser.add_argument("--winnow", default=os.path.join(here, "..", ".build", "release", "winnow"))
options = parser.parse_args()

service = options.service / 1000
# Bounds that put the maximum at about three quarters of what the server can do at all.
bounds = {"constant": 4.5 * service, "exponential": 9 * service}


def exceeding(law: str, seconds: float, rate: float) -> float:
    """The probability that a request takes longer in the long run."""
    if law == "exponential":
        return math.exp(-(1 / service - rate) * seconds)
    waiting = seconds - service
    parts = [rate * (waiting - k * service) for k in range(int(waiting / service + 1e-9) + 1)]
    return 1 - (1 - rate * service) * sum((-y) ** k / math.factorial(k) * math.exp(y) for k, y in enumerate(parts))


def truth(law: str) -> float:
    low, high = 0.0, 1 / service
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if exceeding(law, bounds[law], middle) > 0.1 else (middle, high)
    return low


def search(law: str, seed: int, folder: str) -> dict:
    prompt = os.path.join(folder, "prompt.txt")
    report = os.path.join(folder, f"{law}-{seed}.json")
    with subprocess.Popen(
        [sys.executable, os.path.join(here, "lib", "queue_server.py"), "--service", str(options.service), "--law", law,
         "--seed", str(seed)], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().split()[1]
            subprocess.run(
                [options.winnow, "loadgen", "--target", url, "--find-max-qps", "--slo",
                 f"ttft:p90:{bounds[law] * 1000:g}ms", "--prompts", prompt, "--seed", str(seed), "--samples",
                 str(options.samples), "--precision", str(options.precision), "--duration", "10s",
                 "--rate", f"{0.4 / service:g}", "--json", report],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        finally:
            server.terminate()
    with open(report, encoding="utf-8") as file:
        return json.load(file)


failures = 0
with tempfile.TemporaryDirectory() as folder:
    with open(os.path.join(folder, "prompt.txt"), "w", encoding="utf-8") as file:
        file.write("anything\n")
    laws = ["constant", "exponential"] if options.law == "both" else [options.law]
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.seeds) as pool:
        for law in laws:
            runs = {seed: pool.submit(search, law, seed, folder) for seed in range(1, options.seeds + 1)}
            true = truth(law)
            good = 0
            for seed in range(1, options.seeds + 1):
                report = runs[seed].result()
                error = report["max_qps"] / true - 1 if report["max_qps"] else -1
                good += report["verdict"] == "VALID" and abs(error) <= 0.05
                print(f"{law:11} seed {seed:2}: {report['verdict']}, found {report['max_qps'] or 0:.2f}/s, "
                      f"true {true:.2f}/s, error {100 * error:+.1f} %", flush=True)
            print(f"{law}: {good} of {options.seeds} within 5 %")
            failures += 10 * good < 9 * options.seeds
sys.exit(1 if failures else 0)
