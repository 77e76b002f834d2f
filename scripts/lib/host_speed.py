"""The C host against `winnow worker`, as the one stage of a pipeline: pairs of runs, the same requests.

    host_speed.py WINNOW HOST MODEL PROMPT-FILE PAIRS

A run is a cluster of its own. Of each pair the other one is first in turn. Prints wall time a request (the median of a run's)
and the stage's CPU time a request, and at the end the medians over the pairs of host / worker. Exit status: 0 when the
median of the wall time's is at most 1.02, 1 when it is not, 75 when half of the pairs lie further apart than that.
"""

import json
import os
import statistics
import sys
import time
import urllib.request

from try_host import Process, endpoints

REQUESTS = 8
WARM_UP = 2
LIMIT = 0.02


def cpu_seconds(pid):
    """Of a process and all its threads, in user code and in the kernel."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(winnow, model, prompt, command):
    """Seconds a request: on the clock, and of the stage's CPU time."""
    control, http = endpoints()
    coordinator = Process("coordinator", [
        winnow, "coordinator", "--model", model, "--stages", "1", "--listen", control, "--http", http])
    stage = Process("stage", [word.replace("CONTROL", control) for word in command])
    try:
        url = coordinator.wait_for(r"^ready (http://\S+)", 600).group(1)
        with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:
            name = json.load(answer)["data"][0]["id"]
        body = json.dumps({"model": name, "prompt": prompt, "max_tokens": 16, "temperature": 0, "ignore_eos": True})
        request = urllib.request.Request(
            f"{url}/v1/completions", body.encode(), {"Content-Type": "application/json"})
        times = []
        for number in range(WARM_UP + REQUESTS):
            if number == WARM_UP:
                cpu = cpu_seconds(stage.process.pid)
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=600) as answer:
                json.load(answer)
            times.append(time.perf_counter() - began)
        return statistics.median(times[WARM_UP:]), (cpu_seconds(stage.process.pid) - cpu) / REQUESTS
    finally:
        for one in (stage, coordinator):
            one.process.kill()
            one.process.wait()


def main(winnow, host, model, prompt_file, pairs):
    with open(prompt_file, encoding="utf-8") as file:
        prompt = file.read()
    # Both with one compute thread.
    commands = {
        "host": [host, "stage", model, "CONTROL"],
        "worker": [winnow, "worker", "--model", model, "--coordinator", "CONTROL", "--threads", "1"],
    }
    walls, cpus = [], []
    for turn in range(int(pairs)):
        found = {name: run(winnow, model, prompt, commands[name])
                 for name in sorted(commands, reverse=turn % 2 == 1)}
        (host_wall, host_cpu), (worker_wall, worker_cpu) = found["host"], found["worker"]
        walls.append(host_wall / worker_wall)
        cpus.append(host_cpu / worker_cpu)
        print(f"{turn + 1}: host {host_wall:.4f} s, CPU {host_cpu:.4f} s; worker {worker_wall:.4f} s, "
              f"CPU {worker_cpu:.4f} s; host/worker {walls[-1]:.4f}, CPU {cpus[-1]:.4f}", flush=True)
    quarters = statistics.quantiles(walls, n=4, method="inclusive")
    wall = statistics.median(walls)
    print(f"host/worker over {len(walls)} pairs: wall time {wall:.4f} (half of them {quarters[0]:.4f} to {quarters[2]:.4f}), "
          f"CPU time {statistics.median(cpus):.4f}")
    if wall <= 1 + LIMIT:
        print("PASS: within 2 %")
        return 0
    if quarters[2] - quarters[0] > LIMIT:
        print("the runs differ too much to tell: something else used this machine")
        return 75
    print("FAIL: the host is slower")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
