"""A connection on loopback: one end for the program under test to take over, the other a socket that does as
it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
PIECE = 1 << 16


class Before(asyncio.Protocol):
    """What a connection's protocol was before it was taken over: it must hear nothing any more."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        # uvloop begins to read only after this
        asyncio.get_running_loop().call_soon(self.transport.pause_reading)

    def data_received(self, data: bytes) -> None:
        self.heard.append("data")

    def eof_received(self) -> None:
        self.heard.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append("lost")


class End:
    """The far end of one of the two connections: it reads nothing that it is not told to."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def read(self, count: int) -> bytes:
        read = bytearray()
        while len(read) < count:
            data = await self._loop.sock_recv(self._sock, min(count - len(read), PIECE))
            assert data, f"ended after {len(read)} of {count} bytes"
            read += data
        return bytes(read)

    async def rest(self) -> bytes:
        """To the end, in good order or not."""
        read = bytearray()
        with contextlib.suppress(ConnectionError):
            while data := await self._loop.sock_recv(self._sock, PIECE):
                read += data
        return bytes(read)

    async def pour(self) -> None:
        """For as long as the other end takes it."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self.send(bytes(PIECE))

    def end(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()


@contextlib.contextmanager
def connection(small: bool) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(far, near) ends; `small`: the kernel holds little between them."""
    with socket.create_server((LOOPBACK, 0)) as listener, socket.socket() as far:
        if small:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        far.connect(listener.getsockname())
        near, _ = listener.accept()
        if small:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        far.setblocking(False)
        near.setblocking(False)
        yield far, near
