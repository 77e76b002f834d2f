"""One host that embeds the worker, in a real cluster of the needle pair. Called by scripts/try_hosts.sh.

    try_host.py WINNOW MODELS NAME COMMAND...

COMMAND takes `stage|speculator MODEL COORDINATOR`. The host serves a stage and, in a second process, the speculator, beside a
worker of winnow's own; it must answer right, live through a restart of the coordinator, drain on request while a worker takes
its place, and end with status 0. Prints one line; exit status 1 when something is not as it should be.
"""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request


class Process:
    """A process whose lines of output can be waited for."""

    def __init__(self, name, command):
        self.name, self.all, self.lines = name, [], queue.Queue()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.all.append(line.rstrip())
            self.lines.put(line.rstrip())
        self.lines.put(None)

    def wait_for(self, pattern, seconds=60):
        """The next line that matches; lines before it are passed over."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self.name}: no line /{pattern}/ in {seconds} s") from None
            if line is None:
                raise AssertionError(f"{self.name} ended before /{pattern}/: status {self.process.wait()}")
            if found := re.search(pattern, line):
                return found

    def end(self, number=signal.SIGTERM, seconds=30):
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end in {seconds} s") from None


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def endpoints():
    """Of a coordinator: its control endpoint, whose next port is its data endpoint, and its HTTP address."""
    while True:
        control, http = free_port(), free_port()
        with socket.socket() as data:
            try:
                data.bind(("127.0.0.1", control + 1))
            except (OSError, OverflowError):
                continue
        if http not in (control, control + 1):
            return f"tcp://127.0.0.1:{control}", f"127.0.0.1:{http}"


def ask(url, prompt):
    body = {"model": "needle-main-2m", "prompt": prompt, "max_tokens": 6, "temperature": 0,
            "speculative_prefill": {"keep_rate": 0.1}}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    assert found["speculative_prefill"].get("fallback") is None, found["speculative_prefill"]
    return found["choices"][0]["text"].strip()


def main(winnow, models, name, command):
    main_model, speculator = f"{models}/needle-main-2m", f"{models}/needle-speculator-0.4m"
    with open(f"{os.path.dirname(models)}/prompts/needle-2048.txt", encoding="utf-8") as file:
        prompt = file.read().removesuffix("\n")
    control, http = endpoints()
    processes = []

    def start(who, words):
        processes.append(Process(who, words))
        return processes[-1]

    def coordinator():
        return start("coordinator", [
            winnow, "coordinator", "--model", main_model, "--speculator", speculator, "--speculator-workers",
            "--stages", "2", "--listen", control, "--http", http])

    def worker(who):
        return start(who, [winnow, "worker", "--model", main_model, "--coordinator", control, "--name", who])

    try:
        first = coordinator()
        stage = start(f"{name} stage", [*command, "stage", main_model, control])
        scorer = start(f"{name} speculator", [*command, "speculator", speculator, control])
        worker("other")
        url = first.wait_for(r"^ready (http://\S+)").group(1)
        for host in (stage, scorer):
            host.wait_for(r"^0 registered")
            host.wait_for(r"^0 ready")
        expected = ask(url, prompt)
        assert expected == "25502", f"answered {expected!r}"
        # Another coordinator at the same place: everyone is taken up again.
        assert first.end() == 0, "the coordinator ended badly"
        second = coordinator()
        second.wait_for(r"^ready ")
        stage.wait_for(r"^0 ready")
        assert ask(url, prompt) == expected, "another answer after the coordinator's restart"
        # Drained while another takes its place.
        worker("spare")
        status = stage.end()
        assert status == 0, f"the stage's host ended with {status}"
        stage.wait_for(r"^0 draining")
        stage.wait_for(r"^0 ended *$")
        assert ask(url, prompt) == expected, "another answer after the drain"
        status = scorer.end()
        assert status == 0, f"the speculator's host ended with {status}"
        print(f"PASS {name}: answered {expected} as a stage and as the speculator, after a restart of the coordinator, "
              "and drained")
        return 0
    except AssertionError as problem:
        print(f"FAIL {name}: {problem}")
        for process in processes:
            print(f"--- {process.name}")
            print("\n".join(process.all[-12:]))
        return 1
    finally:
        for process in processes:
            if process.process.poll() is None:
                process.process.kill()
            process.process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
