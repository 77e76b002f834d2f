"""The requests of a run, drawn from its seed, and the clients that send them."""
import http.client
import json
import queue
import random
import threading
import time
import urllib.request

CLIENTS = 8
# Set to end a run before its time.
stopping = threading.Event()


def tokens(url, text):
    """Token ids of a text longer than the server takes at once."""
    ids = []
    for start in range(0, len(text), 1000):
        body = json.dumps({"prompt": text[start:start + 1000], "add_special_tokens": False}).encode()
        request = urllib.request.Request(url + "/tokenize", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            ids += json.load(answer)["tokens"]
    return ids


def draw(seed, count, ids):
    """`count` requests: half dense, half pruned; of both half streamed; of all half greedy, half sampled."""
    chance = random.Random(seed)
    requests = []
    for index in range(count):
        length = chance.randint(200, 1500)
        start = chance.randrange(max(1, len(ids) - length))
        body = {
            "model": "needle", "prompt": ids[start:start + length], "max_tokens": chance.randint(4, 64), "ignore_eos": True,
            "stream": index // 2 % 2 == 0,
            "speculative_prefill": {"enabled": True, "keep_rate": 0.2, "threshold": 100} if index % 2 else False,
        }
        if index // 4 % 2:
            body.update(temperature=0.8, top_p=0.95, seed=chance.randrange(1 << 31))
        else:
            body["temperature"] = 0
        requests.append(body)
    return requests


class Answer:
    """What came of a request: `text`, or the `problem` it ended with."""

    def __init__(self):
        self.text, self.problem, self.fallback = "", None, None
        self.replays = 0
        self.seconds = 0.0
        self.longest_gap = 0.0


class Pulse:
    """The longest time in which no client got anything, while some had asked."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = 0
        self.last = None
        self.longest = 0.0

    def change(self, by):
        with self.lock:
            now = time.monotonic()
            if self.asked > 0 and self.last is not None and by <= 0:
                self.longest = max(self.longest, now - self.last)
            if by <= 0 or self.asked == 0:
                self.last = now
            self.asked += by


def take_facts(answer, body):
    """Reads what was done to the prompt and how often the request was replayed."""
    facts = body.get("speculative_prefill") or {}
    answer.fallback = facts.get("fallback") or answer.fallback
    answer.replays = (body.get("winnow") or {}).get("replays", answer.replays)


def ask(host, body, timeout, pulse):
    """Sends one request and reads its whole answer."""
    answer = Answer()
    begin = last = time.monotonic()
    pulse.change(1)
    connection = http.client.HTTPConnection(host, timeout=timeout)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200 or not body["stream"]:
            content = json.loads(response.read(1 << 24))
            if response.status != 200:
                error = content.get("error", {})
                answer.problem = f"{response.status} {error.get('code')}: {error.get('message')}"
                return answer
            answer.text = content["choices"][0]["text"]
            take_facts(answer, content)
            return answer
        is_done = False
        while line := response.readline(1 << 20):
            if time.monotonic() - begin > timeout:
                raise TimeoutError
            # Comments keep the connection alive and are no progress.
            if not line.startswith(b"data:"):
                continue
            now = time.monotonic()
            answer.longest_gap, last = max(answer.longest_gap, now - last), now
            pulse.change(0)
            event = line[5:].strip()
            if event == b"[DONE]":
                is_done = True
                break
            event = json.loads(event)
            if "error" in event:
                answer.problem = f"in the stream: {event['error'].get('code')}: {event['error'].get('message')}"
                return answer
            for choice in event.get("choices", []):
                answer.text += choice.get("text") or ""
            take_facts(answer, event)
        if not is_done:
            answer.problem = "the stream broke off"
    except TimeoutError:
        answer.problem = f"hung: no end after {timeout} s"
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        answer.problem = f"{type(error).__name__}: {error}"
    finally:
        connection.close()
        answer.seconds = time.monotonic() - begin
        pulse.change(-1)
    return answer


def run(host, requests, seconds, timeout, clients=CLIENTS):
    """Sends all requests with so many clients, evenly over `seconds` where the server is fast enough; their answers in
    order, and the longest pause."""
    answers = [None] * len(requests)
    work, pulse, begin = queue.SimpleQueue(), Pulse(), time.monotonic()
    for index in range(len(requests)):
        work.put(index)

    def client():
        while True:
            try:
                index = work.get_nowait()
            except queue.Empty:
                return
            if stopping.wait(max(0.0, begin + seconds * index / len(requests) - time.monotonic())):
                return
            answers[index] = ask(host, requests[index], timeout, pulse)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, pulse.longest
