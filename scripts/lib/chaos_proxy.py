"""A TCP proxy that knows which process is at each end of a link, and can cut, hold and delay single links.

Processes listen on 127.0.0.1 and tell others that they are at 127.0.0.2; there the proxy listens at the same ports.
A link is (kind, one end, the other): "control" where a worker talks to the coordinator's first port, "data" elsewhere.
"""
import asyncio
import os

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"


def sockets():
    """Yields (local port, remote address, state, inode) of this host's IPv4 TCP sockets."""
    with open("/proc/net/tcp") as table:
        next(table)
        for line in table:
            words = line.split()
            local, remote, state, inode = words[1], words[2], words[3], words[9]
            yield int(local[9:], 16), (remote[:8], int(remote[9:], 16)), state, inode


def inodes(pid):
    """The inodes of a process's sockets; none if it has ended."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def listening_ports(pid):
    own = inodes(pid)
    return {port for port, _, state, inode in sockets() if state == "0A" and inode in own}


class Link:
    """What is done to the bytes of a link, all of its connections."""

    def __init__(self):
        self.is_cut = False
        self.delay = 0.0
        self.flows = asyncio.Event()
        self.flows.set()
        self.writers = set()

    def cut(self):
        self.is_cut = True
        for writer in list(self.writers):
            writer.transport.abort()

    def heal(self):
        self.is_cut, self.delay = False, 0.0
        self.flows.set()


class Proxy:
    """Ports are added as processes come to listen at them."""

    def __init__(self, pids):
        """`pids()` gives the process id of each name that runs."""
        self.pids = pids
        self.ports = {}  # port: (name of who listens, kind)
        self.links = {}  # (kind, client, server): Link
        self.servers = {}

    async def add(self, port, name, kind):
        self.ports[port] = (name, kind)
        if port not in self.servers:
            self.servers[port] = await asyncio.start_server(
                lambda reader, writer: self.serve(port, reader, writer), OUTSIDE, port
            )

    async def discover(self, name, pid, without):
        """Adds what a process listens at besides what is known: data ports that it chose itself."""
        for port in listening_ports(pid) - set(self.ports) - without:
            try:
                await self.add(port, name, "data")
            except OSError:
                pass  # Taken by a stranger since; whoever connects will say so.

    def link(self, kind, client, server):
        return self.links.setdefault((kind, client, server), Link())

    def of(self, name, kinds):
        """The links of a process. Those of neighbours it has not talked to yet are not among them."""
        return [
            link for (kind, client, server), link in self.links.items() if kind in kinds and name in (client, server)
        ]

    def client(self, port):
        """Who has the socket with this local port."""
        inode = next((inode for local, remote, _, inode in sockets() if local == port and remote[1] in self.ports), None)
        return next((name for name, pid in self.pids().items() if inode in inodes(pid)), None)

    async def serve(self, port, reader, writer):
        server, kind = self.ports[port]
        name = self.client(writer.get_extra_info("peername")[1])
        if name is None:  # It has ended meanwhile.
            writer.transport.abort()
            return
        link = self.link(kind, name, server)
        other = None
        link.writers.add(writer)
        try:
            if link.is_cut:
                return
            far, other = await asyncio.open_connection(INSIDE, port)
            link.writers.add(other)
            if link.is_cut:
                return
            await asyncio.wait(
                [asyncio.ensure_future(self.pump(link, *ends)) for ends in ((reader, other), (far, writer))]
            )
        except OSError:
            pass
        finally:
            for end in (writer, other):
                if end is not None:
                    link.writers.discard(end)
                    end.transport.abort()

    async def pump(self, link, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                if link.delay:
                    await asyncio.sleep(link.delay)
                await link.flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            # One direction has ended: so has the link. Without this the other would wait for its peer's next word.
            if not writer.transport.is_closing():
                writer.close()
