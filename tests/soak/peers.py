"""Hostile peers, as a program of their own: whoever measures what they cost others must not pay for them.

`python -m tests.soak.peers ORDER`; ORDER and the outcome on stdout are JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import socket
import ssl
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field

ADDRESSES = 8  # 127.0.0.1 and those behind it, from which they come in turn
AT_ONCE = 10  # of those that do not stay
BIG = 1 << 30
ONES = 3000  # chunks of one byte
GONE = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)


@dataclass(frozen=True, slots=True)
class Order:
    """What so many peers do to a port, once each; they come within `over` seconds, one after the other as
    peers do who do not know each other; `every`: seconds between two drops; they give up after `patience`
    seconds.

    `path` is asked for, at `backend` an accomplice answers.
    """

    kind: str
    count: int
    port: int
    path: str
    token: str
    backend: tuple[str, int]
    over: float
    every: float
    patience: float


@dataclass(slots=True)
class Outcome:
    """How many were sent away and how: by status, 0 for no answer.

    `longest`: seconds the last of them was let stay.

    `stayed`: how many gave up themselves.
    """

    ended: dict[int, int] = field(default_factory=dict)
    longest: float = 0.0
    stayed: int = 0


class Peers:
    def __init__(self, order: Order) -> None:
        self._order = order
        self.outcome = Outcome()

    async def play(self) -> None:
        one: Callable[[int], Awaitable[None]] = getattr(self, self._order.kind)
        gate = asyncio.Semaphore(self._order.count if self._order.kind in STAYING else AT_ONCE)

        async def in_turn(number: int) -> None:
            await asyncio.sleep(self._order.over * number / self._order.count)
            async with gate:
                await one(number)

        async with asyncio.TaskGroup() as group:
            for number in range(self._order.count):
                group.create_task(in_turn(number))

    # --- who drips

    async def heads(self, number: int) -> None:
        await self._drip(number, b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"x" * 65536)

    async def handshakes(self, number: int) -> None:
        hello = client_hello()
        await self._drip(number, hello[:5], hello[5:])

    async def bodies(self, number: int) -> None:
        await self._drip(number, self._request("POST", "Content-Length: 100000"), b"x" * 65536)

    async def _drip(self, number: int, begin: bytes, drops: bytes) -> None:
        """A byte now and then."""
        began = time.monotonic()
        async with self._connected(number) as (reader, writer):
            answer, at = b"", 0
            with contextlib.suppress(*GONE):
                writer.write(begin)
                while time.monotonic() < began + self._order.patience:
                    try:
                        data = await asyncio.wait_for(reader.read(65536), self._order.every)
                    except TimeoutError:
                        writer.write(drops[at : at + 1])
                        at += 1
                        continue
                    if not data:
                        break
                    answer += data
                else:
                    self.outcome.stayed += 1
                    return
            self._ended(answer, began)

    # --- who says too much

    async def fields(self, number: int) -> None:
        await self._whole(number, self._request("GET")[:-2] + b"X: a\r\n" * 200_000 + b"\r\n")

    async def giants(self, number: int) -> None:
        await self._whole(number, self._request("GET")[:-2] + b"X: " + b"a" * (16 << 20) + b"\r\n\r\n")

    async def chunks(self, number: int) -> None:
        """Nothing wrong with them but their size: they are served."""
        await self._whole(
            number, self._request("POST", "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * ONES + b"0\r\n\r\n"
        )

    async def bombs(self, number: int) -> None:
        await self._whole(number, self._request("GET"))

    async def _whole(self, number: int, data: bytes) -> None:
        """All at once, and then the answer to its end."""
        began = time.monotonic()
        async with self._connected(number) as (reader, writer):
            sending = asyncio.create_task(send(writer, data))
            answer = tail = b""
            with contextlib.suppress(*GONE):
                while piece := await reader.read(65536):
                    answer, tail = answer or piece, (tail + piece)[-5:]
                    if self._order.kind == "chunks" and tail == b"0\r\n\r\n":
                        break
            await sending
            self._ended(answer, began)

    # --- who does not listen

    async def readers(self, number: int) -> None:
        """Asks for much and takes nothing of it."""
        loop, began = asyncio.get_running_loop(), time.monotonic()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            sock.bind((f"127.0.0.{1 + number % ADDRESSES}", 0))
            await loop.sock_connect(sock, ("127.0.0.1", self._order.port))
            await loop.sock_sendall(sock, self._request("GET"))
            while time.monotonic() < began + self._order.patience:
                await asyncio.sleep(self._order.every)
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.ECONNRESET, errno.EPIPE):
                    self._ended(b"", began)
                    return
            self.outcome.stayed += 1

    # --- means

    def _request(self, method: str, *lines: str) -> bytes:
        head = (
            f"{method} {self._order.path} HTTP/1.1",
            "Host: h",
            f"Authorization: Bearer {self._order.token}",
            *lines,
            "",
            "",
        )
        return "\r\n".join(head).encode()

    @contextlib.asynccontextmanager
    async def _connected(
        self, number: int
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        local = (f"127.0.0.{1 + number % ADDRESSES}", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._order.port, local_addr=local)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def _ended(self, answer: bytes, began: float) -> None:
        self.outcome.longest = max(self.outcome.longest, time.monotonic() - began)
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
        self.outcome.ended[status] = self.outcome.ended.get(status, 0) + 1


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    view = memoryview(data)
    with contextlib.suppress(*GONE):
        for at in range(0, len(view), 65536):
            writer.write(view[at : at + 65536])
            await writer.drain()


STAYING = frozenset(("heads", "handshakes", "bodies", "readers"))


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
            ssl.MemoryBIO(), outgoing, server_hostname="bastion.test"
        ).do_handshake()
    return outgoing.read()


# --- the accomplice


def bomb() -> bytes:
    """1 GiB of zeros in 1 MiB of gzip: the same block again and again, and no end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + block * (BIG >> 20)


class Accomplice:
    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._bomb = bomb() if kind == "bombs" else b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*GONE, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            if self._kind == "bombs":
                head = (
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length:"
                    b" %d\r\n\r\n"
                )
                writer.write(head % len(self._bomb) + self._bomb)
            elif self._kind == "chunks":
                await reader.readuntil(b"0\r\n\r\n")
                writer.write(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                    + b"1\r\ny\r\n" * ONES
                    + b"0\r\n\r\n"
                )
            elif self._kind == "readers":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
                for _ in range(BIG >> 16):
                    writer.write(bytes(1 << 16))
                    await writer.drain()
            while await reader.read(65536):
                pass
        writer.close()


async def main(order: Order) -> Outcome:
    peers = Peers(order)
    server = await asyncio.start_server(
        Accomplice(order.kind).serve, *order.backend, limit=1 << 20, backlog=4096
    )
    try:
        await peers.play()
    finally:
        server.close()
    return peers.outcome


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.nice(19)
    order = Order(**json.loads(sys.argv[1]))
    sys.stdout.write(json.dumps(asdict(asyncio.run(main(order)))))
