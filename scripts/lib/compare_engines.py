"""Runs Winnow and other engines in turns on the same weights and prints how they compare. compare_engines.sh explains
the options, installs the peers and starts it. Standard library only.

    compare_engines.py --needs OPTIONS...       checks the options and prints what they need, as shell assignments
    compare_engines.py --state DIR --winnow FILE --python FILE OPTIONS...
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import sys
from pathlib import Path

from engine_results import Results, title
from engines import (
    DATA, FAULT, MODEL, SPECULATOR, STEPS, UNAVAILABLE, USAGE,
    Fault, Peer, PeerFault, Processes, TooSlow, Winnow, spelled,
)  # fmt: skip
from llama_bench import LlamaBench

ENGINES = [
    "winnow-bf16", "winnow-int8", "winnow-f32", "winnow-pruned", "winnow-pruned-sparse", "transformers-bf16",
    "transformers-f32", "llama-bf16", "llama-f32", "llama-q8_0", "llama-q4_0", "llama-q4_k_m", "llama-bench-bf16",
    "llama-bench-q8_0",
    "openvino-bf16", "openvino-int8", "openvino-w8a8", "openvino-trishape", "openvino-xattention",
]  # fmt: skip
OPTIONAL = {
    "winnow-f32", "winnow-pruned", "winnow-pruned-sparse", "transformers-f32", "llama-f32", "openvino-trishape",
    "openvino-xattention",
}  # fmt: skip
# Measured at every length; the others at one.
EVERY_LENGTH = {name for name in ENGINES if not name.startswith(("llama-q", "llama-bench-q", "openvino-int8"))}
PREFILL_ONLY = {name for name in ENGINES if name.startswith(("transformers", "llama-q4"))} | {
    "winnow-pruned", "winnow-pruned-sparse", "openvino-trishape", "openvino-xattention"}  # fmt: skip
CONTEXT = 512

SHAPE = (
    "--hidden 1024 --layers 16 --ffn 4096 --heads 16 --kv-heads 4 --vocab 8192 --context 131072 --seed 1 --dtype bf16"
)
SPECULATOR_SHAPE = (
    "--hidden 256 --layers 4 --ffn 1024 --heads 8 --kv-heads 2 --vocab 8192 --context 131072 --seed 2 --dtype bf16"
)


class Interrupted(BaseException):
    def __init__(self, number: int):
        self.code = 128 + number


def say(text: str = "") -> None:
    print(text, file=sys.stderr, flush=True)


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
    parser.add_argument("--llama-bench")
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
    if not options.llama_bench:
        options.engines = [name for name in options.engines if not name.startswith("llama-bench")]
    for file in (options.python, options.winnow, options.llama_bench):
        if file and not shutil.which(file):
            parser.error(f"{file} is no program")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: no such folder")
    return options


class Bench:
    def __init__(self, options):
        self.options, self.state = options, options.state / "logs"
        self.models = options.models or options.state / "models"
        self.processes = Processes(options.cpus, options.threads)
        kinds = {"winnow": Winnow, "llama-bench": LlamaBench}
        kind = {name: next((kinds[known] for known in kinds if name.startswith(f"{known}-")), Peer) for name in ENGINES}
        self.engines = {name: kind[name](name, self) for name in options.engines}
        facts = {name: engine.facts for name, engine in self.engines.items()}
        self.results = Results(options, load=os.getloadavg()[0], facts=facts)

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
        winnow, script = self.options.winnow, str(Path(__file__).with_name("compare_peer.py"))
        synth = [winnow, "model", "synth", *SHAPE.split(), "--out", "", "--format"]
        self.make(self.models / MODEL, "the model", synth + ["safetensors"])
        if any(name.startswith("winnow-pruned") for name in self.engines):
            speculator = [winnow, "model", "synth", *SPECULATOR_SHAPE.split(), "--out", ""]
            self.make(self.models / SPECULATOR, "its speculator", speculator)
        source = self.models / f"{MODEL}-bf16.gguf"
        if any(name.startswith("llama") for name in self.engines):
            self.make(source, "the same as GGUF", synth + ["gguf"])
        for name, peer in list(self.engines.items()):
            if name.startswith("llama") and peer.dtype != "bf16":
                command = [self.options.python, script, "quantize", str(source), "", peer.dtype]
                self.make_for(peer, peer.model(), f"the same in {peer.dtype}", command)
            elif name.startswith("openvino"):
                convert = [self.options.python, script, "convert"]
                exported = self.models / f"{MODEL}-openvino-bf16"
                self.make_for(
                    peer, exported, "the same for OpenVINO", convert + [str(self.models / MODEL), "", "bf16"])
                if name in self.engines and peer.model() != exported:
                    kind = peer.model().name.rpartition("-")[2]
                    command = convert + [str(exported), "", kind]
                    self.make_for(peer, peer.model(), f"the same for OpenVINO in {kind}", command)

    def make_for(self, peer, target: Path, title: str, command: list[str]) -> None:
        """A peer whose model can't be made is left out."""
        try:
            self.make(target, title, command)
        except (Fault, FileNotFoundError) as fault:
            self.lose(peer, str(fault))

    # Measuring

    def lose(self, engine, why: str) -> None:
        engine.end()
        self.engines.pop(engine.name, None)
        self.results.missing[engine.name] = why
        say(f"  {engine.name}: {why}\n  going on WITHOUT {engine.name}")

    def tasks(self):
        quantised_at = 512 if 512 in self.options.tokens else self.options.tokens[0]
        for tokens in self.options.tokens:
            names = [name for name in self.engines if name in EVERY_LENGTH or tokens == quantised_at]
            yield "prefill", tokens, names
            if tokens == quantised_at:
                yield "decode", CONTEXT, [name for name in self.engines if name not in PREFILL_ONLY]

    def measure(self) -> None:
        say("\nStarting the peers")
        for engine in list(self.engines.values()):
            self.attempt(engine, engine.start)
        self.check_weights()
        for task, tokens, names in self.tasks():
            key = (task, tokens)
            runs = self.results.runs[key] = {name: [] for name in names if name in self.engines}
            self.results.warm_ups[key], self.results.too_slow[key] = {}, []
            say(f"\n{title(key)}")
            # A longer prompt takes longer still.
            slow = [n for n in names if any(t == "prefill" and n in s for (t, _), s in self.results.too_slow.items())]
            for name in slow if task == "prefill" else []:
                self.call_slow(key, name)
            for name in list(runs):
                engine = self.engines[name]
                if name not in self.results.too_slow[key]:
                    self.attempt(engine, engine.start)
                if name in self.engines and name not in self.results.too_slow[key]:
                    warm_up = self.attempt(engine, lambda: engine.prepare(task, tokens), key)
                    self.results.warm_ups[key][name] = warm_up or {}
            for repetition in range(self.options.repetitions):
                shift = repetition % max(1, len(names))
                for name in names[shift:] + names[:shift]:
                    engine = self.engines.get(name)
                    run = None
                    if engine and name not in self.results.too_slow[key]:
                        run = self.attempt(engine, lambda: engine.run(task, tokens), key)
                    if run:
                        run["tokens_per_second"] = (tokens if task == "prefill" else STEPS) / run["seconds"]
                        say(f"  {repetition + 1}/{self.options.repetitions}  {name:19}  "
                            f"{run['tokens_per_second']:8.1f} tokens/s")  # fmt: skip
                    runs.setdefault(name, []).append(run)

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
        self.results.too_slow[key].append(name)
        say(f"  {name}: over {self.options.timeout} s a run, left out of the rest")

    def check_weights(self) -> None:
        """Peers that read different files must say the same of one prompt."""
        names = [name for name in ("transformers-bf16", "llama-bf16", "openvino-bf16") if name in self.engines]
        said = {name: self.attempt(self.engines[name], self.engines[name].logits) for name in names} if names[1:] else {}
        (first, *others) = [(name, logits) for name, logits in said.items() if logits] or [None]
        for name, logits in others:
            agreement = self.results.agreement[f"{first[0]} and {name}"] = statistics.correlation(first[1], logits)
            say(f"  the logits of {first[0]} and {name} correlate by {agreement:.5f}")
            if agreement < 0.99:
                raise Fault("the model's files do not hold the same weights: delete them, they are made again", DATA)


def main() -> int:
    options = parse()
    if options.needs:
        needs = {
            kind: "yes" if any(name.startswith(kind) for name in options.engines) else ""
            for kind in ("llama", "transformers", "openvino")
        }
        print(" ".join(f"need_{kind}={need}" for kind, need in needs.items()))
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
        code, bench.results.interrupted = end.code, True
    except Fault as fault:
        say(f"error: {fault}")
        code = fault.code
    except OSError as error:
        say(f"error: {error}")
        code = FAULT
    finally:
        bench.processes.end_all()
    if bench.results.runs:
        say()
        print(bench.results.table(), flush=True)
        if options.json:
            options.json.write_text(json.dumps(bench.results.report(), indent=1) + "\n")
    return code or (UNAVAILABLE if bench.results.missing else 0)


sys.exit(main())
