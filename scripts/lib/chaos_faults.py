"""What goes wrong in a run: drawn from its seed, done to processes and links, undone, and recorded."""
import asyncio
import random
import signal

KINDS = [
    "kill", "kill-loading", "stop", "leave", "kill-leaving", "cut-control", "cut-data", "cut-both", "hold-control",
    "hold-data", "hold-both", "slow-data",
]
LINKS = {"control": ("control",), "data": ("data",), "both": ("control", "data")}


def draw(seed, count):
    """`count` faults, every kind as often as the others: what, to whom, for how long, and the wait before it."""
    chance = random.Random(f"faults {seed}")
    kinds = []
    while len(kinds) < count:
        some = list(KINDS)
        chance.shuffle(some)
        kinds += some
    faults = []
    for kind in kinds[:count]:
        longest = {"kill": 3.0, "kill-loading": 1.0, "leave": 1.0, "kill-leaving": 2.0, "stop": 8.0}.get(kind, 4.0)
        faults.append({
            "kind": kind, "victim": chance.random(), "seconds": chance.uniform(0.5, longest),
            "moment": chance.uniform(0.02, 0.5), "wait": chance.uniform(0.5, 4.0),
        })
    return faults


class Faults:
    def __init__(self, cluster, proxy, record):
        self.cluster, self.proxy, self.record = cluster, proxy, record
        self.by_kind = {}
        self.unasked = []

    async def run(self, faults, is_over):
        """Does the faults one after the other, some while earlier ones last; returns when all are undone."""
        under_way = []
        for fault in faults:
            await asyncio.sleep(fault["wait"])
            if is_over():
                self.record("the load is over before its faults")
                break
            member = self.victim(fault)
            if member is None:
                continue
            member.busy = True
            self.by_kind[fault["kind"]] = self.by_kind.get(fault["kind"], 0) + 1
            under_way.append(asyncio.ensure_future(self.do(member, fault)))
        await asyncio.gather(*under_way)

    def victim(self, fault):
        kind = fault["kind"].partition("-")
        members = [
            member for member in self.cluster.members.values()
            if member.role != "coordinator" and not member.busy and member.pid
            and (kind[2] != "data" or self.proxy.of(member.name, ("data",)))
        ]
        return members[int(fault["victim"] * len(members))] if members else None

    async def do(self, member, fault):
        kind, seconds = fault["kind"], fault["seconds"]
        self.record(f"{kind:13} {member.name:14} for {seconds:.1f} s")
        try:
            if kind in ("kill", "kill-loading"):
                await self.end(member, signal.SIGKILL)
                await asyncio.sleep(seconds)
                await self.cluster.start(member.name)
                if kind == "kill-loading":
                    await asyncio.sleep(fault["moment"])
                    await self.end(member, signal.SIGKILL)
                    await asyncio.sleep(seconds)
                    await self.cluster.start(member.name)
            elif kind in ("leave", "kill-leaving"):
                self.cluster.signal(member.name, signal.SIGTERM)
                if kind == "kill-leaving":
                    await asyncio.sleep(fault["moment"])
                    self.cluster.signal(member.name, signal.SIGKILL)
                try:
                    await asyncio.wait_for(asyncio.shield(member.process.wait()), 60)
                except asyncio.TimeoutError:
                    self.unasked.append(f"{member.name} did not leave within 60 s")
                    await self.end(member, signal.SIGKILL)
                if kind == "leave" and member.process.returncode != 0:
                    self.unasked.append(f"{member.name} left with {member.process.returncode}")
                await asyncio.sleep(seconds)
                await self.cluster.start(member.name)
            elif kind == "stop":
                self.cluster.signal(member.name, signal.SIGSTOP)
                await asyncio.sleep(seconds)
                self.cluster.signal(member.name, signal.SIGCONT)
            else:
                await self.harm(member, kind, seconds)
            self.record(f"{kind:13} {member.name:14} over")
        finally:
            member.busy = False

    async def end(self, member, number):
        self.cluster.signal(member.name, number)
        await member.process.wait()

    async def harm(self, member, kind, seconds):
        """Cuts, holds or slows the links of a process, those that come meanwhile too."""
        what, _, kinds = kind.partition("-")
        end, harmed = asyncio.get_running_loop().time() + seconds, set()
        while asyncio.get_running_loop().time() < end:
            for link in self.proxy.of(member.name, LINKS[kinds]):
                if link in harmed:
                    continue
                harmed.add(link)
                if what == "cut":
                    link.cut()
                elif what == "hold":
                    link.flows.clear()
                else:
                    link.delay = 0.05
            await asyncio.sleep(0.02)
        for link in harmed:
            link.heal()

    async def watch(self):
        """Notes processes that end though nobody told them to, and starts them again."""
        while True:
            await asyncio.sleep(0.2)
            for member in self.cluster.members.values():
                ended = member.process is not None and member.process.returncode is not None
                if not ended or member.busy:
                    continue
                self.unasked.append(f"{member.name} ended by itself with {member.process.returncode}")
                self.record(self.unasked[-1])
                if member.role == "coordinator":
                    return
                member.busy = True
                await asyncio.sleep(1)
                await self.cluster.start(member.name)
                member.busy = False
