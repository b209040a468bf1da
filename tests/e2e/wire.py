"""HTTP/1.1 by hand, for both ends: a client that sees every byte of an answer, a backend that sends whatever
it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bastion.kube.errorwords import WORDS
from tests.e2e.harness import ALICE, PORT, Bastion

GONE = (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError)


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer; `fields` with the names as they came, `head` the raw bytes."""

    start: str
    fields: list[tuple[str, str]]
    head: bytes
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        """Empty where there is none; more than one is a failure."""
        found = self.all(name)
        assert len(found) < 2, self.head
        return found[0] if found else ""

    def names(self) -> set[str]:
        return {key.lower() for key, _ in self.fields}

    # of a request

    @property
    def method(self) -> str:
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    # of an answer

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection, whichever end of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        """Returns once the other end, or the buffers between, took it."""
        for piece in pieces:
            self.writer.write(piece)
        await self.writer.drain()

    async def head(self) -> Message:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        start, *lines = raw[:-4].decode("latin-1").split("\r\n")
        return Message(
            start, [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)], raw
        )

    async def chunk(self) -> bytes:
        """The next chunk's data, empty for the last one (and what trailers follow it are read)."""
        size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size:
            data = await self.reader.readexactly(size + 2)
            assert data[-2:] == b"\r\n"
            return data[:-2]
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return b""

    async def body(self, head: Message, *, until_end: bool = False) -> bytes:
        """As RFC 9112, 6.3 has it; `until_end`: without a length there is one, up to the end of the
        connection.
        """
        if head.one("Transfer-Encoding"):
            assert head.one("Transfer-Encoding") == "chunked"
            assert not head.all("Content-Length")
            return b"".join([chunk async for chunk in self.chunks()])
        if head.one("Content-Length"):
            return await self.reader.readexactly(int(head.one("Content-Length")))
        return await self.reader.read() if until_end else b""

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.chunk():
            yield chunk

    async def message(self, *, until_end: bool = False) -> Message:
        head = await self.head()
        return Message(head.start, head.fields, head.head, await self.body(head, until_end=until_end))

    async def ended(self) -> bytes:
        """What comes until the other end is gone, in good order or not."""
        rest = bytearray()
        with contextlib.suppress(*GONE):
            while data := await self.reader.read(65536):
                rest += data
        return bytes(rest)

    def reset(self) -> None:
        """RST, as of a process that crashed."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


# --- the client's end


class Client(Wire):
    async def answer(self, method: str = "GET") -> Message:
        """The next answer, wholly."""
        head = await self.head()
        if method == "HEAD" or head.status in (204, 304) or head.status < 200:
            return head
        return Message(head.start, head.fields, head.head, await self.body(head, until_end=True))


def request(
    path: str,
    *lines: str,
    method: str = "GET",
    token: str = ALICE,
    body: bytes | None = None,
    host: str = "bastion.test",
    version: str = "1.1",
) -> bytes:
    """`lines` are header lines as written; a `body` is sent with its length."""
    head = [f"{method} {path} HTTP/{version}", *([f"Host: {host}"] if host else []), *lines]
    head += [f"Authorization: Bearer {token}"] if token else []
    head += [f"Content-Length: {len(body)}"] if body is not None else []
    return "\r\n".join((*head, "", "")).encode("latin-1") + (body or b"")


@contextlib.asynccontextmanager
async def client(bastion: Bastion, *, plain: bool = False, **more: Any) -> AsyncIterator[Client]:
    if plain:
        reader, writer = await asyncio.open_connection("127.0.0.1", bastion.plain_port, **more)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", bastion.port, ssl=bastion.trust, **more)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def ask(bastion: Bastion, data: bytes) -> Message:
    """One request on a connection of its own."""
    async with client(bastion) as wire:
        await wire.send(data)
        return await wire.answer(data.partition(b" ")[0].decode())


def assert_status(answer: Message, code: int, reason: str | None = None) -> None:
    """A whole `Status`, marked as the bastion's own."""
    status = answer.json()
    assert (answer.status, answer.one("Content-Type")) == (code, "application/json"), answer
    assert (status["kind"], status["apiVersion"], status["status"], status["code"]) == (
        "Status",
        "v1",
        "Failure",
        code,
    )
    assert status["message"]
    cause = status["details"]["causes"][0]
    assert answer.one("X-Bastion-Error") == cause["reason"]
    assert cause["field"] == WORDS[cause["reason"]].hop
    assert code in WORDS[cause["reason"]].codes
    assert answer.one("Audit-Id")
    if reason is not None:
        assert status["reason"] == reason


# --- the backend's end


class Visit(Wire):
    """A connection to a backend; `number` counts from 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        super().__init__(reader, writer)
        self.number = number

    async def answer(self, body: bytes = b"", *lines: str, status: str = "200 OK") -> None:
        head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""))
        await self.send(head.encode() + body)

    async def send_chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    @property
    def certificate(self) -> dict[str, Any] | None:
        """What the other end showed of itself."""
        found: dict[str, Any] | None = self.writer.get_extra_info("ssl_object").getpeercert()
        return found


Serve = Callable[[Visit], Awaitable[None]]


def sending(data: bytes, *, stay: bool = False) -> Serve:
    """These bytes for one request, whatever it is; then the end, unless the backend is to `stay` until the
    other side leaves.
    """

    async def serve(visit: Visit) -> None:
        await visit.message()
        await visit.send(data)
        if stay:
            await visit.ended()

    return serve


class Backend:
    """What listens at a pod.  `visits` are the connections that came, `requests` what `echo` read of them."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.requests: list[Message] = []
        self.errors: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def echo(self, visit: Visit) -> None:
        """Tells each request what it was."""
        while True:
            message = await self._take(visit)
            said = {
                "method": message.method,
                "target": message.target,
                "fields": message.fields,
                "body": message.body.decode("latin-1"),
            }
            await visit.answer(json.dumps(said).encode(), "Content-Type: application/json")

    async def _take(self, visit: Visit) -> Message:
        message = await visit.message()
        self.requests.append(message)
        return message

    @contextlib.asynccontextmanager
    async def at(
        self, address: str, serve: Serve | None = None, port: int = PORT, **more: Any
    ) -> AsyncIterator[Backend]:
        """`serve` is called for each connection, which ends with it; `echo` where none is given."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            visit = Visit(reader, writer, len(self.visits) + 1)
            self.visits.append(visit)
            task = asyncio.ensure_future(self._serve(visit, serve or self.echo))
            self._tasks.add(task)

        server = await asyncio.start_server(accept, address, port, **more)
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not self.errors, self.errors

    async def _serve(self, visit: Visit, serve: Serve) -> None:
        try:
            await serve(visit)
        except GONE:
            pass  # the other end left
        except Exception as error:
            self.errors.append(error)
        finally:
            visit.close()


def backend(
    address: str, serve: Serve | None = None, port: int = PORT, **more: Any
) -> contextlib.AbstractAsyncContextManager[Backend]:
    return Backend().at(address, serve, port, **more)
