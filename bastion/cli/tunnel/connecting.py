"""A connection through the bastion: TLS, CONNECT, and then the raw stream."""

from __future__ import annotations

import asyncio
import json

from bastion.cli.place import Place
from bastion.kube.status import StatusError
from bastion.network.relay import Stream
from bastion.network.tls.layer import SharedBuffers, TLSLayer
from bastion.runtime.deadlines import Deadlines

PATIENCE = 30.0  # seconds for the bastion's answer: it dials meanwhile
MAX_HEAD = 65536
HELD = 65536  # bytes of the stream, before reading pauses


class Refused(Exception):
    """The bastion's own words; `code` is HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Conversation(asyncio.Protocol):
    """Asks with `head`; `answered` is the status with what came behind the answer's head."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._came = b""
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self.answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        assert self._transport is not None
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self.answered.done():
            if len(self._came) > HELD and self._transport is not None:
                self._transport.pause_reading()
            return
        self._look()

    def _look(self, *, over: bool = False) -> None:
        head, end, rest = self._came.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        if not end or len(words) < 2 or not words[1].isdigit():
            if over or len(self._came) > MAX_HEAD:
                self.answered.set_exception(ConnectionResetError("the bastion ended the connection"))
            return
        code = int(words[1])
        if 200 <= code < 300:
            self._came = rest
            self.answered.set_result((code, b""))
        elif over or len(rest) >= _length(head):
            self.answered.set_result((code, rest))

    def eof_received(self) -> bool:
        self._ended = True
        if not self.answered.done():
            self._look(over=True)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self._look(over=True)

    def take_over(self) -> Stream:
        assert self._transport is not None
        return Stream(self._transport, self._came, _nothing, self._ended)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Connecting:
    def __init__(self, place: Place, deadlines: Deadlines) -> None:
        self._place = place
        self._deadlines = deadlines
        self._buffers = SharedBuffers()

    async def open(self, authority: str) -> Conversation:
        """To be taken over.  Raises Refused, OSError, StartError."""
        shown = await self._place.authorization()
        field = f"Proxy-Authorization: {shown}\r\n" if shown else ""
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{field}User-Agent: bastion\r\n\r\n"
        conversation = Conversation(head.encode("latin-1", "replace"))
        layer = TLSLayer(
            conversation, self._place.tls, self._deadlines, self._buffers, server_hostname=self._place.host
        )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.create_connection(lambda: layer, self._place.host, self._place.port)
                await layer.established
                code, body = await conversation.answered
        except TimeoutError as error:
            layer.abandon()
            raise ConnectionError(f"{self._place.url} does not answer") from error
        except BaseException:
            layer.abandon()
            raise
        if code >= 300:
            conversation.close()
            raise Refused(code, _message(body) or f"{self._place.url} answered {code}")
        return conversation

    async def check(self, authority: str) -> None:
        """Whether it opens; it is closed at once.  Raises as `open`."""
        (await self.open(authority)).close()


def told(error: Exception) -> str:
    if isinstance(error, StatusError):
        return error.message
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return 0


def _message(body: bytes) -> str:
    """A Status says what helps, the missing rule too."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return ""


def _nothing() -> None:
    pass
