#!/usr/bin/env python3
"""Loads a running server as a hostile or thoughtless client would, and measures whether it stays awake.

    scripts/deaf_check.py BASE [--pid PID] [--loads LOAD,...]

BASE is the server's address, such as http://127.0.0.1:8080. While each load runs, /health/live, /health/ready and
/metrics are polled on new connections, and one stream runs all the time. Printed for each load: p50, p99 and maximum
of the probes' times, the stream's longest gap between two events, and with --pid (the coordinator's) the peak of its
resident memory above what it had idle. Standard library only. Exit code 1 when a bound is broken: probes within 0.2 s
at p99, gaps under 0.3 s, memory under 300 MiB.

Loads: `texts` eight texts of 15 MB at once, which a context of millions of tokens has tokenised and a smaller one
refused; `fitting` many texts as long as the context allows, half a megabyte at most, and as many chats; `values` bodies of very many numbers; `heads` 1,100 half-sent heads; `slow` 300 heads that come byte by byte; `bodies`
300 bodies that stop half way.
"""
import argparse
import http.client
import json
import multiprocessing
import socket
import sys
import threading
import time
import urllib.parse

BOUNDS = {"probe p99": 0.2, "stream gap": 0.3, "memory MiB": 300.0}


class Server:
    def __init__(self, base):
        address = urllib.parse.urlsplit(base)
        self.host, self.port = address.hostname, address.port or 80

    def connect(self, timeout=60):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def request(self, method, path, body=None, timeout=60):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def model(self):
        return json.loads(self.request("GET", "/v1/models")[1])["data"][0]


class Probes(threading.Thread):
    """Asks for health and metrics, one after another, each on a new connection."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.times, self.faults, self.ended = server, [], [], threading.Event()

    def run(self):
        paths = ["/health/live", "/health/ready", "/metrics"]
        while not self.ended.is_set():
            path = paths[len(self.times) % len(paths)]
            start = time.monotonic()
            try:
                status, _ = self.server.request("GET", path)
                if status != 200:
                    self.faults.append(f"{path}: {status}")
            except OSError as error:
                self.faults.append(f"{path}: {error}")
            self.times.append(time.monotonic() - start)
            time.sleep(0.01)

    def percentile(self, share):
        times = sorted(self.times)
        return times[min(len(times) - 1, int(share * len(times)))]


class Stream(threading.Thread):
    """One stream after another; the gaps between the events of each."""

    def __init__(self, server, model):
        super().__init__(daemon=True)
        self.server, self.gap, self.events, self.faults, self.ended = server, 0.0, 0, [], threading.Event()
        self.body = json.dumps({
            "model": model, "prompt": "Once upon a time", "stream": True, "ignore_eos": True, "max_tokens": 400,
        })

    def run(self):
        while not self.ended.is_set():
            connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)
            try:
                connection.request("POST", "/v1/completions", self.body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                if answer.status != 200:
                    self.faults.append(f"stream: {answer.status} {answer.read()[:200]!r}")
                    time.sleep(0.1)
                    continue
                last = None
                while line := answer.readline():
                    if not line.startswith(b"data:"):
                        continue
                    now = time.monotonic()
                    if last is not None:
                        self.gap = max(self.gap, now - last)
                    last, self.events = now, self.events + 1
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(f"stream: {error}")
            finally:
                connection.close()


class Memory(threading.Thread):
    """The resident memory of a process, and its peak."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.ended = pid, threading.Event()
        self.peak = self.idle = self.now()

    def now(self):
        if self.pid is None:
            return 0
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0

    def run(self):
        while self.pid is not None and not self.ended.is_set():
            self.peak = max(self.peak, self.now())
            time.sleep(0.005)


def together(count, action):
    """Runs `action` on so many threads and counts what each returned."""
    results, lock = {}, threading.Lock()

    def one(index):
        try:
            result = action(index)
        except OSError as error:
            result = type(error).__name__
        with lock:
            results[result] = results.get(result, 0) + 1

    threads = [threading.Thread(target=one, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def most(model):
    """Asks for more tokens than a prompt that was read leaves room for, so that nothing is computed."""
    return {"model": model["id"], "max_tokens": model["max_model_len"] - 1}


def texts(server, model):
    text = "the quick brown fox 12345 jumps over it. " * 370_000
    plain = json.dumps({"prompt": text}).encode()
    named = json.dumps(most(model) | {"prompt": text}).encode()
    chat = json.dumps(most(model) | {"messages": [{"role": "user", "content": text}]}).encode()
    bodies = [("/tokenize", plain), ("/v1/completions", named), ("/v1/chat/completions", chat), ("/tokenize", plain)]
    return lambda: together(8, lambda index: server.request("POST", *bodies[index % 4])[0])


def fitting(server, model):
    # About as many tokens as the context has, whatever the vocabulary; some are refused for it after the work.
    text = "the quick brown fox 12345 jumps over it. " * min(model["max_model_len"] * 3 // 40, 12_000)
    bodies = [json.dumps(body).encode() for body in ({"prompt": text}, {"messages": [{"role": "user", "content": text}]})]
    return lambda: together(
        64, lambda index: tuple(server.request("POST", "/tokenize", bodies[index % 2])[0] for _ in range(4)))


def values(server, model):
    body = json.dumps(most(model) | {"prompt": [1] * 1_000_000}).encode()
    nested = (b'{"model": "x", "prompt": ' + b"[" * 1_000_000)
    return lambda: together(16, lambda index: server.request("POST", "/v1/completions", [body, nested][index % 2])[0])


def held(server, count, first, more, seconds):
    """Opens connections that send `first` and then, now and then, `more`; they stay for `seconds`."""
    sockets = []
    for _ in range(count):
        try:
            connection = server.connect()
            connection.sendall(first)
            sockets.append(connection)
        except OSError:
            pass
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for connection in sockets:
            try:
                if more:
                    connection.sendall(more)
            except OSError:
                pass
        time.sleep(0.5)
    for connection in sockets:
        connection.close()
    return {"connections": len(sockets)}


def heads(server, model):
    return lambda: held(server, 1100, b"GET /health/live HTTP/1.1\r\nHos", b"", 5)


def slow(server, model):
    return lambda: held(server, 300, b"GET /health/live HTTP/1.1\r\nHost: x\r\n", b"X", 5)


def bodies(server, model):
    head = b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n"
    return lambda: held(server, 300, head + b" " * 100_000, b" ", 5)


def idle(server, model):
    return lambda: time.sleep(2) or {}


LOADS = {"idle": idle, "texts": texts, "fitting": fitting, "values": values, "heads": heads, "slow": slow, "bodies": bodies}


def attack(server, model, name, is_ready, start, answers):
    """Prepares a load, and runs it when told. In a process of its own, so that it delays no measurement."""
    action = LOADS[name](server, model)
    is_ready.set()
    start.wait()
    answers.put(action())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--loads", default=",".join(name for name in LOADS if name != "idle"))
    arguments = parser.parse_args()
    server = Server(arguments.base)
    model = server.model()
    # The threads of this process must not be copied into the loads'.
    multiprocessing.set_start_method("spawn")
    memory, broken = Memory(arguments.pid), []
    memory.start()
    for name in ["idle"] + arguments.loads.split(","):
        is_ready, start, answers = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
        load = multiprocessing.Process(
            target=attack, args=(server, model, name, is_ready, start, answers), daemon=True)
        load.start()
        is_ready.wait()
        probes, stream = Probes(server), Stream(server, model["id"])
        memory.peak = memory.now()
        probes.start()
        stream.start()
        time.sleep(1)
        began = time.monotonic()
        start.set()
        answer = answers.get()
        taken = time.monotonic() - began
        load.join()
        for thread in (probes, stream):
            thread.ended.set()
        probes.join(60)
        stream.join(60)
        measured = {
            "probe p99": probes.percentile(0.99), "stream gap": stream.gap, "memory MiB": memory.peak - memory.idle,
        }
        faults = probes.faults + stream.faults
        print(
            f"{name:8} {taken:6.2f} s  probes {len(probes.times):5}: p50 {probes.percentile(0.5) * 1000:6.1f} ms, "
            f"p99 {measured['probe p99'] * 1000:6.1f} ms, max {max(probes.times) * 1000:6.1f} ms  "
            f"stream {stream.events:5} events, longest gap {stream.gap * 1000:6.1f} ms  "
            f"memory +{measured['memory MiB']:.0f} MiB  answers {answer}", flush=True)
        for fault in faults[:3]:
            print(f"         {fault}")
        broken += [f"{name}: {what} {measured[what]:.3f}" for what, bound in BOUNDS.items() if measured[what] > bound]
        broken += [f"{name}: {fault}" for fault in faults[:1]]
    print("broken: " + "; ".join(broken) if broken else "awake")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
