"""What scripts/soak.sh does to the processes of a cluster under load: they are killed, asked to leave, ended."""
import http.client
import json
import os
import signal
import threading
import time

import chaos_load

CLIENTS = 4
REQUESTS = 300
# The longest time without a token for anyone, seconds.
PAUSE_WITHOUT_SPARE = 6.0
PAUSE_WITH_SPARE = 1.5
# What the bubble of metrics and trace may differ by.
BUBBLE_DIFFERENCE = 0.02


class Outcome:
    """What came of a weather."""

    def __init__(self, count, wrong, before=None, after=None, said="", troubles_are_wanted=False, is_over=False):
        self.count, self.wrong, self.said = count, wrong, said
        self.before, self.after = before or {}, after or {}
        # Faults and ends are what the weather is.
        self.troubles_are_wanted = troubles_are_wanted
        # The cluster has ended.
        self.is_over = is_over


def drawn(soaked, arguments, count):
    with open(arguments.text) as file:
        ids = chaos_load.tokens(soaked.url, file.read(20_000))
    requests = chaos_load.draw(1, count, ids)
    for request in requests:
        request["model"] = soaked.model()
    return requests


def until(what, seconds, is_so):
    """Waits until `is_so`; a line to be told where that takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not chaos_load.stopping.is_set():
        try:
            if is_so():
                return None
        except (OSError, ValueError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    return f"not in {seconds} s: {what}"


def crew(soaked):
    """Who has which place, in numbers that come back when all are back."""
    status = json.loads(soaked.get("/status"))
    standing = all(pipeline["is_standing"] for pipeline in status["pipelines"])
    return standing, len(status["spares"]), sum(1 for one in status["speculators"] if one["is_ready"])


def end_one(soaked, name, number, whole, wrong):
    """Sends a signal to a process, and waits until another life of it has made the cluster whole again."""
    pid = soaked.pids[name]
    os.kill(pid, number)
    for what, is_so in (
        (f"another life of {name}", lambda: soaked.children().get(name, pid) != pid),
        (f"all in their places after {name}", lambda: crew(soaked) == whole),
    ):
        problem = until(what, 60, is_so)
        if problem:
            wrong.append(problem)
    soaked.pids = soaked.children()
    # The load goes on for a while before the next.
    chaos_load.stopping.wait(2)


def under_load(soaked, arguments, names, number, longest):
    """Four clients send requests again and again while the named processes end one after the other."""
    requests = drawn(soaked, arguments, REQUESTS)
    references, _ = chaos_load.run(soaked.host, requests, 0.0, 120, CLIENTS)
    wrong = [f"undisturbed: {answer.problem}" for answer in references if answer.problem]
    whole, is_over, count, pauses, replays, dense = crew(soaked), threading.Event(), 0, [], 0, 0

    def ends():
        chaos_load.stopping.wait(2)
        for name in names:
            end_one(soaked, name, number, whole, wrong)
        is_over.set()

    ending = threading.Thread(target=ends)
    ending.start()
    while not is_over.is_set() and not chaos_load.stopping.is_set():
        answers, pause = chaos_load.run(soaked.host, requests, 0.0, 180, CLIENTS)
        pauses.append(pause)
        for answer, reference in zip(answers, references):
            count += 1
            if answer is None or answer.problem:
                wrong.append(answer.problem if answer else "no answer")
            elif answer.fallback and not reference.fallback:
                dense += 1
            elif answer.text != reference.text:
                wrong.append(f"{answer.text!r} instead of {reference.text!r}")
            replays += 1 if answer and answer.replays else 0
    ending.join()
    pause = max(pauses, default=0.0)
    if longest is not None and pause > longest:
        wrong.append(f"nobody got anything for {pause:.2f} s, at most {longest} s are wanted")
    return Outcome(
        count, wrong, said=f"{len(names)} ended; longest pause {pause:.2f} s; {replays} replayed, {dense} went dense",
        troubles_are_wanted=True)


def workers(soaked):
    return sorted(name for name in soaked.pids if name != "coordinator")


def killed(soaked, arguments):
    """Either worker of a pipeline without a spare, started again after 3 s."""
    return under_load(soaked, arguments, workers(soaked), signal.SIGKILL, PAUSE_WITHOUT_SPARE)


def spare(soaked, arguments):
    """Either worker of a pipeline with a spare."""
    names = [name for name in workers(soaked) if name.startswith("worker")]
    return under_load(soaked, arguments, names, signal.SIGKILL, PAUSE_WITH_SPARE)


def rolling(soaked, arguments):
    """Everything but the coordinator is started again, in order."""
    return under_load(soaked, arguments, workers(soaked), signal.SIGTERM, None)


def drain(soaked, _):
    """The cluster is asked to end while 20 streams run."""
    # Of 2048 tokens, prompt and answer.
    bodies = [
        {"model": soaked.model(), "prompt": f"Chapter {index}. Once upon a time", "max_tokens": 800,
         "ignore_eos": True, "stream": True, "temperature": 0}
        for index in range(20)
    ]
    references = [chaos_load.ask(soaked.host, dict(body, max_tokens=20), 60, chaos_load.Pulse()) for body in bodies]
    wrong = [f"undisturbed: {answer.problem}" for answer in references if answer.problem]
    answers, pulse = [None] * len(bodies), chaos_load.Pulse()

    def client(index):
        answers[index] = chaos_load.ask(soaked.host, bodies[index], 120, pulse)

    clients = [threading.Thread(target=client, args=(index,)) for index in range(len(bodies))]
    for thread in clients:
        thread.start()
    running = len(bodies)
    problem = until("20 streams run", 30, lambda: soaked.total("winnow_requests_running") == running)
    os.kill(soaked.launch, signal.SIGTERM)
    early = sum(1 for answer in answers if answer)
    if problem or early:
        wrong.append(problem or f"{early} streams had ended before the signal")
    # Nobody is sent here any more, and whoever is here is answered.
    problem = until("503 from /health/ready", 5, lambda: not is_ready(soaked))
    wrong += [problem] if problem else []
    for thread in clients:
        thread.join()
    for answer, reference in zip(answers, references):
        if answer.problem:
            wrong.append(answer.problem)
        elif not answer.text.startswith(reference.text) or len(answer.text) <= len(reference.text):
            wrong.append(f"{answer.text[:200]!r} does not go on from {reference.text!r}")
    return Outcome(len(bodies), wrong, said="asked to end while 20 streams ran", is_over=True)


def is_ready(soaked):
    connection = http.client.HTTPConnection(soaked.host, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def bubble(soaked, arguments):
    """The share of its pipeline's time in which each stage had nothing to do: of the metrics, and of the trace."""
    requests = drawn(soaked, arguments, 100)
    answers, _ = chaos_load.run(soaked.host, requests, 0.0, 120, CLIENTS)
    wrong = [answer.problem for answer in answers if answer.problem]
    if not soaked.calm():
        wrong.append("requests or KV rows are left")
    metered = {}
    for stage in range(2):
        busy, active = (soaked.total(f"winnow_stage_{what}_seconds_total", f'stage="{stage}"') for what in ("busy", "active"))
        metered[stage] = 1 - busy / active
    os.kill(soaked.launch, signal.SIGTERM)
    problem = until("the end of the cluster", 30, lambda: not soaked.children())
    wrong += [problem] if problem else []
    traced = bubbles(arguments.trace)
    said = []
    for stage, share in metered.items():
        said.append(f"stage {stage} {share:.3f} by the metrics, {traced.get(stage, -1):.3f} by the trace")
        if abs(share - traced.get(stage, -1)) > BUBBLE_DIFFERENCE:
            wrong.append(f"the bubble of {said[-1]}")
    return Outcome(len(requests), wrong, said="bubble: " + "; ".join(said), is_over=True)


def bubbles(path):
    """Of a trace of one pipeline: each stage's bubble."""
    with open(path) as file:
        # The array's end is missing, and a comma stands there.
        events = json.loads(file.read().rstrip().rstrip(",") + "]")
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    busy, spans = {}, []
    for event in events:
        if event["ph"] != "X":
            continue
        row = rows[event["tid"]]
        if row.endswith("under way"):
            spans.append((event["ts"], event["ts"] + event["dur"]))
        elif row == "compute":
            stage = int(processes[event["pid"]].partition(" stage ")[2].partition(":")[0])
            busy[stage] = busy.get(stage, 0) + event["dur"]
    active, reached = 0, 0
    for start, end in sorted(spans):
        active += max(0, end - max(start, reached))
        reached = max(reached, end)
    return {stage: 1 - time_busy / active for stage, time_busy in busy.items()} if active else {}
