"""Requests under load while everything but the coordinator fails; see scripts/chaos.sh --help."""
import argparse
import asyncio
import os
import signal
import sys
import time

import chaos_cluster
import chaos_faults
import chaos_load
from chaos_proxy import Proxy


class Record:
    def __init__(self, path):
        self.begin = time.monotonic()
        self.file = open(path, "a") if path else None

    def __call__(self, line):
        line = f"{time.monotonic() - self.begin:8.1f} s  {line}"
        print(line, flush=True)
        if self.file:
            print(line, file=self.file, flush=True)


def memory(cluster):
    return {name: chaos_cluster.resident_mib(pid) for name, pid in cluster.pids().items()}


def judge(requests, answers, references, dense, record):
    """Compares texts; returns how many requests came to which end. `dense` answers those that had to go dense."""
    ends = {"answered": 0, "failed": 0, "differing": 0, "hung": 0}
    for index, (answer, reference) in enumerate(zip(answers, references)):
        if answer is None or (answer.problem or "").startswith("hung"):
            end = "hung"
        elif answer.problem:
            end = "failed"
        else:
            expected = dense[index].text if index in dense else reference.text
            end = "answered" if answer.text == expected else "differing"
        ends[end] += 1
        if end == "differing":
            record(f"request {index} ({describe(requests[index])}, replayed {answer.replays} times): "
                   f"{answer.text!r} instead of {expected!r}")
        elif end != "answered":
            record(f"request {index} ({describe(requests[index])}) {end}: {answer.problem if answer else 'no answer'}")
    return ends


def describe(body):
    words = ["streamed" if body["stream"] else "whole", "pruned" if body["speculative_prefill"] else "dense"]
    words.append("greedy" if body["temperature"] == 0 else "sampled")
    return f"{', '.join(words)}, {len(body['prompt'])} tokens"


async def trial(arguments, cluster, proxy, record):
    wrong = []
    for name, member in cluster.members.items():
        await proxy.add(member.port, name, "control" if member.role == "coordinator" else "data")
    await cluster.start("coordinator")

    async def find_ports():
        while True:
            for name, pid in cluster.pids().items():
                await proxy.discover(name, pid, {cluster.http})
            await asyncio.sleep(0.1)

    background = [asyncio.ensure_future(find_ports())]
    for name in cluster.members:
        if name != "coordinator":
            await cluster.start(name)
    if not await cluster.until("ready", 60, cluster.is_ready):
        return ["the cluster is not ready"]
    await asyncio.sleep(2)  # The second pipeline's turn.
    with open(arguments.text) as file:
        ids = await asyncio.to_thread(chaos_load.tokens, cluster.url, file.read(20_000))
    host = cluster.url.removeprefix("http://")
    requests = chaos_load.draw(arguments.seed, arguments.requests, ids)
    record(f"{len(requests)} requests of {chaos_load.CLIENTS} clients, undisturbed")
    references, pause = await asyncio.to_thread(chaos_load.run, host, requests, 0.0, arguments.timeout)
    failed = [answer.problem for answer in references if answer.problem]
    if failed:
        return [f"{len(failed)} requests of the undisturbed run failed: {failed[0]}"]
    record(f"answered; longest pause {pause:.2f} s")
    before = memory(cluster)

    faults = chaos_faults.Faults(cluster, proxy, record)
    plan = chaos_faults.draw(arguments.seed, arguments.faults)
    seconds = sum(fault["wait"] for fault in plan) + 5 if plan else 0.0
    record(f"the same with {len(plan)} faults in {seconds:.0f} s, seed {arguments.seed}")
    watch = asyncio.ensure_future(faults.watch())
    load = asyncio.ensure_future(asyncio.to_thread(chaos_load.run, host, requests, seconds, arguments.timeout))
    await faults.run(plan, load.done)
    answers, pause = await load
    watch.cancel()
    wrong += faults.unasked

    if not await cluster.until("ready after all faults", 60, cluster.is_ready):
        wrong.append("the cluster is not ready again")
    held = {}

    def is_free():
        held.clear()
        held.update((labels, rows) for labels, rows in cluster.metrics("winnow_kv_tokens_used").items() if rows)
        return not held

    if not await cluster.until("KV of every stage is free", 30, is_free):
        wrong.append(f"KV rows are held: {held}")
    # Who had to go dense because speculators were lost is compared with a dense answer.
    fallen = [
        index for index, answer in enumerate(answers)
        if answer and not answer.problem and answer.fallback and not references[index].fallback
    ]
    whole = [dict(requests[index], speculative_prefill=False) for index in fallen]
    dense = dict(zip(fallen, (await asyncio.to_thread(chaos_load.run, host, whole, 0.0, arguments.timeout))[0]))
    ends = judge(requests, answers, references, dense, record)
    after = memory(cluster)
    print_summary(arguments, ends, answers, pause, faults, before, after, len(fallen), held)
    for name in ("failed", "differing", "hung"):
        if ends[name]:
            wrong.append(f"{ends[name]} requests {name}")
    for name, mib in after.items():
        if mib and before.get(name) and mib > before[name] * 1.5 + 64:
            wrong.append(f"{name} has grown from {before[name]} to {mib} MiB")
    for task in background:
        task.cancel()
    return wrong


def print_summary(arguments, ends, answers, pause, faults, before, after, fallen, held):
    done = [answer for answer in answers if answer]
    replayed = [answer.replays for answer in done if answer.replays]
    gap = max((answer.longest_gap for answer in done), default=0)
    slowest = max((answer.seconds for answer in done), default=0)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.by_kind.items()))
    print(f"\nseed              {arguments.seed}")
    print("requests          " + ", ".join(f"{count} {end}" for end, count in ends.items()))
    print(f"replayed          {len(replayed)} requests, at most {max(replayed, default=0)} times; {fallen} went dense")
    print(f"faults            {sum(faults.by_kind.values())}: {kinds}")
    print(f"longest pause     {pause:.2f} s without an answer or token for anyone; {gap:.2f} s in one stream")
    print(f"slowest request   {slowest:.2f} s")
    print(f"KV rows held      {sum(held.values()):.0f}")
    print("resident MiB      " + ", ".join(f"{name} {before.get(name)} -> {mib}" for name, mib in after.items()))


async def main():
    parser = argparse.ArgumentParser(prog="chaos.py")
    parser.add_argument("--winnow", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--logs", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--timeout", type=float, default=180)
    parser.add_argument("--record")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--coordinator-options", default="")
    arguments = parser.parse_args()
    os.makedirs(arguments.logs, exist_ok=True)
    record = Record(arguments.record)
    cluster = chaos_cluster.Cluster(
        arguments.winnow, arguments.models, arguments.logs, arguments.small, arguments.coordinator_options.split()
    )
    proxy = Proxy(cluster.pids)
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    wrong = []
    try:
        wrong = await trial(arguments, cluster, proxy, record)
    finally:
        chaos_load.stopping.set()
        wrong += [f"at the end {what}" for what in await cluster.stop()]
    for what in wrong:
        print(f"LOST  {what}", flush=True)
    print("nothing was lost" if not wrong else f"logs: {arguments.logs}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except asyncio.CancelledError:
        sys.exit(130)
