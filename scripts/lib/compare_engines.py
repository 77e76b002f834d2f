"""Runs Winnow and other engines in turns on the same weights and prints how they compare. compare_engines.sh explains
the options, installs the peers and starts it. Standard library only.

    compare_engines.py --needs OPTIONS...       checks the options and prints what they need, as shell assignments
    compare_engines.py --state DIR --winnow FILE --python FILE OPTIONS...
"""

import argparse
import ctypes
import json
import os
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

ENGINES = [
    "winnow-bf16", "winnow-int8", "winnow-f32", "transformers-bf16", "transformers-f32",
    "llama-bf16", "llama-q8_0", "llama-q4_0", "llama-q4_k_m",
]  # fmt: skip
OPTIONAL = {"winnow-f32", "transformers-f32"}
EVERY_LENGTH = {"winnow-bf16", "winnow-f32", "transformers-bf16", "transformers-f32", "llama-bf16"}
DECODERS = {"winnow-bf16", "winnow-int8", "llama-bf16", "llama-q8_0"}
PAIRS = {
    "prefill": [
        ("winnow-bf16", "transformers-bf16"), ("winnow-bf16", "llama-bf16"), ("winnow-f32", "transformers-f32"),
        ("winnow-bf16", "transformers-f32"),
        ("winnow-int8", "llama-q8_0"), ("winnow-int8", "llama-q4_0"), ("winnow-int8", "llama-q4_k_m"),
    ],
    "decode": [("winnow-bf16", "llama-bf16"), ("winnow-int8", "llama-q8_0")],
}  # fmt: skip
CONTEXT, STEPS = 512, 64

MODEL = "m251"
SHAPE = (
    "--hidden 1024 --layers 16 --ffn 4096 --heads 16 --kv-heads 4 --vocab 8192 --context 131072 --seed 1 --dtype bf16"
)

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


class Interrupted(BaseException):
    def __init__(self, number: int):
        self.code = 128 + number


def say(text: str = "") -> None:
    print(text, file=sys.stderr, flush=True)


# Options


class Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"error: {message}\n`scripts/compare_engines.sh --help` lists the options.", file=sys.stderr)
        sys.exit(USAGE)


def counts(text: str) -> list[int]:
    values = sorted({int(part) for part in text.split(",")})
    if values[0] < 64:
        raise argparse.ArgumentTypeError("lengths begin at 64")
    return values


def positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def cpu_list(text: str) -> list[int]:
    cpus = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return sorted(set(cpus))


def engine_list(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in ENGINES:
            raise argparse.ArgumentTypeError(f"there is no engine {name!r}: {' '.join(ENGINES)}")
    return [name for name in ENGINES if name in names]


def parse():
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--needs", action="store_true")
    parser.add_argument("--state", type=Path)
    parser.add_argument("--tokens", type=counts)
    parser.add_argument("--repetitions", type=positive)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engines", type=engine_list, default=[name for name in ENGINES if name not in OPTIONAL])
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--cpus", type=cpu_list)
    parser.add_argument("--timeout", type=positive, default=600)
    parser.add_argument("--llama-flash-attention", choices=["on", "off", "best"], default="best")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--python")
    parser.add_argument("--winnow")
    options = parser.parse_args()
    options.tokens = options.tokens or ([512] if options.quick else [512, 2048, 4096, 8192])
    options.repetitions = options.repetitions or (3 if options.quick else 5)
    allowed = sorted(os.sched_getaffinity(0))
    options.cpus = options.cpus or allowed[: options.threads]
    if not set(options.cpus) <= set(allowed):
        parser.error(f"--cpus {spelled(options.cpus)}: this process may use {spelled(allowed)}")
    if options.threads > len(options.cpus):
        parser.error(f"--threads {options.threads} on {len(options.cpus)} CPUs")
    if not any(name.startswith("winnow") for name in options.engines):
        parser.error("--engines names no winnow")
    for file in (options.python, options.winnow):
        if file and not shutil.which(file):
            parser.error(f"{file} is no program")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: no such folder")
    return options


def spelled(cpus: list[int]) -> str:
    return ",".join(map(str, cpus))


# Processes


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


# Engines


class Winnow:
    """A process a run: it loads, warms up with a run of the same length, and times one."""

    def __init__(self, name: str, bench):
        self.name, self.bench, self.facts = name, bench, {}
        self.dtype = name.split("-")[1]

    def start(self) -> None:
        pass

    def prepare(self, task: str, tokens: int) -> dict:
        return {}

    def run(self, task: str, tokens: int) -> dict:
        options = self.bench.options
        command = [options.winnow, "bench", task, "--model", str(self.bench.models / MODEL), "--repetitions", "1"]
        command += ["--threads", str(options.threads), "--cpus", spelled(options.cpus), "--dtype", self.dtype, "--json"]
        command += ["--tokens", str(tokens)] if task == "prefill" else ["--context", str(tokens), "--tokens", str(STEPS)]
        code, out, errors = self.bench.processes.output(command, limit=2 * options.timeout + 60)
        if code != 0:
            raise Fault(f"{shlex.join(command)}: exit status {code}\n{errors.strip()}", DATA if code == DATA else FAULT)
        report = json.loads(out)
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
        return self.bench.models / (MODEL if self.kind == "transformers" else f"{MODEL}-{self.dtype}.gguf")

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


class Bench:
    def __init__(self, options):
        self.options, self.state = options, options.state / "logs"
        self.models = options.models or options.state / "models"
        self.processes = Processes(options.cpus, options.threads)
        self.engines = {name: (Winnow if name.startswith("winnow") else Peer)(name, self) for name in options.engines}
        # (task, tokens) -> engine -> one entry a repetition: the run or None.
        self.runs: dict[tuple[str, int], dict[str, list]] = {}
        self.warm_ups: dict[tuple[str, int], dict[str, dict]] = {}
        self.too_slow: dict[tuple[str, int], list[str]] = {}
        self.missing: dict[str, str] = {}
        self.agreement = None
        self.load = os.getloadavg()[0]
        self.interrupted = False

    # Models

    def make(self, target: Path, title: str, command: list[str]) -> None:
        """A half-made model is never taken for a whole one."""
        if target.exists():
            return
        say(f"  making {title}")
        part = target.with_name(target.name + ".part")
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)
        code, _, errors = self.processes.output([word or str(part) for word in command], pinned=False)
        if code != 0:
            raise Fault(f"could not make {target}: {errors.strip()[-2000:]}")
        part.rename(target)

    def make_models(self) -> None:
        self.models.mkdir(parents=True, exist_ok=True)
        synth = [self.options.winnow, "model", "synth", *SHAPE.split(), "--out", "", "--format"]
        self.make(self.models / MODEL, "the model", synth + ["safetensors"])
        files = [engine for name, engine in self.engines.items() if name.startswith("llama")]
        if not files:
            return
        source = self.models / f"{MODEL}-bf16.gguf"
        self.make(source, "the same as GGUF", synth + ["gguf"])
        script = str(Path(__file__).with_name("compare_peer.py"))
        for peer in files:
            if peer.dtype == "bf16":
                continue
            command = [self.options.python, script, "quantize", str(source), "", peer.dtype]
            try:
                self.make(peer.model(), f"the same in {peer.dtype}", command)
            except Fault as fault:
                self.lose(peer, str(fault))

    # Measuring

    def lose(self, engine, why: str) -> None:
        engine.end()
        self.engines.pop(engine.name, None)
        self.missing[engine.name] = why
        say(f"  {engine.name}: {why}\n  going on WITHOUT {engine.name}")

    def tasks(self):
        quantised_at = 512 if 512 in self.options.tokens else self.options.tokens[0]
        for tokens in self.options.tokens:
            names = [name for name in self.engines if name in EVERY_LENGTH or tokens == quantised_at]
            yield "prefill", tokens, names
            if tokens == quantised_at:
                yield "decode", CONTEXT, [name for name in self.engines if name in DECODERS]

    def measure(self) -> None:
        say("\nStarting the peers")
        for engine in list(self.engines.values()):
            self.attempt(engine, engine.start)
        self.check_weights()
        for task, tokens, names in self.tasks():
            key = (task, tokens)
            results = self.runs[key] = {name: [] for name in names if name in self.engines}
            self.warm_ups[key], self.too_slow[key] = {}, []
            say(f"\n{title(key)}")
            # A longer prompt takes longer still.
            slow = [n for n in names if any(t == "prefill" and n in s for (t, _), s in self.too_slow.items())]
            for name in slow if task == "prefill" else []:
                self.call_slow(key, name)
            for name in list(results):
                engine = self.engines[name]
                if name not in self.too_slow[key]:
                    self.attempt(engine, engine.start)
                if name in self.engines and name not in self.too_slow[key]:
                    self.warm_ups[key][name] = self.attempt(engine, lambda: engine.prepare(task, tokens), key) or {}
            for repetition in range(self.options.repetitions):
                shift = repetition % max(1, len(names))
                for name in names[shift:] + names[:shift]:
                    engine = self.engines.get(name)
                    run = None
                    if engine and name not in self.too_slow[key]:
                        run = self.attempt(engine, lambda: engine.run(task, tokens), key)
                    if run:
                        run["tokens_per_second"] = (tokens if task == "prefill" else STEPS) / run["seconds"]
                        say(f"  {repetition + 1}/{self.options.repetitions}  {name:17}  "
                            f"{run['tokens_per_second']:8.1f} tokens/s")  # fmt: skip
                    results.setdefault(name, []).append(run)

    def attempt(self, engine, action, key=None):
        """None where the engine is too slow or gone."""
        try:
            return action()
        except TooSlow:
            if key:
                self.call_slow(key, engine.name)
            else:
                self.lose(engine, "does not start in time")
        except PeerFault as fault:
            self.lose(engine, str(fault))
        except FileNotFoundError as error:
            self.lose(engine, f"can't be started: {error}")
        return None

    def call_slow(self, key, name: str) -> None:
        self.too_slow[key].append(name)
        say(f"  {name}: over {self.options.timeout} s a run, left out of the rest")

    def check_weights(self) -> None:
        """Two peers that read different files must say the same of one prompt."""
        pair = [self.engines.get(name) for name in ("llama-bf16", "transformers-bf16")]
        if not all(pair):
            return
        a, b = (self.attempt(engine, engine.logits) for engine in pair)
        if a and b:
            self.agreement = statistics.correlation(a, b)
            say(f"  the logits of llama-bf16 and transformers-bf16 correlate by {self.agreement:.5f}")
            if self.agreement < 0.99:
                raise Fault("the model's two files do not hold the same weights: delete them, they are made again", DATA)

    # Reporting

    def rate(self, key, name):
        rates = [run["tokens_per_second"] for run in self.runs.get(key, {}).get(name, []) if run]
        return statistics.median(rates) if rates else None

    def ratios(self, key, ours: str, theirs: str) -> list[float]:
        runs = self.runs.get(key, {})
        pairs = zip(runs.get(ours, []), runs.get(theirs, []))
        return [a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs if a and b]

    def comparisons(self) -> list[dict]:
        result = []
        for key in self.runs:
            for ours, theirs in PAIRS[key[0]]:
                if ours not in self.runs[key] or theirs not in self.runs[key]:
                    continue
                entry = {"task": key[0], "tokens": key[1], "winnow": ours, "peer": theirs}
                entry |= {"winnow_tokens_per_second": self.rate(key, ours)}
                entry |= {"peer_tokens_per_second": self.rate(key, theirs)}
                ratios = self.ratios(key, ours, theirs)
                if ratios:
                    entry |= {"ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}
                    entry["pairs"] = len(ratios)
                elif theirs in self.too_slow[key] and entry["winnow_tokens_per_second"]:
                    entry["ratio_over"] = entry["winnow_tokens_per_second"] * self.options.timeout / key[1]
                else:
                    continue
                result.append(entry)
        return result

    def best_quantised(self, key):
        rates = {n: self.rate(key, n) for n in self.runs[key] if n.startswith("llama-q")}
        rates = {name: rate for name, rate in rates.items() if rate}
        return max(rates, key=rates.get) if rates else None

    def table(self) -> str:
        options = self.options
        lines = [f"{processor()}; threads: {options.threads}, on CPU {spelled(options.cpus)}; "
                 f"{options.repetitions} repetitions, in turns{'; INTERRUPTED' if self.interrupted else ''}", ""]  # fmt: skip
        keys = [key for key in self.runs if any(self.rate(key, name) for name in self.runs[key]) or self.too_slow[key]]
        if not keys:
            return "\n".join(lines + ["Nothing was measured."])
        rows = [["tokens/s, median"] + [title(key) for key in keys]]
        for name in options.engines:
            cells = []
            for key in keys:
                rate = self.rate(key, name)
                late = f"over {options.timeout} s" if name in self.too_slow[key] else "-"
                cells.append(late if rate is None else f"{rate:.1f}")
            rows.append([name] + cells)
        lines += layout(rows, 1) + [""]
        rows = [["compared", "Winnow", "peer", "", "Winnow/peer", "min", "max"]]
        for entry in self.comparisons():
            key = (entry["task"], entry["tokens"])
            mark = ""
            if entry["winnow"] == "winnow-int8" and key[0] == "prefill" and entry["peer"] == self.best_quantised(key):
                mark = "llama.cpp's best quantised"
            if "ratio" in entry:
                numbers = [f"{entry[name]:.2f}x" for name in ("ratio", "ratio_min", "ratio_max")]
            else:
                numbers = [f"over {entry['ratio_over']:.1f}x", "-", "-"]
            rows.append([title(key), entry["winnow"], entry["peer"], mark] + numbers)
        lines += layout(rows, 4) if len(rows) > 1 else ["Nothing to compare."]
        lines += ["", *self.notes()]
        return "\n".join(lines)

    def notes(self) -> list[str]:
        lines = []
        for name, engine in self.engines.items():
            facts = [engine.facts[fact] for fact in ("version", "kernel") if engine.facts.get(fact)]
            shares = [run["peak_share"] for runs in self.runs.values() for run in runs.get(name, []) if run and run.get("peak_share")]
            if shares:
                facts.append(f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of the measured peak")
            flash = [(key, warm[name]) for key, warm in self.warm_ups.items() if warm.get(name, {}).get("flash_attention")]
            if flash:
                said = (f"{warm['flash_attention']} at {title(key)}" for key, warm in flash)
                facts.append("flash attention " + ", ".join(said))
            if facts:
                lines.append(f"{name}: {'; '.join(facts)}")
        if self.agreement is not None:
            lines.append(f"Same weights: logits of llama-bf16 and transformers-bf16 correlate by {self.agreement:.5f}.")
        if self.load > 0.5:
            lines.append(f"The machine was not idle before the run: load average {self.load:.2f}.")
        lines += [f"NOT MEASURED: {name}: {why}" for name, why in self.missing.items()]
        return lines

    def report(self) -> dict:
        options = self.options
        tasks = [
            {
                "task": key[0], "tokens": key[1], "steps": STEPS if key[0] == "decode" else None,
                "too_slow": self.too_slow[key],
                "engines": {
                    name: {"tokens_per_second": self.rate(key, name), "runs": runs,
                           "warm_up": self.warm_ups[key].get(name) or None}
                    for name, runs in self.runs[key].items()
                },
            }
            for key in self.runs
        ]  # fmt: skip
        return {
            "processor": processor(), "threads": options.threads, "cpus": options.cpus, "model": MODEL,
            "repetitions": options.repetitions, "timeout_seconds": options.timeout,
            "load_average_before": self.load, "interrupted": self.interrupted, "missing": self.missing,
            "logit_correlation": self.agreement,
            "engines": {name: engine.facts for name, engine in self.engines.items()},
            "tasks": tasks, "comparisons": self.comparisons(),
        }  # fmt: skip


def title(key: tuple[str, int]) -> str:
    return f"{key[0]} {key[1]}"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def layout(rows: list[list[str]], left: int) -> list[str]:
    """Columns; the first ones are text, the others numbers."""
    kept = [column for column in range(len(rows[0])) if any(row[column] for row in rows)]
    widths = {column: max(len(row[column]) for row in rows) for column in kept}
    lines = []
    for number, row in enumerate(rows):
        cells = [row[c].ljust(widths[c]) if c < left else row[c].rjust(widths[c]) for c in kept]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("-" * (sum(widths.values()) + 2 * (len(widths) - 1)))
    return lines


def main() -> int:
    options = parse()
    if options.needs:
        needs = {
            kind: "yes" if any(name.startswith(kind) for name in options.engines) else ""
            for kind in ("llama", "transformers")
        }
        print(f"need_llama={needs['llama']} need_transformers={needs['transformers']}")
        print(f"given_python={shlex.quote(options.python or '')} given_winnow={shlex.quote(options.winnow or '')}")
        return 0

    def interrupt(number, _):
        # Once: what follows only cleans up and prints.
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        raise Interrupted(number)

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, interrupt)
    bench = Bench(options)
    code = 0
    try:
        bench.state.mkdir(parents=True, exist_ok=True)
        bench.make_models()
        bench.measure()
    except Interrupted as end:
        code, bench.interrupted = end.code, True
    except Fault as fault:
        say(f"error: {fault}")
        code = fault.code
    except OSError as error:
        say(f"error: {error}")
        code = FAULT
    finally:
        bench.processes.end_all()
    if bench.runs:
        say()
        print(bench.table(), flush=True)
        if options.json:
            options.json.write_text(json.dumps(bench.report(), indent=1) + "\n")
    return code or (UNAVAILABLE if bench.missing else 0)


sys.exit(main())
