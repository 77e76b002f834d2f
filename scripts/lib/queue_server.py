"""A server whose maximal QPS is known: one server, one queue, a stated service time. Standard library only.

    queue_server.py [--service MS] [--law constant|exponential] [--seed N] [--tokens N] [--stall-after S --stall S]
                    [--tls CERTIFICATE.pem KEY.pem]

It speaks just enough of the OpenAI protocol to be measured: a request waits for those before it, takes its service time,
and is then answered by an event stream of --tokens chunks. Nothing is computed: the queue is arithmetic, the waiting a timer,
so that thousands of requests a second cost little. With --service 0 it answers at once. Prints `ready URL`.
"""

import argparse
import asyncio
import json
import random
import selectors
import ssl
import sys

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--service", type=float, default=10, help="mean service time in ms (default 10)")
parser.add_argument("--law", choices=["constant", "exponential"], default="constant", help="of service times")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--tokens", type=int, default=1, help="chunks of an answer, all at once (default 1)")
parser.add_argument("--stall-after", type=float, default=0, help="seconds after the first request at which it stalls")
parser.add_argument("--stall", type=float, default=0, help="seconds the stall lasts")
parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="serve https")
options = parser.parse_args()

service = options.service / 1000
times = random.Random(options.seed)
busy_until = 0.0
first = None

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(data: bytes) -> bytes:
    text = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(text), text)


TOKEN = event(b'{"choices":[{"index":0,"text":"a","finish_reason":null}]}')
LAST = event(b'{"choices":[{"index":0,"text":"","finish_reason":"length"}]}')
ANSWER = HEAD + TOKEN * options.tokens + LAST + event(b"[DONE]") + b"0\r\n\r\n"
MODELS = json.dumps({"object": "list", "data": [{"id": "queue"}]}).encode()


def departure(now: float) -> float:
    """When a request that comes now has been served."""
    global busy_until, first
    first = now if first is None else first
    start = max(now, busy_until)
    if options.stall and first + options.stall_after <= start < first + options.stall_after + options.stall:
        start = first + options.stall_after + options.stall
    busy_until = start + (times.expovariate(1 / service) if options.law == "exponential" else service)
    return busy_until


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = b""

    def data_received(self, data):
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            length = 0
            for line in head.split(b"\r\n")[1:]:
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head)

    def answer(self, head):
        if head.startswith(b"get /v1/models"):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(MODELS), MODELS))
        elif not head.startswith(b"post /v1/"):
            self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        elif service == 0:
            self.transport.write(ANSWER)
        else:
            loop = asyncio.get_running_loop()
            loop.call_at(departure(loop.time()), self.write)

    def write(self):
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def main():
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096, ssl=context)
    print(f"ready {'https' if context else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


# epoll's timers are whole milliseconds, which is a visible part of the service time; select's are not. It holds 1000 connections.
loop = asyncio.SelectorEventLoop(selectors.SelectSelector()) if service else asyncio.new_event_loop()
try:
    loop.run_until_complete(main())
except KeyboardInterrupt:
    sys.exit(130)
