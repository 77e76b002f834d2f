"""The C host against `winnow worker`, as the one stage of a pipeline: runs in turn, the same requests.

    host_speed.py WINNOW HOST MODEL PROMPT-FILE ROUNDS

Prints seconds a request of each run, and the ratio of the medians (host / worker) over all rounds.
"""

import json
import statistics
import sys
import time
import urllib.request

from try_host import Process, endpoints

REQUESTS = 8


def seconds(winnow, model, prompt, command):
    """A request's, in a cluster of its own: of the fastest half, so that what else the machine does is left out."""
    control, http = endpoints()
    coordinator = Process("coordinator", [
        winnow, "coordinator", "--model", model, "--stages", "1", "--listen", control, "--http", http])
    stage = Process("stage", [word.replace("CONTROL", control) for word in command])
    try:
        url = coordinator.wait_for(r"^ready (http://\S+)").group(1)
        with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:
            name = json.load(answer)["data"][0]["id"]
        body = json.dumps({"model": name, "prompt": prompt, "max_tokens": 16, "temperature": 0, "ignore_eos": True})
        request = urllib.request.Request(
            f"{url}/v1/completions", body.encode(), {"Content-Type": "application/json"})
        times = []
        for _ in range(REQUESTS + 2):
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=120) as answer:
                json.load(answer)
            times.append(time.perf_counter() - began)
        return statistics.mean(sorted(times[2:])[:REQUESTS // 2])
    finally:
        for one in (stage, coordinator):
            one.process.kill()
            one.process.wait()


def main(winnow, host, model, prompt_file, rounds):
    with open(prompt_file, encoding="utf-8") as file:
        prompt = file.read()
    commands = {
        "host": [host, "stage", model, "CONTROL"],
        "worker": [winnow, "worker", "--model", model, "--coordinator", "CONTROL"],
    }
    found = {name: [] for name in commands}
    for turn in range(int(rounds)):
        for name in sorted(commands, reverse=turn % 2 == 1):
            found[name].append(seconds(winnow, model, prompt, commands[name]))
        print(turn + 1, *(f"{name} {times[-1]:.4f} s" for name, times in found.items()), flush=True)
    medians = {name: statistics.median(times) for name, times in found.items()}
    print(f"host {medians['host']:.4f} s, worker {medians['worker']:.4f} s, "
          f"ratio {medians['host'] / medians['worker']:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
