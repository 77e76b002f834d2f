"""The checks of scripts/try_slurm.sh. Standard library only.

    try_slurm.py WINNOW FOLDER PACKAGE
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

from running import running

winnow, work, root = sys.argv[1:]
failures = []


def verdict(holds: bool, text: str) -> None:
    print(f"  {'ok  ' if holds else 'FAIL'} {text}", flush=True)
    if not holds:
        failures.append(text)


def output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def wait_for(what: str, seconds: float, holds) -> bool:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if holds():
            return True
        time.sleep(0.1)
    print(f"  waited {seconds} s for {what}", file=sys.stderr)
    return False


class Job:
    """A submitted script and its log."""

    def __init__(self, *options: str) -> None:
        self.id = output("sbatch", "--parsable", f"--output={work}/%j.log", *options, f"{work}/winnow-needle.sbatch")
        self.path = f"{work}/{self.id}.log"

    def log(self) -> str:
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def url(self) -> str:
        if not wait_for("`ready`", 60, lambda: "ready http://" in self.log()):
            sys.exit(f"job {self.id} is not ready:\n{self.log()[-4000:]}\n{output('squeue', '--steps')}")
        return re.search(r"ready (http://\S+)", self.log())[1].replace("0.0.0.0", "127.0.0.1")

    def steps(self) -> dict[str, str]:
        lines = output("squeue", "--steps", "--noheader", f"--jobs={self.id}", "--format=%j %N").splitlines()
        return dict(line.split() for line in lines if line.split()[0] not in ("batch", "extern"))

    def cancel(self) -> bool:
        output("scancel", self.id)
        return wait_for("the end of the job", 40, lambda: not output("squeue", "--noheader", f"--jobs={self.id}"))


def measure(url: str, seconds: int) -> dict[str, tuple[float, int, int]]:
    """The share of right answers, how many were judged, and how many requests failed, by mode."""
    with open(f"{root}/Tests/WinnowTests/Fixtures/needle-2048.jsonl", encoding="utf-8") as file:
        needles = [json.loads(line) for line in file]
    with open(f"{work}/prompts.jsonl", "w", encoding="utf-8") as file:
        for needle in needles:
            line = {"prompt": needle["prompt"], "expected": needle["answer"], "max_tokens": 6}
            file.write(json.dumps(line) + "\n")
    found = {}
    for mode in ("dense", "0.1"):
        report = f"{work}/{mode}.json"
        subprocess.run(
            [winnow, "loadgen", "--target", url, "--prompts", f"{work}/prompts.jsonl", "--concurrency", "2",
             "--duration", f"{seconds}s", "--compare", mode, "--json", report],
            stdout=subprocess.DEVNULL, check=True)
        with open(report, encoding="utf-8") as file:
            found[mode] = summary(json.load(file))
    return found


def summary(report) -> tuple[float, int, int]:
    """The numbers of the only run, wherever it stands in the report."""
    if isinstance(report, dict):
        if "accuracy" in report and "judged" in report and "failed" in report:
            return report["accuracy"] or 0, report["judged"], sum(report["failed"].values())
        report = list(report.values())
    for inner in report if isinstance(report, list) else []:
        if found := summary(inner):
            return found
    return ()


subprocess.run([winnow, "launch", f"{root}/cluster/slurm/cluster.yaml", "--render", "slurm", "--out", work,
                "--executable", winnow], stdout=subprocess.DEVNULL, check=True)

print("\nThree nodes", flush=True)
job = Job()
url = job.url()
steps = job.steps()
verdict(steps == {"coordinator": "n1", "worker-0": "n1", "worker-1": "n2", "worker-2": "n3"},
        "steps: " + ", ".join(f"{name} on {node}" for name, node in sorted(steps.items())))
for mode, (accuracy, judged, failed) in measure(url, 10).items():
    verdict(failed == 0 and judged >= 20 and accuracy >= 0.75,
            f"loadgen {mode}: {accuracy:.2f} of {judged} answers right, {failed} failed")
worker = [pid for pid, line in running(work).items() if "--name worker-1" in line and " worker " in line]
for pid in worker:
    os.kill(pid, signal.SIGKILL)
ready = job.log().count("ready http://")
verdict(bool(worker) and wait_for("the step's return", 40, lambda: job.log().count("ready http://") > ready),
        "a killed worker is another step, and the pipeline stands again")
accuracy, judged, failed = measure(url, 2)["0.1"]
verdict(failed == 0 and judged > 0, "it serves again")
began = time.monotonic()
ended = job.cancel()
left = wait_for("the last process", 10, lambda: not running(work))
verdict(ended and left, f"scancel: the job and all its processes are gone after {time.monotonic() - began:.1f} s")

print("\nOne node", flush=True)
job = Job("-N", "1", "--ntasks-per-node=4")
url = job.url()
verdict(set(job.steps().values()) == {"n1"} and "--listen" not in job.log(), "all steps on n1")
accuracy, judged, failed = measure(url, 4)["0.1"]
verdict(failed == 0 and accuracy >= 0.75, f"loadgen 0.1: {accuracy:.2f} of {judged} answers right, {failed} failed")
verdict(job.cancel() and wait_for("the last process", 10, lambda: not running(work)), "scancel: nothing left")
sys.exit(1 if failures else 0)
