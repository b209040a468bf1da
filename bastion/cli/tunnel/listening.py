"""Local ports: each connection to one is a tunnel of its own, and ends alone."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence

from bastion.cli.tunnel.connecting import Connecting, Refused, told
from bastion.cli.tunnel.ports import shown
from bastion.network.relay import Relay, Stream
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import StartError

TRIES = 16  # for a free port that is free in both families
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

Open = Callable[["Accepted"], Awaitable[None]]


class Accepted(asyncio.Protocol):
    """A local client's connection, whose bytes wait until a tunnel is there."""

    def __init__(self, serve: Open) -> None:
        self._serve = serve
        self._held = bytearray()
        self._came = asyncio.Event()
        self.ended = False
        self.transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._serve(self)
        except (Refused, OSError, StartError, EOFError) as error:
            sys.stderr.write(f"bastion tunnel: {told(error)}\n")
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._held += data
        self._came.set()
        if len(self._held) > 65536:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.ended = True
        self._came.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._came.set()

    async def read(self, size: int) -> bytes:
        """Raises EOFError."""
        while len(self._held) < size:
            if self.ended:
                raise EOFError("the local client left")
            self._came.clear()
            await self._came.wait()
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def take_over(self) -> Stream:
        self.transport.pause_reading()
        return Stream(self.transport, bytes(self._held), _nothing, self.ended)


class Joining:
    """Joins local connections with tunnels."""

    def __init__(self, connecting: Connecting, deadlines: Deadlines) -> None:
        self._connecting = connecting
        self._deadlines = deadlines

    async def join(self, local: Accepted, authority: str, ready: bytes = b"") -> None:
        """`ready` is told to the local client first.  Returns at the end of the tunnel."""
        tunnel = await self._connecting.open(authority)
        if ready:
            local.transport.write(ready)
        relay = Relay(local.take_over(), tunnel.take_over(), self._deadlines, 0, None)
        await relay.finished


def bound(addresses: Sequence[tuple[str, bool]], port: int) -> list[socket.socket]:
    """One socket for each address, the same port on all.  Raises StartError."""
    for _ in range(TRIES):
        sockets: list[socket.socket] = []
        number = port
        try:
            for address, needed in addresses:
                sock = _bound(address, number, needed=needed)
                if sock is not None:
                    sockets.append(sock)
                    number = sock.getsockname()[1]
        except OSError as error:
            for sock in sockets:
                sock.close()
            if port or error.errno != errno.EADDRINUSE:
                raise StartError(f"{shown(address, number)}: {(error.strerror or '').lower()}") from error
        else:
            return sockets
    raise StartError("no port is free on all these addresses")


def _bound(address: str, port: int, *, needed: bool) -> socket.socket | None:
    """None where the machine does not have the address, and it is not needed.  Raises OSError."""
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError:
        if needed:
            raise
        return None
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        if needed or error.errno not in _ABSENT:
            raise
        return None
    return sock


async def serve(sockets: Sequence[socket.socket], open_: Open) -> list[asyncio.Server]:
    loop = asyncio.get_running_loop()
    return [await loop.create_server(lambda: Accepted(open_), sock=sock) for sock in sockets]


def _nothing() -> None:
    pass
