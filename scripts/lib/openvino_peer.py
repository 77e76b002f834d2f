"""OpenVINO GenAI beside Winnow: how its models are made of ours, and how they run. For compare_peer.py."""

import json
import shutil
import time
from pathlib import Path

from random_prompt import prompt

# What a model is stored as for an engine: the two that leave out a part of a prompt's attention calculate in 8 bits.
STORED = {"trishape": "w8a8", "xattention": "w8a8"}
CALIBRATION = (8, 256)  # prompts, tokens of each


def convert(source: str, target: str, kind: str) -> None:
    """Makes an OpenVINO model: "bf16" of a folder of safetensors; "int8" (weights) or "w8a8" (weights and activations)
    of an OpenVINO model in bf16. The one it is made of is not changed."""
    if kind == "bf16":
        from optimum.intel import OVModelForCausalLM

        OVModelForCausalLM.from_pretrained(source, export=True, compile=False, load_in_8bit=False).save_pretrained(target)
        return
    import nncf
    import openvino

    model = openvino.Core().read_model(Path(source) / "openvino_model.xml")
    if kind == "int8":
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    else:
        model = nncf.quantize(model, nncf.Dataset(samples(source)), model_type=nncf.ModelType.TRANSFORMER,
                              subset_size=CALIBRATION[0])  # fmt: skip
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("openvino_model.*"))
    openvino.save_model(model, Path(target) / "openvino_model.xml")


def samples(model: str) -> list[dict]:
    vocabulary = json.loads((Path(model) / "config.json").read_text())["vocab_size"]
    return [inputs(prompt(CALIBRATION[1], vocabulary, seed)) for seed in range(CALIBRATION[0])]


def inputs(ids: list[int]) -> dict:
    import numpy

    count = len(ids)
    return {
        "input_ids": numpy.array([ids], numpy.int64), "attention_mask": numpy.ones((1, count), numpy.int64),
        "position_ids": numpy.arange(count, dtype=numpy.int64)[None], "beam_idx": numpy.zeros(1, numpy.int32),
    }  # fmt: skip


class OpenVINO:
    def __init__(self):
        import openvino
        import openvino_genai

        self.core, self.genai = openvino, openvino_genai
        self.pipeline = None

    def load(self, model, dtype, threads, **_):
        self.model, self.dtype = model, dtype
        self.properties = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
                           "ENABLE_CPU_PINNING": False}  # fmt: skip
        if dtype == "bf16":
            # The default cache has 8 bits.
            self.properties |= {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16"}
        graph = self.core.Core().read_model(Path(model) / "openvino_model.xml")
        quantisers = sum(operation.get_type_name() == "FakeQuantize" for operation in graph.get_ops())
        if STORED.get(dtype, dtype) == "w8a8" and not quantisers:
            raise RuntimeError("the model's activations are not quantised")
        self.vocabulary = graph.output("logits").partial_shape[2].get_length()
        kernel = f"{quantisers} FakeQuantize" if quantisers else ""
        return {"version": f"OpenVINO GenAI {self.genai.__version__}", "kernel": kernel}

    def make(self, backend: str, batch: int):
        """The paged back end takes `batch` rows of a prompt at once, the other all."""
        if backend == "SDPA":
            return self.genai.LLMPipeline(self.model, "CPU", ATTENTION_BACKEND="SDPA", **self.properties)
        scheduler = self.genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.max_num_batched_tokens = batch
        if self.dtype in STORED:
            scheduler.use_sparse_attention = True
            modes = self.genai.SparseAttentionMode
            mode = modes.TRISHAPE if self.dtype == "trishape" else modes.XATTENTION
            scheduler.sparse_attention_config = self.genai.SparseAttentionConfig(mode=mode)
        return self.genai.LLMPipeline(self.model, "CPU", scheduler_config=scheduler, **self.properties)

    def prepare(self, task, tokens, steps):
        self.task, self.steps = task, steps
        self.ids = prompt(tokens, self.vocabulary)
        settings = [("PA", size) for size in (512, 2048) if size < tokens] + [("PA", tokens + steps)]
        if self.dtype not in STORED:
            settings = [("SDPA", tokens), *settings]
        if task == "decode":
            settings = settings[:1] + settings[-1:]
        self.pipeline, made, times, refused = None, {}, {}, {}
        for backend, batch in settings:
            name = backend if backend == "SDPA" else f"{backend} {batch}"
            try:
                self.pipeline = self.make(backend, batch)
                # A short run may be the first to touch its memory.
                times[name] = min(self.run()["seconds"] for _ in range(2 if tokens <= 1024 else 1))
            except RuntimeError as error:
                # Its plain attention holds the scores of a whole prompt, 32 GiB of them for 32,768 tokens of 16 heads.
                self.pipeline, refused[name] = None, (str(error).strip().splitlines() or [type(error).__name__])[-1]
                continue
            # The slower one of two is given up at once: each holds a model.
            if times[name] == min(times.values()):
                made = {name: self.pipeline}
        if not times:
            raise RuntimeError("; ".join(f"{name}: {problem}" for name, problem in refused.items()))
        chosen = min(times, key=times.get)
        self.pipeline = made[chosen]
        return {"setting": chosen, "warm_up_seconds": times, "refused": refused}

    def generate(self, ids, count):
        import numpy

        settings = self.genai.GenerationConfig()
        settings.max_new_tokens = settings.min_new_tokens = count
        settings.ignore_eos, settings.do_sample = True, False
        result = self.pipeline.generate(self.core.Tensor(numpy.array([ids], numpy.int64)), settings)
        if len(result.tokens[0]) != count:
            raise RuntimeError(f"{len(result.tokens[0])} tokens, not {count}")
        return result.perf_metrics.raw_metrics

    def run(self):
        # Wakes caches and clocks up after the sleep.
        self.generate(self.ids[:64], 1)
        if self.task == "prefill":
            began = time.perf_counter()
            self.generate(self.ids, 1)
            return {"seconds": time.perf_counter() - began}
        times = self.generate(self.ids, self.steps + 1).m_new_token_times
        return {"seconds": (times[-1] - times[0]) / 1e3}

    def logits(self, tokens):
        ids = prompt(tokens, self.vocabulary, seed=2)
        compiled = self.core.Core().compile_model(Path(self.model) / "openvino_model.xml", "CPU", self.properties)
        result = compiled.create_infer_request().infer(inputs(ids))["logits"]
        return {"logits": [float(value) for value in result[0, -1]]}
