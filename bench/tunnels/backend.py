"""The backend of uploads and tunnels: `python -m bench.tunnels.backend ADDRESS`.

POST anything: takes the body and answers with its length.  GET /counts: the bytes it has `written` to and
`received` from tunnels. Upgrades: /echo sends each frame's payload back, /sink takes everything, /source
sends frames for as long as they are taken.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from bench.fixture import BACKEND_PORT, Service
from bench.tunnels.frames import accept, frame, take

PIECE = frame(bytes(1 << 16))  # what /source sends, again and again
BATCH = 16


class ByteCounts:
    """Of all tunnels, those that have ended included."""

    def __init__(self) -> None:
        self.sources: list[BackendConnection] = []
        self.received = 0

    def as_json(self) -> bytes:
        return json.dumps(
            {"written": sum(source.handed_over() for source in self.sources), "received": self.received}
        ).encode()


class BackendConnection(asyncio.Protocol):
    """One connection.  `_take` is what the bytes that come next are for."""

    def __init__(self, counts: ByteCounts) -> None:
        self._counts = counts
        self._buffer = bytearray()
        self._take: Callable[[bytes], None] = self._head
        self._missing = self._length = 0
        self._writable = True
        self._written = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pour()

    def handed_over(self) -> int:
        """Bytes that the kernel has taken."""
        return self._written - self._transport.get_write_buffer_size()

    def _head(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = bytes(self._buffer[:end]), bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        line, *lines = head.split(b"\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in lines)
        }
        self._begin(line.split(b" ")[0], line.split(b" ")[1], fields)
        if rest:
            self._take(rest)

    def _begin(self, method: bytes, path: bytes, fields: dict[bytes, bytes]) -> None:
        tunnels = {b"/echo": self._echo, b"/sink": self._sink, b"/source": self._sink}
        if fields.get(b"upgrade", b"").lower() == b"websocket" and path in tunnels:
            self._take = tunnels[path]
            self._transport.write(_switched(fields[b"sec-websocket-key"]))
            if path == b"/source":
                self._counts.sources.append(self)
                self._pour()
        elif method == b"POST":
            self._missing = self._length = int(fields[b"content-length"])
            self._take = self._body
            self._body(b"")
        elif path == b"/counts":
            self._answer(b"200 OK", self._counts.as_json())
        else:
            self._answer(b"400 Bad Request", b"not an upgrade\n")

    def _answer(self, status: bytes, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    def _body(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing <= 0:
            self._take = self._head
            self._answer(b"200 OK", b"%d" % self._length)

    def _echo(self, data: bytes) -> None:
        self._buffer += data
        while (payload := take(self._buffer)) is not None:
            self._transport.write(frame(payload))

    def _sink(self, data: bytes) -> None:
        self._counts.received += len(data)

    def _pour(self) -> None:
        for _ in range(BATCH):
            if not self._writable or self._transport.is_closing():
                return
            self._transport.write(PIECE)
            self._written += len(PIECE)
        asyncio.get_running_loop().call_soon(self._pour)


def _switched(key: bytes) -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade:"
        b" websocket\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept(key)
    )


def command(service: Service) -> list[str]:
    return [sys.executable, "-m", "bench.tunnels.backend", *service.addresses]


async def _serve(addresses: list[str]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    counts = ByteCounts()
    for address in addresses:
        await loop.create_server(lambda: BackendConnection(counts), address, BACKEND_PORT, backlog=4096)
    await ended.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1:]))
