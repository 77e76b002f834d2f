"""Asks a server one question as a stream and prints what came back as tab-separated text:
answer, TTFT in ms, prompt tokens, kept tokens, speculation in ms. Standard library only.

    ask.py URL PROMPT-FILE MAX-TOKENS dense|KEEP-RATE
"""

import json
import sys
import time
import urllib.error
import urllib.request


def main() -> None:
    url, prompt_file, max_tokens, mode = sys.argv[1:]
    with open(prompt_file, encoding="utf-8") as file:
        prompt = file.read().removesuffix("\n")
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as response:
        model = json.load(response)["data"][0]["id"]
    pruning = {"enabled": False} if mode == "dense" else {"enabled": True, "keep_rate": float(mode)}
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": int(max_tokens),
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "speculative_prefill": pruning,
    }
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    first = None
    answer = ""
    report = {}
    usage = {}
    with urllib.request.urlopen(request, timeout=120) as response:
        for line in response:
            if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
                continue
            event = json.loads(line[len(b"data: "):])
            if "error" in event:
                sys.exit(f"the server answered: {event['error'].get('message', event['error'])}")
            for choice in event.get("choices", []):
                if choice.get("text") and first is None:
                    first = time.perf_counter()
                answer += choice.get("text") or ""
            report = event.get("speculative_prefill") or report
            usage = event.get("usage") or usage
    if first is None:
        sys.exit("the server's answer holds no text")
    prompt_tokens = report.get("prompt_tokens") or usage.get("prompt_tokens") or 0
    kept = report.get("kept_tokens") or prompt_tokens
    speculation = report.get("speculation_ms") or 0
    print(" ".join(answer.split()), round((first - began) * 1000), prompt_tokens, kept, round(speculation), sep="\t")


try:
    main()
except urllib.error.HTTPError as error:
    sys.exit(f"the server refused: HTTP {error.code}: {error.read(2000).decode(errors='replace')}")
except urllib.error.URLError as error:
    sys.exit(f"can't reach the server: {error.reason}")
