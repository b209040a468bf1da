"""What does a message cost a proxy?

Small frames go there and back on many tunnels, one at a time on each.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from bench.fixture import Service, User
from bench.processes import Program
from bench.streams import BrokenResponse
from bench.tunnels import frames
from bench.tunnels.client import Entrance

TUNNELS = 32
PAYLOAD = 64
WARM_UP = 0.5  # seconds
OPENING = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class EchoFigures:
    """`cpu_us`: the proxy's CPU for one message there and back."""

    rate: float
    cpu_us: float
    busy: float


class EchoClient(asyncio.Protocol):
    """Sends a frame, waits for its payload to come back, and so on.

    `broken` says what went wrong, None while nothing did.
    """

    def __init__(self, path: str, user: User) -> None:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        payload = secrets.token_bytes(PAYLOAD)
        self._handshake = frames.handshake(path, key, user.authorization)
        self._ball = frames.frame(payload, secrets.token_bytes(4))
        self._expected = frames.frame(payload)
        self._buffer = b""
        self._transport: asyncio.Transport
        self.opened = asyncio.get_running_loop().create_future()
        self.bounced = 0
        self.broken: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done():
            self._read_head()
        elif self._buffer == self._expected:
            self._buffer = b""
            self.bounced += 1
            self._transport.write(self._ball)
        elif not self._expected.startswith(self._buffer):
            self._fail("something else came back than was sent")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("a tunnel was closed")

    def start(self) -> None:
        self._transport.write(self._ball)

    def close(self) -> None:
        self.broken = self.broken or ""  # what is lost from now on is not amiss
        self._transport.abort()

    def _read_head(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if end:
            self._buffer = rest
            self.opened.set_result(head)

    def _fail(self, why: str) -> None:
        if self.broken is None:
            self.broken = why
        if not self.opened.done():
            self.opened.set_exception(BrokenResponse(why))
        self._transport.abort()


async def measure(
    entrance: Entrance, program: Program, service: Service, users: Sequence[User], seconds: float
) -> EchoFigures:
    """Raises BrokenResponse, OSError, TimeoutError."""
    path = f"{service.prefix}/echo"
    bouncers = await asyncio.gather(*(_open(entrance, path, users[i % len(users)]) for i in range(TUNNELS)))
    try:
        for bouncer in bouncers:
            bouncer.start()
        await asyncio.sleep(WARM_UP)
        loop = asyncio.get_running_loop()
        begun, cpu, bounced = loop.time(), program.cpu_seconds, _sum(bouncers)
        await asyncio.sleep(seconds)
        took, cpu, bounced = loop.time() - begun, program.cpu_seconds - cpu, _sum(bouncers) - bounced
        broken = next((bouncer.broken for bouncer in bouncers if bouncer.broken is not None), None)
        if broken is not None or not bounced:
            raise BrokenResponse(broken or "nothing came back")
        return EchoFigures(bounced / took, cpu / bounced * 1e6, cpu / took)
    finally:
        for bouncer in bouncers:
            bouncer.close()


async def _open(entrance: Entrance, path: str, user: User) -> EchoClient:
    async with asyncio.timeout(OPENING):
        loop = asyncio.get_running_loop()
        _, bouncer = await loop.create_connection(
            lambda: EchoClient(path, user), "127.0.0.1", entrance.port, ssl=entrance.tls
        )
        head: bytes = await bouncer.opened
    if not head.startswith(b"HTTP/1.1 101 "):
        raise BrokenResponse(f"an upgrade was answered with {head[:40]!r}")
    return bouncer


def _sum(bouncers: Sequence[EchoClient]) -> int:
    return sum(bouncer.bounced for bouncer in bouncers)
