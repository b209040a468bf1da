"""TCP to a Service's address: accepted, led to an endpoint, relayed until both sides ended."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import cast

from bastion.network.addresses import client_of
from bastion.network.relay import Relay, Stream
from bastion.network.sockets import prepare, reset_on_close
from bastion.node.endpoints import Backend
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.limits import Concurrency

TRIES = (0.25, 0.5, 1.0, 2.0)  # seconds for a connection to an endpoint; the next try takes the next one
BACKLOG = 512
BUSY = 0.5  # of all: from here on no client has more than an even share

Choose = Callable[[str], Backend | None]  # for a client's address; None: it may not come
_log = logging.getLogger("bastion.node")


class Connections:
    """All that is relayed, TCP connections and UDP flows: at most `most` at a time.

    Where half of them are there, a client (an IPv6 client is a /64) has its even share at most.
    """

    def __init__(self, deadlines: Deadlines, most: int) -> None:
        self.deadlines = deadlines
        self.most = most
        self.inside = 0
        self._clients = Concurrency(0)
        self.relays: set[Relay] = set()
        self.at: Counter[str] = Counter()  # by the address that clients asked for
        self.released: list[Callable[[str], None]] = []  # told of an address that none is left at
        self.tasks: set[asyncio.Task[None]] = set()

    def enter(self, client: str) -> bool:
        """False where there is no room for it.  Every True is followed by one `leave`."""
        key = client_of(client)
        share = self.most // (len(self._clients) + 1)
        if self.inside >= self.most or (self.inside >= self.most * BUSY and self._clients.of(key) >= share):
            return False
        self.inside += 1
        return self._clients.enter(key)

    def leave(self, client: str) -> None:
        self.inside -= 1
        self._clients.leave(client_of(client))

    def begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def relay(self, client: Stream, backend: Stream) -> None:
        """Of a client that has entered; it leaves when the relay ends."""
        address = client.transport.get_extra_info("sockname")[0]
        source = client.transport.get_extra_info("peername")[0]
        relay = Relay(client, backend, self.deadlines, 0.0, None)
        self.relays.add(relay)
        self.at[address] += 1
        relay.finished.add_done_callback(lambda _: self._ended(relay, address, source))

    def _ended(self, relay: Relay, address: str, source: str) -> None:
        self.relays.discard(relay)
        self.leave(source)
        self.at[address] -= 1
        if not self.at[address]:
            del self.at[address]
            for told in self.released:
                told(address)

    async def close(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for relay in list(self.relays):
            relay.end("the proxy ends")


class _Held(asyncio.Protocol):
    """A connection until the relay takes it over: nothing is read, and what came all the same is kept."""

    def __init__(self, accepted: Callable[[asyncio.Transport, _Held], None] | None = None) -> None:
        self.early = b""
        self.ended = self.lost = False
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio
        made.pause_reading()
        if self._accepted is not None:
            self._accepted(made, self)

    def data_received(self, data: bytes) -> None:
        self.early += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class TcpListener:
    """`choose` says where a client goes, `failed` is told of a client whose endpoint could not be reached."""

    def __init__(self, connections: Connections, choose: Choose, failed: Callable[[str], None]) -> None:
        self._connections = connections
        self._choose = choose
        self._failed = failed
        self._server: asyncio.Server | None = None

    async def listen(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Held(self._accepted), sock=sock, backlog=BACKLOG)

    def close(self) -> None:
        """No more connections; those that are there go on."""
        if self._server is not None:
            self._server.close()

    def _accepted(self, transport: asyncio.Transport, held: _Held) -> None:
        client = transport.get_extra_info("peername")[0]
        if not self._connections.enter(client):
            transport.abort()
            return
        self._connections.begin(self._lead(transport, held, client))

    async def _lead(self, transport: asyncio.Transport, held: _Held, client: str) -> None:
        relayed = False
        try:
            relayed = await self._relayed(transport, held, client)
        finally:
            if not relayed:
                self._connections.leave(client)
                reset_on_close(transport)
                transport.abort()

    async def _relayed(self, transport: asyncio.Transport, held: _Held, client: str) -> bool:
        """Whether a relay has taken it over."""
        prepare(transport.get_extra_info("socket"))
        for patience in TRIES:
            chosen = self._choose(client)
            if chosen is None or held.lost:
                break
            try:
                async with asyncio.timeout(patience):
                    loop = asyncio.get_running_loop()
                    other, theirs = await loop.create_connection(_Held, *chosen)
            except (OSError, TimeoutError):
                self._failed(client)
                continue
            prepare(other.get_extra_info("socket"))
            if held.lost:
                other.abort()
                break
            self._connections.relay(
                Stream(transport, held.early, _nothing, held.ended),
                Stream(other, theirs.early, _nothing, theirs.ended),
            )
            return True
        return False


def _nothing() -> None:
    """Nobody else waits for its end."""


def listening_socket(address: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Of a port that the next process may open beside this one (SO_REUSEPORT).  Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock
