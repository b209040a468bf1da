"""The pods and the node: every address of the cluster that somebody listens on, doing what the case at hand
says.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bastion.runtime.certificates import Authority
from tests.conformance.cases import Step
from tests.conformance.wire import LIMIT, Headers, play, read_body, read_head

LISTENING = [  # .15 is dead, and nothing but what is here answers elsewhere
    (".10", 8080),
    (".11", 8080),
    (".11", 8081),
    (".12", 8080),
    (".12", 9090),
    (".14", 8443),
    (".16", 8080),
    (".20", 8080),
    (".30", 8080),
    (".30", 10250),
]
SPEAKS_TLS = {8443, 10250}
HELLO = b"\x16"  # how a TLS handshake begins, on a port that does not speak it
PATIENCE = 1.0  # seconds for backends to notice that a case is over


@dataclass(slots=True)
class Arrival:
    """A request as a backend got it; `received` is what came after it, by the script."""

    backend: str
    line: str
    headers: Headers
    body: str = ""
    received: list[str] = field(default_factory=list)


class Backends:
    """Use as an asynchronous context manager.

    Cases come one after another, each with connections of its own.
    """

    def __init__(self, net: str, scratch: Path) -> None:
        self._net = net
        self._scratch = scratch
        self._servers: list[asyncio.Server] = []
        self._script: Sequence[Step] = ()
        self._seen: list[Arrival] = []
        self._open: set[StreamWriter] = set()
        self._busy: set[StreamWriter] = set()

    async def __aenter__(self) -> Backends:
        tls = _tls(self._scratch)
        for host, port in LISTENING:
            serve = functools.partial(self._serve, f"{host}:{port}")
            context = tls if port in SPEAKS_TLS else None
            self._servers.append(
                await asyncio.start_server(serve, self._net + host, port, ssl=context, limit=LIMIT)
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        await self._hang_up()

    def begin(self, script: Sequence[Step]) -> None:
        self._script, self._seen = script, []

    async def end(self) -> list[Arrival]:
        """What arrived since the case began; the connections it left behind are closed."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while self._busy and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.001)
        if not self._seen:
            await asyncio.sleep(0.005)  # that nothing arrives takes some waiting to see
        await self._hang_up()
        return self._seen

    async def _hang_up(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def _serve(self, name: str, reader: StreamReader, writer: StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._exchange(name, reader, writer):
                pass
        except (ConnectionError, IncompleteReadError, LimitOverrunError, ValueError, ssl.SSLError):
            pass  # the connection broke, or what came was no HTTP
        finally:
            self._open.discard(writer)
            self._busy.discard(writer)
            writer.close()

    async def _exchange(self, name: str, reader: StreamReader, writer: StreamWriter) -> bool:
        """Whether there may be another one on this connection."""
        self._busy.discard(writer)
        first = await reader.read(1)
        if first in (b"", HELLO):
            return False
        self._busy.add(writer)
        arrival = Arrival(name, *await read_head(reader, first))
        self._seen.append(arrival)
        arrival.body = await read_body(reader, arrival.headers)
        return await play(self._script, reader, writer, arrival.received)


def _tls(scratch: Path) -> ssl.SSLContext:
    pair = Authority("backends").issue(["backend"])
    pem = scratch / "backend.pem"
    pem.write_bytes(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
