"""A llama-bench that whoever measures has built, llama.cpp's or a fork's, as an engine of compare_engines.py.
Standard library only."""

import json
import shlex
from pathlib import Path

from engines import MODEL, STEPS, PeerFault, TooSlow


class LlamaBench:
    """A process a run, as Winnow: it loads, warms up and times one. Its own warm-up is a token or a short prompt."""

    def __init__(self, name: str, bench):
        self.name, self.bench, self.facts = name, bench, {}
        self.dtype = name.rpartition("-")[2]

    def model(self) -> Path:
        return self.bench.models / f"{MODEL}-{self.dtype}.gguf"

    def start(self) -> None:
        if self.facts:
            return
        code, out, errors = self.bench.processes.output([self.bench.options.llama_bench, "--help"], limit=60)
        if code != 0:
            raise PeerFault(f"llama-bench --help: exit status {code}: {errors.strip()[-500:]}")
        self.options = {word.strip(",") for word in out.split() if word.startswith("-")}
        if not self.options & {"-gp", "-d"}:
            raise PeerFault("llama-bench measures no decode after a prompt: it has neither -gp nor -d")
        self.facts["kernel"] = "weights repacked as they are loaded" if "-rtr" in self.options else ""

    def command(self, task: str, tokens: int, flash: str) -> list[str]:
        command = [self.bench.options.llama_bench, "-m", str(self.model()), "-o", "json", "-r", "1", "-fa", flash]
        command += ["-t", str(self.bench.options.threads)]
        # Rows interleaved: what ik_llama.cpp is fastest with.
        command += ["-rtr", "1"] if "-rtr" in self.options else []
        if task == "prefill":
            return command + ["-p", str(tokens), "-n", "0"]
        if "-gp" in self.options:
            return command + ["-p", "0", "-n", "0", "-gp", f"{tokens},{STEPS}"]
        return command + ["-p", "0", "-n", str(STEPS), "-d", str(tokens)]

    def prepare(self, task: str, tokens: int) -> dict:
        """Flash attention is on, off, or what is faster here."""
        asked = self.bench.options.llama_flash_attention
        times = {f"flash attention {name}": self.time(task, tokens, flash)
                 for name, flash in (("on", "1"), ("off", "0")) if asked in (name, "best")}  # fmt: skip
        self.setting = min(times, key=times.get)
        return {"setting": self.setting, "warm_up_seconds": times}

    def run(self, task: str, tokens: int) -> dict:
        return {"seconds": self.time(task, tokens, "1" if self.setting.endswith("on") else "0")}

    def time(self, task: str, tokens: int, flash: str) -> float:
        options, command = self.bench.options, self.command(task, tokens, flash)
        code, out, errors = self.bench.processes.output(command, limit=2 * options.timeout + 60)
        if code != 0:
            raise PeerFault(f"{shlex.join(command)}: exit status {code}: {errors.strip()[-500:]}")
        seconds = self.read(out)
        if seconds > options.timeout:
            raise TooSlow
        return seconds

    def read(self, out: str) -> float:
        """The seconds of the only run of the only test. Libraries print warnings even between the brackets of the array."""
        try:
            test = json.loads(out[out.index("{") : out.rindex("}") + 1])
            (nanoseconds,) = test["samples_ns"]
            build = f"{test.get('build_commit', '?')} ({test.get('build_number', '?')})"
        except (ValueError, KeyError, TypeError) as error:
            raise PeerFault(f"llama-bench printed something else than one test with one sample: {error}") from None
        self.facts["version"] = f"{self.bench.options.llama_bench}, build {build}"
        return nanoseconds / 1e9

    def end(self) -> None:
        pass
