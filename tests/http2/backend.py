"""An HTTP/2 backend by hand: a script says what it does on each stream."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.network.addresses import DialPolicy
from bastion.network.connections import ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.http2.pool import Http2Pool
from bastion.network.transport import Transport
from bastion.runtime.deadlines import Deadlines
from bastion.settings.kinds import network
from bastion.settings.sections import Timeouts
from tests.fakes import LOOPBACK, NO_KUBELET_TLS, USUAL
from tests.http2 import frames as f

PREFACE = len(f.PREFACE)


class Connection:
    """One that was accepted; `reader` has what its client sent."""

    def __init__(self, backend: Http2Backend, writer: asyncio.StreamWriter) -> None:
        self._backend = backend
        self._writer = writer
        self._served: set[int] = set()
        self.reader = f.Reader()
        self.ended = asyncio.Event()

    @property
    def open(self) -> int:
        """Streams that have begun and not ended, in either direction."""
        return len(self._served)

    def say(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))

    def answer(self, stream: int, body: bytes = b"", *fields: tuple[str, str], status: int = 200) -> None:
        self.say(f.headers(stream, [(":status", str(status)), *fields], end=not body))
        if body:
            self.say(f.data(stream, body, end=True))
        self._served.discard(stream)

    def drop(self) -> None:
        self._writer.transport.abort()

    async def run(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(PREFACE)
            self.say(self._backend.settings)
            begun: set[int] = set()
            while came := await reader.read(65536):
                self.reader.feed(came)
                for stream, answer in list(self.reader.answers.items()):
                    if stream not in begun and answer.heads:
                        begun.add(stream)
                        self._served.add(stream)
                        self._backend.most = max(self._backend.most, self.open)
                        self._backend.seen.append(answer.heads[0])
                        self._backend.script(self, stream)
        self.ended.set()
        self._writer.close()


Script = Callable[[Connection, int], None]


def ok(connection: Connection, stream: int) -> None:
    connection.answer(stream, b"ok")


def silent(connection: Connection, stream: int) -> None:
    """Nothing comes."""


@dataclass
class Http2Backend:
    """`most` streams were open at once on one connection; `seen` are the heads of requests."""

    script: Script
    settings: bytes = field(default_factory=f.settings)
    tls: ssl.SSLContext | None = None
    alpn: tuple[str, ...] = ("h2", "http/1.1")
    connections: list[Connection] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    most: int = 0
    port: int = 0

    def endpoint(self) -> Endpoint:
        if self.tls is not None:
            return Endpoint(LOOPBACK, self.port, TLSProfile(alpn=self.alpn))
        return Endpoint(LOOPBACK, self.port, h2c=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, writer)
        self.connections.append(connection)
        await connection.run(reader)

    @contextlib.asynccontextmanager
    async def serving(self, address: str = LOOPBACK, port: int = 0) -> AsyncIterator[Http2Backend]:
        server = await asyncio.start_server(self._accept, address, port, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in self.connections:
                connection.drop()


@contextlib.asynccontextmanager
async def wire(
    timeouts: Timeouts = USUAL, connect_timeout: float = USUAL.connect
) -> AsyncIterator[tuple[Transport, Http2Pool]]:
    """Our side, that may dial loopback."""
    async with Deadlines() as clock:
        dialer = Dialer(DialPolicy([network("127.0.0.0/8")]), NO_KUBELET_TLS, clock, connect_timeout)
        pool = ConnectionPool(dialer, clock)
        multiplexed = Http2Pool(dialer, clock, pool.new)
        try:
            yield Transport(pool, timeouts, multiplexed), multiplexed
        finally:
            multiplexed.close()
            pool.close()
            await asyncio.sleep(0)
