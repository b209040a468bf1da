"""Enough of HTTP/1.1 for the sample workloads: one request at a time, with its whole body."""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

LARGEST_HEAD = 64 * 1024
LARGEST_BODY = 1 << 20
IDLE = 75.0  # seconds a connection may wait for its next request


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """`target` is the path with its query, as it came."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str:
        """The first of this name (lower case), empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SampleResponse:
    """`body` is whole, or a stream of pieces.

    With `talk` the response is 101 without a body, and `talk` takes the connection over.
    """

    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "text/plain; charset=utf-8"
    code: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    talk: Talk | None = None


Answer = Callable[[SampleRequest], SampleResponse]


@contextlib.asynccontextmanager
async def serving(answer: Answer, at: socket.socket) -> AsyncIterator[None]:
    """Answers on a socket that listens, until the end of the block."""
    conversations: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        with contextlib.suppress(asyncio.CancelledError):  # which asyncio's streams would report
            await converse(reader, writer, answer)
        conversations.discard(task)

    server = await asyncio.start_server(accept, sock=at, limit=LARGEST_HEAD)
    try:
        yield
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Serves one connection until either side ends it."""
    try:
        while True:
            async with asyncio.timeout(IDLE):
                request = await _request(reader)
            if request is None:
                return
            said = answer(request)
            if said.talk is not None:
                writer.write(_head(101, [("Connection", "Upgrade"), *said.headers]))
                await said.talk(reader, writer)
                return
            if not await _respond(writer, request, said):
                return
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # the client left, or does not speak HTTP
    finally:
        writer.close()


async def _request(reader: asyncio.StreamReader) -> SampleRequest | None:
    """None at the end of the connection.  Raises ValueError for a request that is not supported."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = []
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator:
            raise ValueError("a header without a colon")
        headers.append((name, value.strip()))
    request = SampleRequest(method, target, tuple(headers))
    if request.header("transfer-encoding"):
        raise ValueError("a body without a length is not read here")
    if (length := int(request.header("content-length") or 0)) > LARGEST_BODY:
        raise ValueError("a body of this length is not read here")
    return SampleRequest(method, target, tuple(headers), await reader.readexactly(length))


async def _respond(writer: asyncio.StreamWriter, request: SampleRequest, answer: SampleResponse) -> bool:
    """Whether the connection can carry another request."""
    keep = request.header("connection").lower() != "close" and isinstance(answer.body, bytes)
    headers = [("Content-Type", answer.content_type)]
    headers += (
        [("Content-Length", str(len(answer.body)))]
        if isinstance(answer.body, bytes)
        else [("Cache-Control", "no-store")]
    )
    writer.write(
        _head(answer.code, [*headers, ("Connection", "keep-alive" if keep else "close"), *answer.headers])
    )
    if request.method != "HEAD":
        if isinstance(answer.body, bytes):
            writer.write(answer.body)
        else:
            async for piece in answer.body:
                writer.write(piece)
                await writer.drain()
    await writer.drain()
    return keep


def _head(code: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [
        f"HTTP/1.1 {code} {http.HTTPStatus(code).phrase}",
        *(f"{name}: {value}" for name, value in headers),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")
