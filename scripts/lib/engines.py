"""The engines that compare_engines.py compares, and the processes they live in. Standard library only."""

import ctypes
import json
import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path

MODEL, SPECULATOR = "m251", "m251-speculator"
KEEP_RATE = 0.1  # of winnow-pruned and winnow-pruned-sparse
STEPS = 64  # tokens of a decode
USAGE, DATA, UNAVAILABLE, FAULT = 64, 65, 69, 70


class Fault(Exception):
    """Ends the run."""

    def __init__(self, message: str, code: int = FAULT):
        super().__init__(message)
        self.code = code


class PeerFault(Exception):
    """Ends one engine."""


class TooSlow(Exception):
    pass


def spelled(cpus: list[int]) -> str:
    return ",".join(map(str, cpus))


def environment(threads: int) -> dict[str, str]:
    result = dict(os.environ, CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        result[name] = str(threads)
    return result


class Processes:
    """Everything this script starts: pinned, out of the reach of a terminal's Ctrl-C, and ended with the script."""

    def __init__(self, cpus: list[int], threads: int):
        self.cpus, self.environment = cpus, environment(threads)
        self.running: set[subprocess.Popen] = set()
        self.libc = ctypes.CDLL(None)

    def start(self, command: list[str], pinned: bool = True, **pipes) -> subprocess.Popen:
        def prepare():
            self.libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if pinned:
                os.sched_setaffinity(0, self.cpus)

        settings = self.environment if pinned else None
        process = subprocess.Popen(command, start_new_session=True, preexec_fn=prepare, env=settings, **pipes)
        self.running.add(process)
        return process

    def end(self, process: subprocess.Popen) -> None:
        if process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        self.running.discard(process)

    def end_all(self) -> None:
        for process in list(self.running):
            self.end(process)

    def output(self, command: list[str], limit: float | None = None, pinned: bool = True) -> tuple[int, str, str]:
        process = self.start(
            command, pinned, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise TooSlow from None
        finally:
            self.end(process)
        return process.returncode, out, errors


class Winnow:
    """A process a run: it loads, warms up with a run of the same length, and times one. "pruned" is int8 and counts what
    its speculator takes."""

    def __init__(self, name: str, bench):
        self.name, self.bench, self.facts = name, bench, {}
        self.dtype = name.split("-")[1]

    def start(self) -> None:
        pass

    def prepare(self, task: str, tokens: int) -> dict:
        return {}

    def run(self, task: str, tokens: int) -> dict:
        options = self.bench.options
        pruned = self.dtype == "pruned"
        command = [options.winnow, "bench", "ttft" if pruned else task, "--model", str(self.bench.models / MODEL)]
        command += ["--threads", str(options.threads), "--cpus", spelled(options.cpus), "--repetitions", "1", "--json"]
        command += ["--dtype", "int8" if pruned else self.dtype]
        command += ["--tokens", str(tokens)] if task == "prefill" else ["--context", str(tokens), "--tokens", str(STEPS)]
        if pruned:
            command += ["--speculator", str(self.bench.models / SPECULATOR), "--keep-rate", str(KEEP_RATE)]
            command += ["--speculator-attention", "sparse" if self.name.endswith("-sparse") else "exact", "--no-dense"]
        code, out, errors = self.bench.processes.output(command, limit=2 * options.timeout + 60)
        if code != 0:
            raise Fault(f"{shlex.join(command)}: exit status {code}\n{errors.strip()}", DATA if code == DATA else FAULT)
        report = json.loads(out)
        if pruned:
            report["seconds"] = report["pruned_seconds"]
        self.facts["kernel"] = report.get("kernel")
        if report["seconds"] > options.timeout:
            raise TooSlow
        return {"seconds": report["seconds"], "peak_share": report.get("peak_share")}

    def end(self) -> None:
        pass


class Peer:
    """A child that holds its model and sleeps between its runs."""

    def __init__(self, name: str, bench):
        self.name, self.bench, self.facts = name, bench, {}
        self.kind, self.dtype = name.split("-")
        self.process = None

    def model(self) -> Path:
        stored = {"trishape": "w8a8", "xattention": "w8a8"}.get(self.dtype, self.dtype)
        names = {"transformers": MODEL, "llama": f"{MODEL}-{stored}.gguf", "openvino": f"{MODEL}-openvino-{stored}"}
        return self.bench.models / names[self.kind]

    def start(self) -> None:
        if self.process:
            return
        script = Path(__file__).with_name("compare_peer.py")
        self.log = self.bench.state / f"{self.name}.log"
        with open(self.log, "wb") as log:
            self.process = self.bench.processes.start(
                [self.bench.options.python, str(script), self.kind],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.facts |= self.ask(
            300, command="load", model=str(self.model()), dtype=self.dtype, threads=self.bench.options.threads,
            flash_attention=self.bench.options.llama_flash_attention,
        )  # fmt: skip

    def prepare(self, task: str, tokens: int) -> dict:
        runs = 2 if self.kind == "llama" and self.bench.options.llama_flash_attention == "best" else 1
        runs = 8 if self.kind == "openvino" else runs
        limit = self.bench.options.timeout
        # A little more for what is not timed: short runs, and the context of a decode.
        answer = self.ask(runs * limit * 1.1 + 60, command="prepare", task=task, tokens=tokens, steps=STEPS)
        if min(answer["warm_up_seconds"].values()) > limit:
            raise TooSlow
        return answer

    def run(self, task: str, tokens: int) -> dict:
        answer = self.ask(self.bench.options.timeout + 30, command="run")
        if answer["seconds"] > self.bench.options.timeout:
            raise TooSlow
        return answer

    def logits(self) -> list[float]:
        return self.ask(self.bench.options.timeout, command="logits", tokens=64)["logits"]

    def ask(self, limit: float, **command) -> dict:
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise PeerFault(self.last_words()) from None
        deadline, line = time.monotonic() + limit, b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                self.end()
                raise TooSlow
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            if not part:
                raise PeerFault(self.last_words())
            line += part
        answer = json.loads(line)
        if "error" in answer:
            raise PeerFault(answer["error"])
        return answer

    def last_words(self) -> str:
        self.end()
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "it ended" + (f": {lines[-1]}" if lines else "")

    def end(self) -> None:
        if self.process:
            self.bench.processes.end(self.process)
            self.process = None
