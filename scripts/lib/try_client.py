"""One client's real run against a server of the needle models; called by try_clients.sh in the client's own environment.

try_client.py CLIENT URL MODEL PROMPTS WORK: MODEL is a folder with the tokenizer, PROMPTS a file of {"prompt", "answer"}
lines, WORK an empty place for files. Prints one line of what was seen; an error ends it with status 1.
"""

import glob
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import urllib.request

client, url, model_folder, prompts_file, work = sys.argv[1:]
url = url.rstrip("/")
with open(prompts_file, encoding="utf-8") as file:
    NEEDLES = [json.loads(line) for line in file]
DENSE = {"speculative_prefill": False}


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def served():
    with urllib.request.urlopen(url + "/v1/models", timeout=20) as answer:
        return json.loads(answer.read())["data"][0]["id"]


def found(texts, needles, what):
    """How many answers hold what was hidden. The models miss some; without the needle one in 100,000 would be right."""
    count = sum(needle["answer"] in text for text, needle in zip(texts, needles, strict=True))
    expect(count >= 0.5 * len(needles), f"{what}: {count} of {len(needles)} answers are right: {texts}")
    return f"{what} {count} of {len(needles)}"


def try_openai():
    """The checks of scripts/openai_client_check.py, and several prompts in one request."""
    import openai

    script = os.path.join(os.path.dirname(__file__), "..", "openai_client_check.py")
    run = subprocess.run([sys.executable, script, url], capture_output=True, text=True, check=False)
    expect(run.returncode == 0, run.stdout + run.stderr)
    checks = run.stdout.count("ok ")
    api = openai.OpenAI(base_url=url + "/v1", max_retries=0, timeout=120)
    answer = api.completions.create(
        model=served(), prompt=[needle["prompt"] for needle in NEEDLES[:8]], max_tokens=6, temperature=0,
        extra_body=DENSE)
    return f"{checks} checks, " + found([choice.text for choice in answer.choices], NEEDLES[:8], "prompts at once")


def try_litellm():
    import litellm

    litellm.suppress_debug_info = True
    common = {"model": "openai/" + served(), "api_base": url + "/v1", "api_key": "none", "temperature": 0}
    text = {**common, "model": "text-completion-openai/" + served(), "extra_body": DENSE}
    some = NEEDLES[:4]
    answer = litellm.text_completion(prompt=[needle["prompt"] for needle in some], max_tokens=6, **text)
    seen = [found([choice["text"] for choice in answer.choices], some, "text_completion of a list")]
    chunks = list(litellm.text_completion(prompt=some[0]["prompt"], max_tokens=6, stream=True, **text))
    streamed = "".join(chunk.choices[0].text or "" for chunk in chunks if chunk.choices)
    expect(streamed.strip() == answer.choices[0]["text"].strip(), f"streamed {streamed!r}")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Call me Ishmael."}]
    chat = litellm.completion(messages=messages, max_tokens=8, **common)
    expect(chat.usage.completion_tokens > 0, f"usage is {chat.usage}")
    parts = list(litellm.completion(
        messages=messages, max_tokens=8, stream=True, stream_options={"include_usage": True}, **common))
    content = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    expect(content == chat.choices[0].message.content, f"streamed {content!r}")
    seen.append(f"chat and its stream of {len(parts)} chunks agree")
    try:
        litellm.completion(messages=messages, max_tokens=10**9, **common)
        raise AssertionError("a request beyond the context was taken")
    except litellm.ContextWindowExceededError:
        seen.append("ContextWindowExceededError where it is due")
    except litellm.BadRequestError:
        seen.append("BadRequestError where it is due")
    return ", ".join(seen)


def try_langchain():
    from langchain_openai import ChatOpenAI, OpenAI

    name = served()
    some = NEEDLES[:6]
    llm = OpenAI(model=name, base_url=url + "/v1", api_key="none", temperature=0, max_tokens=6, extra_body=DENSE)
    seen = [found(llm.batch([needle["prompt"] for needle in some]), some, "batch")]
    expect(llm.invoke(some[0]["prompt"]) == "".join(llm.stream(some[0]["prompt"])), "stream and invoke differ")
    chat = ChatOpenAI(model=name, base_url=url + "/v1", api_key="none", temperature=0, max_tokens=8)
    messages = [("system", "Be brief."), ("user", "Call me Ishmael.")]
    answer = chat.invoke(messages)
    expect(answer.usage_metadata["output_tokens"] > 0, f"usage is {answer.usage_metadata}")
    chunks = list(chat.stream(messages, stream_usage=True))
    expect("".join(chunk.content for chunk in chunks) == answer.content, "stream and invoke of a chat differ")
    logprobs = chat.bind(logprobs=True, top_logprobs=2).invoke(messages).response_metadata["logprobs"]["content"]
    expect(all(len(entry["top_logprobs"]) == 2 for entry in logprobs), "alternatives are missing")
    answers = chat.batch([messages, messages, messages])
    expect({other.content for other in answers} == {answer.content}, "a batch of chats differs")
    return ", ".join(seen + ["stream, chat, chat stream with usage, logprobs, chat batch"])


TASKS = {
    "needle_generate": """
task: needle_generate
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n", "!", "?", ";", "<|end_of_text|>", "What", "One"], max_gen_toks: 6, temperature: 0}
filter_list: [{name: digits, filter: [{function: regex, regex_pattern: "(\\\\d{5})"}, {function: take_first}]}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
    "needle_choice": """
task: needle_choice
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{label}}"
target_delimiter: " "
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
""",
}


def try_lm_eval():
    some = NEEDLES[:16]
    folder = os.path.join(work, "lm-eval")
    os.makedirs(folder, exist_ok=True)
    data = os.path.join(folder, "needles.jsonl")
    with open(data, "w", encoding="utf-8") as file:
        for index, needle in enumerate(some):
            others = [other for other in re.findall(r"is: (\d{5})", needle["prompt"]) if other != needle["answer"]][:3]
            others.insert(index % 4, needle["answer"])
            file.write(json.dumps({**needle, "choices": others, "label": index % 4}) + "\n")
    for name, text in TASKS.items():
        with open(os.path.join(folder, name + ".yaml"), "w", encoding="utf-8") as file:
            file.write(text.replace("DATA", json.dumps(data)))
    arguments = (
        f"model={served()},base_url={url}/v1/completions,tokenizer={model_folder},tokenizer_backend=huggingface,"
        "tokenized_requests=True,add_bos_token=True,max_length=2048,num_concurrent=1,max_retries=1")
    out = os.path.join(folder, "out")
    run = subprocess.run(
        ["lm-eval", "run", "--model", "local-completions", "--model_args", arguments, "--tasks", *TASKS, "--include_path",
         folder, "--batch_size", "4", "--output_path", out], stdout=sys.stderr, check=False)
    expect(run.returncode == 0, f"lm-eval ended with status {run.returncode}")
    with open(glob.glob(out + "/**/results_*.json", recursive=True)[0], encoding="utf-8") as file:
        results = json.load(file)["results"]
    generated = results["needle_generate"]["exact_match,digits"]
    chosen = results["needle_choice"]["acc,none"]
    expect(generated >= 0.5, f"generate_until: {generated}")
    expect(chosen >= 0.7, f"loglikelihood: {chosen}")
    return f"generate_until {generated:.2f} of {len(some)} with 7 stops, loglikelihood {chosen:.2f} of {len(some)}, batches of 4"


def try_guidellm():
    out = os.path.join(work, "guidellm.json")
    seen = []
    for route in ("/v1/completions", "/v1/chat/completions"):
        run = subprocess.run(
            ["guidellm", "run", "--backend", f"kind=openai_http,target={url},model={served()},request_format={route}",
             "--profile", "kind=concurrent,streams=2", "--constraint", "kind=max_requests,count=8",
             "--tokenizer", f"kind=huggingface_auto,model={model_folder}",
             "--data", "kind=synthetic_text,prompt_tokens=128,output_tokens=16", "--output", f"kind=json,path={out}",
             "--disable-console-interactive"], stdout=sys.stderr, check=False)
        expect(run.returncode == 0, f"guidellm ended with status {run.returncode}")
        with open(out, encoding="utf-8") as file:
            benchmark = json.load(file)["benchmarks"][0]
        made = benchmark["metrics"]["request_totals"]
        expect(made["successful"] == 8 and made["errored"] == 0, f"{route}: requests are {made}")
        seen.append(f"{route}: {made['successful']} requests, none failed")
    return ", ".join(seen)


PACKAGES = {
    "openai": try_openai, "litellm": try_litellm, "langchain-openai": try_langchain, "lm-eval": try_lm_eval,
    "guidellm": try_guidellm,
}
try:
    print(f"{client} {importlib.metadata.version(client)}: {PACKAGES[client]()}")
except Exception as error:  # told in one line; the rest is in the log
    import traceback

    traceback.print_exc()
    print(" ".join(f"{type(error).__name__}: {error}".split())[:500])
    sys.exit(1)
