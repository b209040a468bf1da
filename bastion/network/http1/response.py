"""A backend's response as it comes: head, body piece by piece, and how the head says where the body ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from bastion.http.fields import Field
from bastion.network.errors import NetworkError
from bastion.network.held import HIGH_WATER, Held

# told of an interim response: status, reason, fields
Interim = Callable[[int, bytes, list[Field]], None]


class Source(Protocol):
    """The connection that a response comes from; `interim` is told of what comes before it."""

    loop: asyncio.AbstractEventLoop
    interim: Interim | None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Response(Held):
    """`length` is the body's length in bytes; None where chunks or the connection's end delimit it.

    `trailers` are all there once the body has been read to its end.
    """

    __slots__ = (
        "_connection",
        "_ended",
        "_error",
        "_loop",
        "bodiless",
        "chunked",
        "fields",
        "keep_alive",
        "length",
        "reason",
        "status",
        "trailers",
        "until_close",
    )

    def __init__(
        self,
        connection: Source,
        status: int,
        reason: bytes,
        fields: list[Field],
        length: int | None,
        bodiless: bool,
    ) -> None:
        super().__init__()
        self._connection: Source | None = connection
        self._loop = connection.loop
        self.status = status
        self.reason = reason
        self.fields = fields
        self.length = length
        self.bodiless = bodiless
        self.trailers: Sequence[Field] = ()
        self.keep_alive = False  # by its head, another response may follow on the connection
        self.chunked = False
        self.until_close = False  # only the end of the connection tells where the body ends
        self._ended = False
        self._error: NetworkError | None = None

    @property
    def complete(self) -> bool:
        """All of it has come (it may still be held here)."""
        return self._ended

    @property
    def ready(self) -> bool:
        """Something of its body is here, or it has none."""
        return self._ended or bool(self._pieces)

    @property
    def exhausted(self) -> bool:
        """All of it has come and was read."""
        return self._ended and not self._pieces

    async def read(self) -> bytes:
        """The next piece of the body, b"" at its end.  Raises NetworkError where it is cut short."""
        while not self._pieces:
            if self._ended:
                return b""
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()
            await self._waiter
        full, data = self._held > HIGH_WATER, self._take()
        if full and self._connection is not None:
            self._connection.resume_reading()
        return data

    # --- called by the connection

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER and self._connection is not None:
            self._connection.pause_reading()
        if self._waiter is not None:
            self._wake()

    def end(self) -> None:
        self._ended = True
        if self._waiter is not None:
            self._wake()

    def fail(self, error: NetworkError) -> None:
        self._error = self._error or error  # the first is the cause, what follows its consequence
        self._wake()

    def let_go(self) -> None:
        """The connection is gone, or no longer HTTP's."""
        self._connection = None


def framing(fields: list[Field]) -> tuple[int | None, bool]:
    """(length, chunked) of a response's body (RFC 9112, 6.3).

    Raises ValueError where the fields contradict each other.
    """
    length: int | None = None
    chunked = False
    for lower, _, value in fields:
        if lower == b"content-length":
            if not value.isdigit() or len(value) > 18 or (length is not None and length != int(value)):
                raise ValueError("an invalid Content-Length")
            length = int(value)
        elif lower == b"transfer-encoding":
            if chunked or value.lower() != b"chunked":
                raise ValueError("an unsupported Transfer-Encoding")
            chunked = True
    if chunked and length is not None:
        raise ValueError("both Content-Length and Transfer-Encoding")
    return length, chunked


def kept_for(value: bytes) -> float | None:
    """Seconds of `timeout=` in a Keep-Alive field (RFC 2068, 19.7.1.1, as servers still send it); None where
    it says nothing.
    """
    for parameter in value.split(b","):
        name, _, seconds = parameter.strip().partition(b"=")
        seconds = seconds.strip(b' \t"')
        if name.strip().lower() == b"timeout" and seconds.isdigit() and len(seconds) < 10:
            return float(seconds)
    return None
