"""A worker in an asyncio program: `host.py stage|speculator MODEL COORDINATOR`.

Prints one line an event. SIGTERM or SIGINT drains. Exit status 0: the worker ended in order.
"""

import asyncio
import signal
import sys

from winnow_worker import Worker, WorkerError


async def main(role: str, model: str, coordinator: str) -> int:
    loop = asyncio.get_running_loop()
    with Worker(model, coordinator, role, name="python") as worker:
        worker.start()
        for end in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(end, worker.drain)
        async for event in worker.events():
            print(0, event.kind, event.text, flush=True)
            if event.kind == "ended" and event.code:
                return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: host.py stage|speculator MODEL COORDINATOR")
    try:
        sys.exit(asyncio.run(main(*sys.argv[1:])))
    except WorkerError as error:
        sys.exit(f"host: {error} ({error.code})")
