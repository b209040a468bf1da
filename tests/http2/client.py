"""A client over HTTP/2 by hand, on a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

from tests.http2 import frames as f


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = f.Reader()
        self.closed = asyncio.Event()
        self._incoming = reader
        self._writer = writer
        self._next = 1
        self._sent = 0  # bytes of bodies
        self._moved = asyncio.Event()
        self._task = asyncio.ensure_future(self._read())

    async def say(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def stream(self) -> int:
        self._next += 2
        return self._next - 2

    async def until(self, condition: Callable[[], object]) -> None:
        """Also where the connection ended before."""
        while not condition() and not self.closed.is_set():
            self._moved.clear()
            await self._moved.wait()

    async def ask(self, fields: f.Pairs, body: bytes | None = None) -> f.Answer:
        stream = self.stream()
        await self.say(f.headers(stream, fields, end=body is None))
        answer = self.reader.answer(stream)
        for at in range(0, len(body or b""), 16384):
            piece = (body or b"")[at : at + 16384]
            await self.until(lambda at=at, piece=piece: answer.end or self._room(stream, at) >= len(piece))  # type: ignore[misc]
            self._sent += len(piece)
            await self.say(f.data(stream, piece))
        if body is not None and not answer.end:
            await self.say(f.data(stream, b"", end=True))
        await self.until(lambda: answer.end)
        return answer

    def _room(self, stream: int, sent: int) -> int:
        """Bytes that the server's windows let through."""
        windows = self.reader.windows
        own = self.reader.settings.get(4, 65535) + windows.get(stream, 0) - sent
        return min(own, 65535 + windows.get(0, 0) - self._sent)

    async def _read(self) -> None:
        seen: dict[int, int] = {}
        settled = False
        try:
            while came := await self._incoming.read(65536):
                self.reader.feed(came)
                if self.reader.settings and not settled:
                    settled = True
                    self._writer.write(f.frame(f.SETTINGS, f.ACK))
                for stream, answer in list(self.reader.answers.items()):
                    fresh = len(answer.body) - seen.get(stream, 0)
                    if fresh and not answer.end:
                        self._writer.write(f.window(stream, fresh))
                    if fresh:
                        self._writer.write(f.window(0, fresh))
                        seen[stream] = len(answer.body)
                self._moved.set()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self.closed.set()
            self._moved.set()

    def drop(self) -> None:
        self._task.cancel()
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    """Of the server on loopback, whoever it says it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    tls = writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "h2"
    one = Client(reader, writer)
    try:
        await one.say(f.PREFACE + f.settings())
        yield one
    finally:
        one.drop()
