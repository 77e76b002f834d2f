"""The captures of scripts/try_capture.sh. Standard library only; tshark writes and reads them.

    try_capture.py FOLDER CLUSTER NAMESPACE-PREFIX
"""

import json
import random
import re
import subprocess
import sys
import time

work, cluster, mark = sys.argv[1:]
winnow = f"{work}/winnow"
main, small = f"{cluster}/models/needle-main-2m", f"{cluster}/models/needle-speculator-0.4m"
with open(f"{cluster}/prompts/needle-2048.txt", encoding="utf-8") as file:
    prompt = file.read().removesuffix("\n")
failures = []


def verdict(holds: bool, text: str) -> None:
    print(f"  {'ok  ' if holds else 'FAIL'} {text}", flush=True)
    if not holds:
        failures.append(text)


def inside(host: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", f"{mark}-{host}", *words]


def wait_for(path: str, pattern: str, process: subprocess.Popen, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with open(path, encoding="utf-8", errors="replace") as file:
            if re.search(pattern, file.read()):
                return
        time.sleep(0.05)
    with open(path, encoding="utf-8", errors="replace") as file:
        sys.exit(f"no {pattern!r} in {path}:\n{file.read()[-3000:]}")


# In the coordinator's namespace: the client and the server share its loopback.
ASK = """
import json, sys, urllib.request
body = sys.stdin.buffer.read()
request = urllib.request.Request("http://127.0.0.1:8080/v1/completions", body, {"Content-Type": "application/json"})
sys.stdout.write(urllib.request.urlopen(request, timeout=120).read().decode())
"""


def ask(keep_rate: float | None) -> str:
    pruning = {"enabled": False} if keep_rate is None else {"enabled": True, "keep_rate": keep_rate}
    body = {"model": "needle", "prompt": prompt, "max_tokens": 6, "temperature": 0, "speculative_prefill": pruning}
    done = subprocess.run(inside("a", sys.executable, "-c", ASK), input=json.dumps(body).encode(), capture_output=True)
    if done.returncode != 0:
        sys.exit(f"no answer: {done.stderr.decode()[-1000:]}")
    return json.loads(done.stdout)["choices"][0]["text"].strip()


def capture(name: str, has_keys: bool) -> tuple[str, list[str]]:
    """One cluster's life with two requests, and all packets of it."""
    path = f"{work}/{name}.pcap"
    with open(f"{work}/{name}-tshark.log", "wb") as log:
        shark = subprocess.Popen(
            inside("desk", "tshark", "-q", "-i", "to-a", "-i", "to-b", "-i", "to-c", "-B", "64", "-F", "pcap", "-w", path),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_for(f"{work}/{name}-tshark.log", "Capturing on", shark)
    time.sleep(1)  # tshark says so a moment before it does
    processes = []

    def start(host: str, label: str, *words: str) -> tuple[str, subprocess.Popen]:
        path = f"{work}/{name}-{label}.log"
        with open(path, "wb") as log:
            processes.append(subprocess.Popen(inside(host, winnow, *words), stdin=subprocess.DEVNULL, stdout=log,
                                              stderr=log))
        return path, processes[-1]

    def key(label: str) -> list[str]:
        return ["--key", f"{work}/keys/{label}.key"] if has_keys else ["--insecure"]

    log, coordinator = start(
        "a", "coordinator", "coordinator", "--model", main, "--speculator", small, "--speculator-workers", "--name",
        "needle", "--stages", "2", "--listen", "tcp://10.78.0.1:5700", "--http", "127.0.0.1:8080",
        *(["--keys", f"{work}/keys"] if has_keys else ["--insecure"]))
    for host, label, model, more in [("b", "w0", main, []), ("c", "w1", main, []),
                                     ("b", "score", small, ["--role", "speculator"])]:
        number = {"a": 1, "b": 2, "c": 3}[host]
        port = 5711 if more else 5710
        start(host, label, "worker", "--model", model, "--coordinator", "tcp://10.78.0.1:5700", "--name", label,
              "--listen", f"tcp://10.78.0.{number}:{port}", *more, *key(label))
    wait_for(log, "ready http", coordinator)
    answers = []
    until = time.monotonic() + 30
    while not answers:
        try:
            answers = [ask(None), ask(0.1)]
        except SystemExit:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(timeout=30)
    shark.terminate()
    shark.wait(timeout=30)
    return path, answers


def fields(path: str, display: str, *names: str) -> list[list[str]]:
    words = ["tshark", "-r", path, "-Y", display, "-T", "fields"]
    for name in names:
        words += ["-e", name]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def streams(path: str) -> dict[tuple[str, str, str, str], bytes]:
    """What each side of each connection said, in order; what was seen on both links it crossed counts once."""
    sides: dict[tuple[str, str, str, str], dict[int, bytes]] = {}
    for source, source_port, target, target_port, sequence, payload in fields(
            path, "tcp.len > 0", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.seq", "tcp.payload"):
        side = sides.setdefault((source, source_port, target, target_port), {})
        data = bytes.fromhex(payload.replace(":", ""))
        if len(data) > len(side.get(int(sequence), b"")):
            side[int(sequence)] = data
    joined = {}
    for name, parts in sides.items():
        text, end = bytearray(), 1
        for sequence in sorted(parts):
            part = parts[sequence][max(0, end - sequence):]
            if part:
                text += part
                end = sequence + len(parts[sequence])
        joined[name] = bytes(text)
    return joined


def windows(sides: dict, count: int = 400, length: int = 32) -> list[bytes]:
    """Pieces of what was said that are no zeros and no pattern, from every side that said much."""
    generator = random.Random(1)
    found = []
    for text in sides.values():
        if len(text) < 2000:
            continue
        for _ in range(count):
            start = generator.randrange(len(text) - length)
            piece = text[start:start + length]
            if len(set(piece)) >= 16:
                found.append(piece)
    return found


subprocess.run([winnow, "keys", "new", "w0", "w1", "score=speculator", "--dir", f"{work}/keys"], check=True,
               stdout=subprocess.DEVNULL)
print("\nIn plain text, twice", flush=True)
first, answers = capture("plain-1", has_keys=False)
second, again = capture("plain-2", has_keys=False)
verdict(answers == again == ["25502", "25502"], f"answers {answers} and {again}")
shown, text = streams(first), b"\0".join(streams(second).values())
pieces = [piece for piece in windows(shown) if piece in text]
sides = sorted({f"{name[0]} to {name[2]}:{name[3]}" for name, said in shown.items() if any(p in said for p in pieces)})
size = sum(map(len, shown.values()))
verdict(len(pieces) >= 200, f"{size / 1e6:.1f} MB said; {len(pieces)} pieces of 32 bytes found in both captures, on: "
        + ", ".join(sides))

print("\nWith keys", flush=True)
third, answers = capture("keys", has_keys=True)
verdict(answers == ["25502", "25502"], f"answers {answers}")
said = streams(third)
with open(third, "rb") as file:
    packets = file.read()
text = b"\0".join(said.values())
verdict(sum(map(len, said.values())) >= size, f"{sum(map(len, said.values())) / 1e6:.1f} MB said, as much as in plain text")
seen = sum(1 for piece in pieces if piece in text or piece in packets)
verdict(seen == 0, f"of the {len(pieces)} pieces of tokens and rows {seen} are in it")
words = sorted(set(re.findall(r"[A-Za-z0-9]{5,}", prompt)))
found = [word for word in words if word.encode() in text or word.encode() in packets]
verdict(not found, f"of {len(words)} words of the prompt {len(found)} are in it{': ' + ', '.join(found) if found else ''}")
mechanisms = {name: data[12:32].rstrip(b"\0").decode("ascii", "replace") for name, data in said.items()}
greeted = all(data[:1] == b"\xff" and data[9:10] == b"\x7f" for data in said.values())
verdict(greeted and set(mechanisms.values()) == {"CURVE"},
        f"{len(said)} sides of {len(said) // 2} connections, each begins as CURVE: {sorted(set(mechanisms.values()))}")
others = fields(third, "not tcp and not arp and not icmp and not icmpv6", "frame.protocols")
verdict(not others, f"{len(others)} packets of other protocols than TCP, ARP and ICMP")
sys.exit(1 if failures else 0)
