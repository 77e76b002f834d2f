"""The checks of scripts/try_ssh.sh, run at the operator's desk. Standard library only.

    try_ssh.py WINNOW FOLDER PROMPTS NAMESPACE-PREFIX
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

from running import running

winnow, work, prompts, mark = sys.argv[1:]
url = "http://10.77.0.1:8080"
failures = []


def verdict(holds: bool, text: str) -> None:
    print(f"  {'ok  ' if holds else 'FAIL'} {text}", flush=True)
    if not holds:
        failures.append(text)


class Launch:
    """One `winnow launch` and its log."""

    def __init__(self, name: str) -> None:
        self.path = f"{work}/{name}.log"
        self.began = time.monotonic()
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(
                [winnow, "launch", f"{work}/cluster.yaml", "--push", "--ssh-config", f"{work}/ssh_config",
                 "--timeout", "120"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, process_group=0)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.process.kill()
            sys.exit(f"the cluster did not start:\n{self.log()[-4000:]}")
        self.ready = time.monotonic() - self.began

    def log(self) -> str:
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()


def ask(keep_rate: float | None, max_tokens: int = 6) -> dict:
    with open(f"{prompts}/needle-2048.txt", encoding="utf-8") as file:
        prompt = file.read().removesuffix("\n")
    pruning = {"enabled": False} if keep_rate is None else {"enabled": True, "keep_rate": keep_rate}
    body = {"model": "needle", "prompt": prompt, "max_tokens": max_tokens, "temperature": 0,
            "speculative_prefill": pruning}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


def text(answer: dict) -> str:
    return answer["choices"][0]["text"].strip()


def held(kind: str) -> dict[int, str]:
    """Processes of the hosts whose command line begins with this command of winnow."""
    return {pid: line for pid, line in running(work).items() if line.split()[1:2] == [kind]}


def wait_until_empty(limit: float) -> float | None:
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if not running(work):
            return time.monotonic() - began
        time.sleep(0.05)
    return None


def ssh_of(process: str, launcher: int) -> int:
    """The ssh of this process of the launch: the one whose far end is the hold of that worker, found by its host."""
    host = {"worker-0": "10.77.0.1", "worker-1": "10.77.0.2", "worker-2": "10.77.0.3"}[process]
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().decode().split("\0")
        except OSError:
            continue
        if parent == launcher and words[0].endswith("ssh") and host in words:
            return int(name)
    sys.exit(f"no ssh to {host}")


def check(topology: str) -> tuple[int, list[str]]:
    """`winnow check` of a file, by the program that is on the hosts: its status and what stands in the way."""
    run = subprocess.run([winnow, "check", topology, "--ssh-config", f"{work}/ssh_config", "--json"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    problems = json.loads(run.stdout)["problems"] if run.stdout else [{"severity": "host", "problem": run.stderr}]
    return run.returncode, [f"{problem.get('host')}: {problem['problem']}" for problem in problems
                            if problem["severity"] != "warning"]


print("\nBefore a launch", flush=True)
for host in "abc":
    subprocess.run(["cp", winnow, f"{work}/{host}/winnow"], check=True)
code, found = check(f"{work}/cluster.yaml")
verdict(code == 0 and not found, f"winnow check: nothing stands in the way {found or ''}")
# Stage 1 on b hands its rows to stage 2 on c.
subprocess.run(["ip", "-n", f"{mark}-b", "route", "add", "unreachable", "10.77.0.3"], check=True)
code, found = check(f"{work}/cluster.yaml")
subprocess.run(["ip", "-n", f"{mark}-b", "route", "delete", "unreachable", "10.77.0.3"], check=True)
verdict(code == 69 and any("10.77.0.3:5712 can't be reached from b" in problem for problem in found),
        f"b has no way to c: {'; '.join(found)}")
with open(f"{work}/cluster.yaml") as file:
    text_of_file = file.read()
with open(f"{work}/wrong.yaml", "w") as file:
    file.write(text_of_file.replace("c: {address: 10.77.0.3,", "c: {address: 10.77.0.254, ssh: 10.77.0.3,"))
code, found = check(f"{work}/wrong.yaml")
verdict(code == 69 and any("can't be bound" in problem for problem in found), f"c has another's address: {'; '.join(found)}")

print("\nAnswers over three hosts", flush=True)
launch = Launch("first")
processes = running(work)
verdict(len(held("coordinator")) == 1 and len(held("worker")) == 3 and len(held("hold")) == 4,
        f"ready after {launch.ready:.1f} s with --push: a coordinator and three workers, each under a hold")
for keep_rate in (None, 0.1):
    answer = ask(keep_rate)
    report = answer.get("speculative_prefill") or {}
    verdict(text(answer) == "25502",
            f"{'dense ' if keep_rate is None else 'pruned'} answer {text(answer)!r}, "
            f"{report.get('kept_tokens')} of {report.get('prompt_tokens')} tokens")
endpoints = sorted(set(re.findall(r"--listen (\S+)", "\n".join(processes.values()))))
verdict(endpoints == [f"tcp://10.77.0.1:{port}" for port in (5700, 5710)]
        + ["tcp://10.77.0.2:5711", "tcp://10.77.0.3:5712"], f"they listen at {', '.join(endpoints)}")
sent = subprocess.run(["ip", "-n", f"{mark}-b", "-s", "-j", "link", "show", "eth0"],
                      capture_output=True, text=True, check=True).stdout
verdict(json.loads(sent)[0]["stats64"]["tx"]["bytes"] > 1 << 20,
        f"host b has sent {json.loads(sent)[0]['stats64']['tx']['bytes'] / 1e6:.1f} MB")

print("\nOne ssh connection is killed under load", flush=True)
answers, errors, stop = [], [], threading.Event()


def client(number: int) -> None:
    while not stop.is_set():
        try:
            answer = ask(0.1 if number % 2 else None)
            answers.append((text(answer), (answer.get("winnow") or {}).get("replays", 0)))
        except Exception as error:  # noqa: BLE001: whatever it is, a request was lost
            errors.append(repr(error))


threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
while len(answers) < 8 and not errors:
    time.sleep(0.05)
before = held("worker")
victim = ssh_of("worker-1", launch.process.pid)
killed = time.monotonic()
os.kill(victim, signal.SIGKILL)
count = len(answers)
while time.monotonic() - killed < 60 and not (
        len(held("worker")) == 3 and set(held("worker")) != set(before) and len(answers) >= count + 12):
    time.sleep(0.05)
back = time.monotonic() - killed
stop.set()
for thread in threads:
    thread.join()
after = held("worker")
verdict(len(set(after) - set(before)) == 1 and len(after) == 3, f"one worker is another process, back under load after {back:.1f} s")
verdict(not errors, f"no request lost ({len(answers)} answered{', ' + '; '.join(errors[:3]) if errors else ''})")
verdict({answer for answer, _ in answers} == {"25502"},
        f"all answered alike, {sum(1 for _, replays in answers if replays)} of them after a replay")
verdict("the ssh connection to b has ended" in launch.log(), "the log says which connection ended")

print("\nThe end", flush=True)
launch.process.send_signal(signal.SIGINT)
code = launch.process.wait(timeout=30)
left = wait_until_empty(10)
verdict(code == 130 and left is not None, f"SIGINT: exit status {code}, nothing left after {left or -1:.1f} s")

launch = Launch("second")
stop.clear()
answers.clear()
threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(4)]
for thread in threads:
    thread.start()
while len(answers) < 4:
    time.sleep(0.05)
launch.process.kill()
launch.process.wait()
left = wait_until_empty(30)
stop.set()
verdict(left is not None and left <= 10,
        f"SIGKILL of the launcher with requests in flight: nothing left after {-1 if left is None else left:.1f} s")

launch = Launch("third")
# A launcher that hears and says nothing for a while, on a host that answers.
on_c = [pid for pid, line in held("worker").items() if "10.77.0.3" in line]
launch.process.send_signal(signal.SIGSTOP)
time.sleep(12)
alive = all(os.path.exists(f"/proc/{pid}") for pid in on_c)
launch.process.send_signal(signal.SIGCONT)
verdict(bool(on_c) and alive, "the launcher is stopped for 12 s: c's worker lives")
subprocess.run(["ip", "link", "set", "to-c", "down"], check=True)
cut = time.monotonic()
while any(os.path.exists(f"/proc/{pid}") for pid in on_c) and time.monotonic() - cut < 60:
    time.sleep(0.1)
took = time.monotonic() - cut
verdict(took <= 12, f"host c is cut off: its worker ended itself after {took:.1f} s")
subprocess.run(["ip", "link", "set", "to-c", "up"], check=True)
launch.process.send_signal(signal.SIGTERM)
code = launch.process.wait(timeout=40)
left = wait_until_empty(20)
verdict(code == 0 and left is not None, f"SIGTERM: exit status {code}, nothing left on any host")

print("\nBy hand, with nothing said of the workers' addresses", flush=True)
models = os.path.join(os.path.dirname(prompts), "models")
main = f"{models}/needle-main-2m"
by_hand = []


def start(host: str, *words: str) -> None:
    log = open(f"{work}/by-hand-{host}.log", "wb")
    by_hand.append(subprocess.Popen(["ip", "netns", "exec", f"{mark}-{host}", f"{work}/{host}/winnow", *words],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log))


start("a", "coordinator", "--model", main, "--name", "needle", "--stages", "2", "--listen", "tcp://*:5700",
      "--advertise", "10.77.0.1", "--http", "10.77.0.1:8080", "--insecure")
start("b", "worker", "--model", main, "--coordinator", "tcp://10.77.0.1:5700", "--insecure")
start("c", "worker", "--model", main, "--coordinator", "tcp://10.77.0.1:5700", "--listen", "tcp://*:5710",
      "--insecure")
answer, until = "", time.monotonic() + 30
while not answer and time.monotonic() < until:
    try:
        answer = text(ask(None))
    except OSError:
        time.sleep(0.1)
bound = [subprocess.run(["ip", "netns", "exec", f"{mark}-{host}", "ss", "-Hltn", "sport = :5710"], capture_output=True,
                        text=True, check=True).stdout.split()[3:4] for host in ("b", "c")]
verdict(answer == "25502" and bound == [["10.77.0.2:5710"], ["*:5710"]],
        f"answer {answer!r}; listening at {bound[0]} and {bound[1]}, known by the route to the coordinator")
for process in by_hand:
    process.terminate()
for process in by_hand:
    process.wait(timeout=20)
sys.exit(1 if failures else 0)
