#!/usr/bin/env python3
"""Checks a running gateway with the official OpenAI client (PyPI: openai).

Usage: openai_client_check.py BASE_URL        for example http://127.0.0.1:8080

Prints one line per check; exits with 1 when one failed, with 2 when nothing could be checked.
"""

import asyncio
import sys

try:
    import openai
except ImportError:
    sys.exit("the Python package 'openai' is missing: pip install openai")

PROMPT = "Once upon a time there was a little girl. She liked to play in the park with her friends."
CONVERSATION = [
    {"role": "system", "content": "Tell stories."},
    {"role": "user", "content": [{"type": "text", "text": "Once upon a time"}]},
]
FACTS = {"prompt_tokens", "kept_tokens", "keep_rate", "speculation_ms", "kept_spans", "fallback"}


def expect(condition, what):
    """Unlike assert, holds under python -O too."""
    if not condition:
        raise AssertionError(what)


def refusal(kind, action, param=None, code=None):
    """Runs an action that has to be refused, and checks how."""
    try:
        action()
    except kind as error:
        if param is not None:
            expect(error.param == param, f"param is {error.param!r}, not {param!r}: {error}")
        if code is not None:
            expect(error.code == code, f"code is {error.code!r}, not {code!r}: {error}")
        return
    raise AssertionError(f"was accepted; {kind.__name__} was due")


class Checks:
    """Every public method is a check; its first line of documentation is its name."""

    def __init__(self, base_url):
        self.base_url = base_url
        self.client = openai.OpenAI(base_url=base_url, api_key="none", timeout=120, max_retries=0)
        model = self.client.models.list().data[0]
        self.model = model.id
        self.context = model.model_extra["max_model_len"]

    def complete(self, **options):
        return self.client.completions.create(
            **{"model": self.model, "prompt": PROMPT, "max_tokens": 12, "temperature": 0, **options})

    def chat(self, **options):
        return self.client.chat.completions.create(
            **{"model": self.model, "messages": CONVERSATION, "max_completion_tokens": 12, "temperature": 0, **options})

    @staticmethod
    def facts(answer):
        """What an answer says was done to its prompt."""
        facts = (answer.model_extra or {}).get("speculative_prefill")
        expect(facts is not None, "speculative_prefill is missing")
        expect(set(facts) == FACTS, f"speculative_prefill has {sorted(facts)}")
        kept = sum(end - start for start, end in facts["kept_spans"])
        expect(kept == facts["kept_tokens"], f"the spans hold {kept} tokens, kept_tokens is {facts['kept_tokens']}")
        return facts

    def check_models(self):
        """models are listed and found by id"""
        listed = self.client.models.list().data
        expect(listed[0].object == "model", f"object is {listed[0].object}")
        expect(self.client.models.retrieve(self.model).id == self.model, "the retrieved model is another")

    def check_completion(self):
        """completes, and says the usage and what was done"""
        answer = self.complete()
        usage = answer.usage
        expect(answer.object == "text_completion", f"object is {answer.object}")
        expect(answer.choices[0].text, "the text is empty")
        expect(answer.choices[0].finish_reason in ("length", "stop"), f"reason {answer.choices[0].finish_reason}")
        expect(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, f"usage is {usage}")
        expect(self.facts(answer)["prompt_tokens"] == usage.prompt_tokens, "the prompt's length differs")

    def check_greedy(self):
        """temperature 0 answers the same every time"""
        texts = {self.complete().choices[0].text for _ in range(3)}
        expect(len(texts) == 1, f"{len(texts)} different answers")

    def check_seed(self):
        """a seed makes sampling repeatable"""
        texts = {self.complete(temperature=1.0, seed=7).choices[0].text for _ in range(3)}
        expect(len(texts) == 1, f"{len(texts)} different answers")

    def check_completion_stream(self):
        """streams a completion: the same text, the facts in the last event"""
        chunks = list(self.complete(stream=True))
        text = "".join(chunk.choices[0].text for chunk in chunks)
        expect(text == self.complete().choices[0].text, f"streamed {text!r}")
        expect(chunks[-1].choices[0].finish_reason, "the last event has no reason")
        self.facts(chunks[-1])

    def check_completion_stream_usage(self):
        """include_usage ends a completion's stream with the usage"""
        chunks = list(self.complete(stream=True, stream_options={"include_usage": True}))
        expect(chunks[-1].choices == [], "the last event has choices")
        expect(chunks[-1].usage.completion_tokens > 0, f"usage is {chunks[-1].usage}")
        expect(all(chunk.usage is None for chunk in chunks[:-1]), "an earlier event has a usage")
        self.facts(chunks[-1])

    def check_chat(self):
        """chats"""
        answer = self.chat()
        expect(answer.object == "chat.completion", f"object is {answer.object}")
        expect(answer.choices[0].message.role == "assistant", f"role is {answer.choices[0].message.role}")
        expect(isinstance(answer.choices[0].message.content, str), "there is no content")
        self.facts(answer)

    def check_chat_stream(self):
        """streams a chat, with usage"""
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        expect(chunks[0].choices[0].delta.role == "assistant", "the first event names no role")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        expect(text == self.chat().choices[0].message.content, f"streamed {text!r}")
        expect(chunks[-1].usage.total_tokens > 0, f"usage is {chunks[-1].usage}")
        self.facts(chunks[-1])

    def check_pruning(self):
        """extra_body sets speculative prefill for one request"""
        prompt = PROMPT * max(2, self.context // 2 // self.complete().usage.prompt_tokens)
        pruned = self.facts(self.complete(
            prompt=prompt, extra_body={"speculative_prefill": {"keep_rate": 0.3, "threshold": 1, "tail": 8}}))
        if pruned["fallback"] is None:
            expect(pruned["kept_tokens"] < pruned["prompt_tokens"], f"nothing was pruned: {pruned}")
            expect(pruned["speculation_ms"] > 0, f"speculation took {pruned['speculation_ms']} ms")
        dense = self.facts(self.complete(prompt=prompt, extra_body={"speculative_prefill": False}))
        expect(dense["kept_tokens"] == dense["prompt_tokens"], f"asked for dense: {dense}")

    def check_stop(self):
        """a stop string ends the answer before it"""
        text = self.complete().choices[0].text
        stop = text[len(text) // 2:][:3]
        answer = self.complete(stop=[stop])
        expect(answer.choices[0].text == text[:text.index(stop)], f"{answer.choices[0].text!r} of {text!r}")
        expect(answer.choices[0].finish_reason == "stop", f"reason {answer.choices[0].finish_reason}")

    def check_logprobs(self):
        """reports log-probabilities"""
        completion = self.complete(logprobs=2).choices[0].logprobs
        expect(len(completion.tokens) == len(completion.token_logprobs) > 0, f"logprobs are {completion}")
        expect(all(value <= 0 for value in completion.token_logprobs), "a log-probability is positive")
        chat = self.chat(logprobs=True, top_logprobs=2).choices[0].logprobs.content
        expect(all(len(entry.top_logprobs) == 2 for entry in chat), "there are not 2 alternatives")

    def check_token_prompt(self):
        """takes a prompt of token ids"""
        expect(self.complete(prompt=[1, 2, 3, 4]).usage.prompt_tokens == 4, "the prompt's length differs")

    def check_prompts(self):
        """answers several prompts in one request, in order"""
        prompts = [PROMPT, "Tim had a ball.", PROMPT]
        answer = self.complete(prompt=prompts)
        alone = [self.complete(prompt=prompt) for prompt in prompts]
        expect([choice.index for choice in answer.choices] == [0, 1, 2], "the choices are out of order")
        expect([choice.text for choice in answer.choices] == [one.choices[0].text for one in alone], "texts differ")
        expect(answer.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone), f"usage is {answer.usage}")
        texts = ["", "", ""]
        for chunk in self.complete(prompt=prompts, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.text
        expect(texts == [choice.text for choice in answer.choices], f"streamed {texts}")

    def check_answers(self):
        """gives several answers to one prompt, each as its seed would alone"""
        answers = self.complete(n=3, temperature=1.0, seed=7).choices
        alone = [self.complete(temperature=1.0, seed=seed).choices[0].text for seed in (7, 8, 9)]
        expect([answer.text for answer in answers] == alone, "an answer differs from its seed's own")
        expect(len(self.chat(n=2).choices) == 2, "there are not two chats")

    def check_echo(self):
        """echoes a prompt with its log-probabilities, and nothing else where nothing is asked"""
        answer = self.complete(echo=True, logprobs=1, max_tokens=0)
        logprobs = answer.choices[0].logprobs
        expect(answer.choices[0].text == PROMPT, f"echoed {answer.choices[0].text!r}")
        expect(len(logprobs.tokens) == answer.usage.prompt_tokens, f"{len(logprobs.tokens)} tokens")
        expect(logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None, "the first token has one")
        for token, value, top, offset in list(
                zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset))[1:]:
            expect(value <= 0 and top[token] == value and max(top.values()) >= value, f"{token!r}: {value} {top}")
            expect(PROMPT[offset:].startswith(token), f"{token!r} is not at {offset}")
        more = self.complete(echo=True, logprobs=1, max_tokens=4).choices[0]
        expect(more.text == PROMPT + self.complete(max_tokens=4).choices[0].text, f"echoed {more.text!r}")
        expect(more.logprobs.token_logprobs[1:len(logprobs.tokens)] == logprobs.token_logprobs[1:], "values differ")

    def check_sampled_logprob(self):
        """the sampled token is among its alternatives, the likeliest first"""
        for wanted in (0, 1):
            logprobs = self.complete(temperature=2.0, logprobs=wanted, seed=3).choices[0].logprobs
            for token, value, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs):
                expect(top[token] == value, f"{token!r} is missing in {top}")
                expect(list(top.values()) == sorted(top.values(), reverse=True), f"{top} is out of order")
                expect(wanted <= len(top) <= wanted + 1, f"{len(top)} alternatives, asked for {wanted}")

    def check_fields_of_others(self):
        """takes what other servers' clients send"""
        self.complete(stop=[f"<{number}>" for number in range(32)], top_p=0)
        chunks = list(self.complete(
            stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True}))
        counts = [chunk.usage.completion_tokens for chunk in chunks]
        expect(counts == sorted(counts) and counts[-1] > 0, f"completion_tokens go {counts}")
        expect(self.chat(max_tokens=3, max_completion_tokens=5).usage.completion_tokens <= 5, "more than 5 tokens")
        expect(self.complete().system_fingerprint, "there is no system_fingerprint")

    def check_bos(self):
        """a prompt has one BOS, and none where none is wanted"""
        usual = self.complete().usage.prompt_tokens
        bare = self.complete(extra_body={"add_special_tokens": False}).usage.prompt_tokens
        if bare == usual:
            return
        first = self.complete(echo=True, logprobs=0, max_tokens=0).choices[0].logprobs.tokens[0]
        expect(self.complete(prompt=first + PROMPT).usage.prompt_tokens == usual, f"{first!r} is doubled")
        expect(bare == usual - 1, f"{bare} tokens without special ones, {usual} with them")

    def check_left_stream(self):
        """a stream that is left early hurts nobody"""
        with self.complete(stream=True, max_tokens=200, extra_body={"ignore_eos": True}) as stream:
            next(iter(stream))
        expect(self.complete().choices[0].text, "the next answer is empty")

    def check_concurrent(self):
        """answers many clients at once as it answers one"""
        async def ask():
            async with openai.AsyncOpenAI(base_url=self.base_url, api_key="none", timeout=120) as client:
                return await asyncio.gather(*(
                    client.completions.create(model=self.model, prompt=PROMPT, max_tokens=12, temperature=0)
                    for _ in range(6)))
        texts = {answer.choices[0].text for answer in asyncio.run(ask())}
        expect(texts == {self.complete().choices[0].text}, f"answers are {texts}")

    def check_refusals(self):
        """bad requests raise BadRequestError and name the field"""
        bad = openai.BadRequestError
        refusal(bad, lambda: self.complete(prompt=""), "prompt")
        refusal(bad, lambda: self.complete(temperature=5), "temperature")
        refusal(bad, lambda: self.complete(max_tokens=-1), "max_tokens")
        refusal(bad, lambda: self.complete(n=1000), "n")
        refusal(bad, lambda: self.complete(prompt=[-1]), "prompt[0]")
        refusal(bad, lambda: self.complete(prompt=[5] * 200_000), "prompt", "context_length_exceeded")
        refusal(bad, lambda: self.chat(messages=[]), "messages")
        for rate in (0, 1.5, "NaN"):
            refusal(bad, lambda: self.complete(extra_body={"speculative_prefill": {"keep_rate": rate}}),
                    "speculative_prefill.keep_rate")
        refusal(bad, lambda: self.complete(stream=True, extra_body={"speculative_prefill": {"speed": 9}}),
                "speculative_prefill.speed")

    def check_unknown(self):
        """an unknown model raises NotFoundError"""
        refusal(openai.NotFoundError, lambda: self.complete(model="nobody"), "model", "model_not_found")
        refusal(openai.NotFoundError, lambda: self.client.models.retrieve("nobody"), "model", "model_not_found")


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    base_url = sys.argv[1].rstrip("/")
    if not base_url.endswith("/v1"):
        base_url += "/v1"
    try:
        checks = Checks(base_url)
    except openai.OpenAIError as error:
        print(f"nothing could be checked: {error}", file=sys.stderr)
        return 2
    failed = 0
    for name in [name for name in vars(Checks) if name.startswith("check_")]:
        check = getattr(checks, name)
        try:
            check()
            print(f"ok    {check.__doc__}", flush=True)
        except Exception as error:  # one failure must not hide the others
            failed += 1
            print(f"FAIL  {check.__doc__}: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
