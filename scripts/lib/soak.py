"""One weather of scripts/soak.sh on a cluster that runs; prints a line and exits with 1 where something did not hold."""
import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import chaos_load
import soak_lost
from chaos_cluster import resident_mib
from soak_lost import Outcome

# Growth that is no leak: allocators keep some pages.
SLACK_MIB = 24
# Of the crowd: how often it comes, and after which time memory is measured that may not grow any more.
ROUNDS, WARM_UP = 6, 3


def children(launch):
    """The processes of a launch by their names."""
    pids = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            with open(f"/proc/{name}/cmdline", "rb") as line:
                words = line.read().decode().split("\0")
        except OSError:
            continue
        if int(fields[1]) == launch and fields[0] != "Z" and len(words) > 1:
            called = words[words.index("--name") + 1] if "--name" in words else words[1]
            pids[called if words[1] == "worker" else words[1]] = int(name)
    return pids


class Soaked:
    """The cluster's processes and what it says of itself."""

    def __init__(self, url, launch):
        self.url, self.host, self.launch = url, url.removeprefix("http://"), launch
        self.pids = children(launch)
        if len(self.pids) < 3:
            sys.exit(f"soak: found {self.pids} below {launch}, wanted a coordinator and two workers")

    def children(self):
        return children(self.launch)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read().decode()

    def total(self, metric, label=""):
        """The sum of a metric's values; of those that have a label."""
        lines = self.get("/metrics").splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines
            if line.startswith((metric + "{", metric + " ")) and label in line)

    def model(self):
        return json.loads(self.get("/v1/models"))["data"][0]["id"]

    def memory(self):
        return {name: resident_mib(pid) or 0 for name, pid in self.pids.items()}

    def descriptors(self):
        return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in self.pids.items()}

    def calm(self):
        """Waits until no request runs and no row is held; False where that takes over a minute."""
        for _ in range(600):
            busy = self.total("winnow_requests_running") + self.total("winnow_requests_waiting")
            if busy == 0 and self.total("winnow_kv_tokens_used") == 0:
                return True
            time.sleep(0.1)
        return False

    def troubles(self):
        """Faults and replays since the start, and processes that are not there any more."""
        found = {name: self.total(f"winnow_{name}_total") for name in ("faults", "replays")}
        found["ended"] = sum(1 for pid in self.pids.values() if resident_mib(pid) is None)
        return {name: int(count) for name, count in found.items() if count}


def threads_of(pid):
    return [int(task) for task in os.listdir(f"/proc/{pid}/task")]


def end_all(children):
    for child in children:
        child.kill()
        child.wait()


def busy(soaked, arguments):
    """Three clients with dense prompts beside eight busy loops."""
    if arguments.weather == "nice":
        for name, pid in soaked.pids.items():
            if name != "coordinator":
                for thread in threads_of(pid):
                    os.setpriority(os.PRIO_PROCESS, thread, 19)
    with open(arguments.text) as file:
        text = file.read(60_000)
    model, chance = soaked.model(), random.Random(1)
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
    end = time.monotonic() + arguments.seconds
    answers = []

    def client(seed):
        chance = random.Random(seed)
        while time.monotonic() < end and not chaos_load.stopping.is_set():
            start = chance.randrange(len(text) - 600)
            body = {"model": model, "prompt": text[start:start + 600], "max_tokens": 4, "temperature": 0,
                    "ignore_eos": True, "stream": False, "speculative_prefill": False}
            answers.append(chaos_load.ask(soaked.host, body, 600, chaos_load.Pulse()))

    before = soaked.memory()
    clients = [threading.Thread(target=client, args=(chance.random(),)) for _ in range(3)]
    try:
        for thread in clients:
            thread.start()
        if arguments.weather == "nice":
            # Beside eight loops the niced get a three-hundredth of a core: what they were asked is answered in peace.
            chaos_load.stopping.wait(arguments.seconds)
            end_all(loops)
        for thread in clients:
            thread.join()
    finally:
        end_all(loops)
    wrong = [answer.problem for answer in answers if answer.problem]
    return Outcome(len(answers), wrong, before, soaked.memory())


def slow(soaked, arguments):
    """The last stage is stopped nine tenths of the time."""
    requests = soak_lost.drawn(soaked, arguments, 200)
    references, _ = chaos_load.run(soaked.host, requests, 0.0, 120)
    before = soaked.memory()
    last = soaked.pids[sorted(name for name in soaked.pids if name != "coordinator")[-1]]
    is_over = threading.Event()
    most = dict(before)

    def pulses():
        while not is_over.is_set():
            os.kill(last, signal.SIGSTOP)
            time.sleep(0.09)
            os.kill(last, signal.SIGCONT)
            time.sleep(0.01)
            for name, mib in soaked.memory().items():
                most[name] = max(most[name], mib)

    end = time.monotonic() + arguments.seconds
    pulse = threading.Thread(target=pulses)
    pulse.start()
    count, wrong = 0, []
    try:
        while time.monotonic() < end and not chaos_load.stopping.is_set():
            answers, _ = chaos_load.run(soaked.host, requests, 0.0, 300)
            for answer, reference in zip(answers, references):
                count += 1
                if answer is None or answer.problem:
                    wrong.append(answer.problem if answer else "no answer")
                elif answer.text != reference.text:
                    wrong.append(f"{answer.text!r} instead of {reference.text!r}")
    finally:
        is_over.set()
        pulse.join()
        os.kill(last, signal.SIGCONT)
    return Outcome(count, wrong, before, most)


class Visit:
    """What came of a connection of the crowd."""

    def __init__(self, problem=None, is_refused=False):
        self.problem, self.is_refused = problem, is_refused


def is_refusal(answer):
    """Whether an answer says, as it should, that too many wait: what a crowd is told whose prompts are not read yet."""
    head, _, content = answer.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    if not lines[0].startswith(b"http/1.1 429 ") or not any(line.startswith(b"retry-after:") for line in lines):
        return False
    try:
        return json.loads(content)["error"]["code"] == "overloaded"
    except (ValueError, KeyError, TypeError):
        return False


async def visitor(soaked, body, kind, chance):
    """One connection of the crowd."""
    host, _, port = soaked.host.rpartition(":")
    link = socket.socket()
    link.setblocking(False)
    # Little fits on the way, so that a slow reader is felt.
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(link, (host, int(port)))
        content = json.dumps(body).encode()
        head = (f"POST /v1/completions HTTP/1.1\r\nHost: {soaked.host}\r\nContent-Type: application/json\r\n"
                f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n").encode()
        await loop.sock_sendall(link, head + content)
        begin, received = loop.time(), b""
        leaves = chance.uniform(0.05, 3)
        while True:
            if kind == "leaver":
                left = begin + leaves - loop.time()
                if left <= 0:
                    return Visit()
                try:
                    piece = await asyncio.wait_for(loop.sock_recv(link, 4096), left)
                except asyncio.TimeoutError:
                    return Visit()
            else:
                piece = await loop.sock_recv(link, 64 if kind == "slow" else 65536)
            if not piece:
                break
            received = (received + piece)[-4096:]
            if kind == "slow":
                await asyncio.sleep(0.5)
                if loop.time() - begin > 20:
                    return Visit()
        if is_refusal(received):
            return Visit(is_refused=True)
        if kind == "leaver" or b"[DONE]" in received:
            return Visit()
        return Visit(f"{kind}: ended with {received[-200:]!r}")
    except OSError as error:
        return Visit(f"{kind}: {error}" if kind == "guest" else None)
    finally:
        link.close()


async def crowd_round(soaked, requests, chance):
    kinds = ["slow", "leaver", "guest"]
    visits = [
        visitor(soaked, requests[index % len(requests)], kinds[index % 3], random.Random(chance.random()))
        for index in range(1000)
    ]
    return await asyncio.gather(*visits)


def crowd(soaked, arguments):
    """1,000 connections at a time: slow readers, leavers, guests; what is held after the warm-up is compared with the end."""
    requests = soak_lost.drawn(soaked, arguments, 300)
    for request in requests:
        request.update(stream=True, max_tokens=400)
        request["prompt"] = request["prompt"][:300]
    chance, wrong, before, opened, refused = random.Random(1), [], {}, {}, 0
    for turn in range(ROUNDS):
        visits = asyncio.run(crowd_round(soaked, requests, chance))
        wrong += [visit.problem for visit in visits if visit.problem]
        refused += sum(1 for visit in visits if visit.is_refused)
        if not soaked.calm():
            wrong.append(f"after round {turn + 1} requests or KV rows are left")
        time.sleep(1)
        print(f"  round {turn + 1}: MiB {soaked.memory()}, descriptors {soaked.descriptors()}", flush=True)
        if turn + 1 == WARM_UP:
            before, opened = soaked.memory(), soaked.descriptors()
    for name, count in soaked.descriptors().items():
        if count > opened[name] + 4:
            wrong.append(f"{name} has {count} descriptors open, {opened[name]} before")
    if refused > 1000 * ROUNDS // 10:
        wrong.append(f"{refused} were told that too many wait: more than a tenth")
    return Outcome(1000 * ROUNDS, wrong, before, soaked.memory(), said=f"{refused} told that too many wait")


def main():
    weathers = {
        "busy": (busy, 600), "nice": (busy, 120), "slow": (slow, 120), "crowd": (crowd, 0),
        "killed": (soak_lost.killed, 0), "spare": (soak_lost.spare, 0), "rolling": (soak_lost.rolling, 0),
        "drain": (soak_lost.drain, 0), "bubble": (soak_lost.bubble, 0),
    }
    parser = argparse.ArgumentParser(prog="soak.py")
    parser.add_argument("weather", choices=weathers)
    parser.add_argument("--url", required=True)
    parser.add_argument("--launch", type=int, required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--trace")
    parser.add_argument("--seconds", type=float)
    arguments = parser.parse_args()
    run, usual = weathers[arguments.weather]
    arguments.seconds = arguments.seconds if arguments.seconds is not None else usual
    signal.signal(signal.SIGTERM, lambda *_: chaos_load.stopping.set())
    soaked = Soaked(arguments.url, arguments.launch)
    begin = time.monotonic()
    outcome = run(soaked, arguments)
    wrong, said = outcome.wrong, [outcome.said] if outcome.said else []
    if not outcome.is_over:
        if not soaked.calm():
            wrong.append("requests or KV rows are left")
        troubles = soaked.troubles()
        said.append(f"faults, replays, ends: {troubles or 'none'}")
        if troubles and not outcome.troubles_are_wanted:
            wrong.append(f"troubles: {troubles}")
    for name, mib in outcome.after.items():
        if mib > outcome.before[name] * 1.1 + SLACK_MIB:
            wrong.append(f"{name} has grown from {outcome.before[name]} to {mib} MiB")
    if outcome.after:
        said.append("resident MiB " + ", ".join(f"{name} {outcome.before[name]} -> {mib}" for name, mib in outcome.after.items()))
    print(f"{arguments.weather}: {outcome.count} requests in {time.monotonic() - begin:.0f} s, {len(wrong)} wrong; "
          + "; ".join(said), flush=True)
    for what in wrong[:10]:
        print(f"WRONG  {what}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
