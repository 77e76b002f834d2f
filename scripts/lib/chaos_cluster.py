"""The processes of a cluster under test: started by hand, behind the proxy, and started again when told to."""
import asyncio
import contextlib
import os
import random
import signal
import socket
import time
import urllib.error
import urllib.request

from chaos_proxy import INSIDE, OUTSIDE

# What workers run by default. Its rows come out the same, bit for bit, in any company; Float32's depend on OpenBLAS.
DTYPE = "bf16"


def free_port(taken):
    """A port below those that the system gives to outgoing connections, free at both addresses."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        if port in taken:
            continue
        try:
            for host in (INSIDE, OUTSIDE):
                with socket.socket() as probe:
                    probe.bind((host, port))
        except OSError:
            continue
        taken.add(port)
        return port


def resident_mib(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) // 1024
    except OSError:
        pass
    return None


class Member:
    """One process, whatever number of lives it has."""

    def __init__(self, name, role, arguments, port):
        self.name, self.role, self.arguments, self.port = name, role, arguments, port
        self.process = None
        self.busy = False  # A fault is under way.

    @property
    def pid(self):
        return self.process.pid if self.process and self.process.returncode is None else None


class Cluster:
    def __init__(self, winnow, models, logs, small, options):
        self.winnow, self.logs = winnow, logs
        taken = set()
        control, http = free_port(taken), free_port(taken)
        self.url = f"http://{INSIDE}:{http}"
        self.control, self.http = control, http
        main = os.path.join(models, "needle-main-2m")
        speculator = os.path.join(models, "needle-speculator-0.4m")
        self.members = {}

        def add(name, role, words):
            port = control if role == "coordinator" else free_port(taken)
            place = ["--listen", f"tcp://{INSIDE}:{port}", "--advertise", OUTSIDE, "--dtype", DTYPE]
            if role != "coordinator":
                place += ["--coordinator", f"tcp://{OUTSIDE}:{control}"]
            called = "needle" if role == "coordinator" else name
            self.members[name] = Member(name, role, words + place + ["--name", called, "--exit-with-stdin"], port)

        words = ["coordinator", "--model", main, "--speculator", speculator, "--http", f"{INSIDE}:{http}"]
        if small:
            add("coordinator", "coordinator", words + ["--stages", "2"] + options)
            for stage in range(2):
                add(f"worker-{stage}", "stage", ["worker", "--model", main])
            return
        words += ["--speculator-workers", "--pipeline", "a=2", "--pipeline", "b=2"]
        add("coordinator", "coordinator", words + options)
        for pipeline in "ab":
            for stage in range(2):
                add(f"{pipeline}-{stage}", "stage", ["worker", "--model", main, "--pipeline", pipeline])
        add("spare", "stage", ["worker", "--model", main])
        for index in range(2):
            add(f"speculator-{index}", "speculator", ["worker", "--role", "speculator", "--model", speculator])

    def pids(self):
        return {name: member.pid for name, member in self.members.items() if member.pid}

    async def start(self, name):
        member = self.members[name]
        with open(os.path.join(self.logs, f"{name}.log"), "ab") as log:
            member.process = await asyncio.create_subprocess_exec(
                self.winnow, *member.arguments, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True,
            )

    def signal(self, name, number):
        member = self.members[name]
        if member.pid:
            # One that ends by itself at this moment can't be told any more.
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, number)

    def metrics(self, prefix):
        """The lines of /metrics that begin so, as {labels: value}."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        values = {}
        for line in lines:
            if line.startswith(prefix + "{") or line.startswith(prefix + " "):
                labels, _, value = line[len(prefix):].rpartition(" ")
                values[labels] = float(value)
        return values

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.url + "/health/ready", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    async def until(self, what, seconds, is_so):
        """Whether `is_so` comes true in time; it may ask the server, so it runs on a thread."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if await asyncio.to_thread(is_so):
                    return True
            except (urllib.error.URLError, OSError):
                pass
            await asyncio.sleep(0.1)
        print(f"not in {seconds} s: {what}", flush=True)
        return False

    async def stop(self):
        """Ends all, the coordinator first, by SIGTERM; returns those that did not end with 0 or at all."""
        wrong = []
        for name, member in self.members.items():
            if not member.pid:
                continue
            os.kill(member.pid, signal.SIGCONT)
            os.kill(member.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(member.process.wait(), 20)
            except asyncio.TimeoutError:
                os.kill(member.pid, signal.SIGKILL)
                await member.process.wait()
            if member.process.returncode != 0:
                wrong.append(f"{name}: {member.process.returncode}")
        return wrong
