"""One engine beside Winnow, as a child of compare_engines.py: a JSON command a line in, a JSON answer a line out.
Between commands it is blocked on standard input and uses no CPU.

    compare_peer.py llama|transformers|openvino
    compare_peer.py quantize FROM.gguf TO.gguf f32|q8_0|q4_0|q4_k_m
    compare_peer.py convert FROM TO bf16|int8|w8a8                     for OpenVINO

    {"command": "load", "model": PATH, "dtype": "bf16", "threads": 1, "flash_attention": "on|off|best"}
    {"command": "prepare", "task": "prefill|decode", "tokens": 512, "steps": 64}    a warm-up of that length
    {"command": "run"}                                                              -> {"seconds": ...}
    {"command": "logits", "tokens": 64}                                             of a fixed prompt's last token
"""

import ctypes
import json
import os
import sys
import time

from openvino_peer import OpenVINO, convert
from random_prompt import prompt


class Llama:
    """llama.cpp through its C interface, so that no Python of llama-cpp-python's is timed."""

    batch = 512

    def __init__(self):
        import llama_cpp

        self.c = llama_cpp
        self.context = None
        # Held, or the callback is freed.
        self.silence = llama_cpp.llama_log_callback(lambda level, text, _: None)

    def load(self, model, threads, flash_attention, **_):
        self.c.llama_log_set(self.silence, ctypes.c_void_p(0))
        self.c.llama_backend_init()
        parameters = self.c.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = self.c.llama_model_load_from_file(model.encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {model}")
        self.vocabulary = self.c.llama_vocab_n_tokens(self.c.llama_model_get_vocab(self.model))
        self.threads = threads
        self.settings = {"on": [True], "off": [False], "best": [True, False]}[flash_attention]
        return {
            "version": f"llama.cpp of llama-cpp-python {self.c.__version__}",
            "kernel": self.c.llama_print_system_info().decode().strip(" |"),
        }

    def make_context(self, tokens, flash):
        parameters = self.c.llama_context_default_params()
        parameters.n_ctx = tokens
        parameters.n_batch = parameters.n_ubatch = self.batch
        parameters.n_threads = parameters.n_threads_batch = self.threads
        parameters.flash_attn_type = 1 if flash else 0
        parameters.offload_kqv = False
        context = self.c.llama_init_from_model(self.model, parameters)
        if not context:
            raise RuntimeError("llama.cpp makes no context")
        return context

    def drop_context(self):
        if self.context:
            self.c.llama_free(self.context)
        self.context = None

    def clear(self):
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)

    def feed(self, tokens):
        """Only the last token of a batch gets logits."""
        for start in range(0, len(tokens), self.batch):
            part = tokens[start : start + self.batch]
            ids = (self.c.llama_token * len(part))(*part)
            code = self.c.llama_decode(self.context, self.c.llama_batch_get_one(ids, len(part)))
            if code != 0:
                raise RuntimeError(f"llama_decode: {code}")
        self.c.llama_synchronize(self.context)
        return self.c.llama_get_logits_ith(self.context, -1)

    def prepare(self, task, tokens, steps):
        self.task, self.steps = task, steps
        self.ids = prompt(tokens, self.vocabulary)
        room = tokens + (steps if task == "decode" else 0)
        self.drop_context()
        made, times = {}, {}
        for flash in self.settings:
            name = "on" if flash else "off"
            self.context = made[name] = self.make_context(room, flash)
            times[name] = self.run()["seconds"]
        chosen = min(times, key=times.get)
        self.context = made.pop(chosen)
        for context in made.values():
            self.c.llama_free(context)
        return {"setting": f"flash attention {chosen}", "warm_up_seconds": times}

    def run(self):
        # Wakes caches and clocks up after the sleep.
        self.clear()
        self.feed(self.ids[:64])
        self.clear()
        if self.task == "prefill":
            began = time.perf_counter()
            self.feed(self.ids)
            return {"seconds": time.perf_counter() - began}
        self.feed(self.ids)
        began = time.perf_counter()
        for token in self.ids[: self.steps]:
            self.feed([token])
        return {"seconds": time.perf_counter() - began}

    def logits(self, tokens):
        self.drop_context()
        self.context = self.make_context(tokens, self.settings[0])
        values = self.feed(prompt(tokens, self.vocabulary, seed=2))
        return {"logits": [float(values[i]) for i in range(self.vocabulary)]}


class Transformers:
    def __init__(self):
        import torch
        import transformers

        self.torch, self.transformers = torch, transformers

    def load(self, model, dtype, threads, **_):
        torch = self.torch
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.transformers.utils.logging.disable_progress_bar()
        kind = {"bf16": torch.bfloat16, "f32": torch.float32}[dtype]
        self.model = self.transformers.AutoModelForCausalLM.from_pretrained(
            model, dtype=kind, attn_implementation="sdpa"
        ).eval()
        kinds = {parameter.dtype for parameter in self.model.parameters()}
        if kinds != {kind}:
            raise RuntimeError(f"weights are {kinds}, not {kind}")
        self.vocabulary = self.model.config.vocab_size
        return {
            "version": f"transformers {self.transformers.__version__}, PyTorch {torch.__version__}",
            "kernel": f"sdpa, CPU capability {torch.backends.cpu.get_cpu_capability()}",
        }

    def forward(self, ids):
        with self.torch.inference_mode():
            batch = self.torch.tensor([ids])
            return self.model(batch, use_cache=True, logits_to_keep=1).logits[0, -1]

    def prepare(self, task, tokens, steps):
        if task != "prefill":
            raise RuntimeError("only prefill is measured here")
        self.ids = prompt(tokens, self.vocabulary)
        return {"warm_up_seconds": {"sdpa": self.run()["seconds"]}}

    def run(self):
        self.forward(self.ids[:64])
        began = time.perf_counter()
        self.forward(self.ids)
        return {"seconds": time.perf_counter() - began}

    def logits(self, tokens):
        return {"logits": self.forward(prompt(tokens, self.vocabulary, seed=2)).float().tolist()}


def quantize(source: str, target: str, kind: str) -> None:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    share = "ALL" if kind == "f32" else "MOSTLY"
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_{share}_{kind.upper()}")
    parameters.nthread = len(os.sched_getaffinity(0))
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    if code != 0:
        sys.exit(f"llama_model_quantize: {code}")


def main() -> None:
    if sys.argv[1] == "quantize":
        quantize(*sys.argv[2:])
        return
    if sys.argv[1] == "convert":
        convert(*sys.argv[2:])
        return
    # The answers get a descriptor of their own: what a library prints goes to the log.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    engine = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            name = command.pop("command")
            engine = engine or {"llama": Llama, "transformers": Transformers, "openvino": OpenVINO}[sys.argv[1]]()
            answer = getattr(engine, name)(**command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


main()
