"""One request and its answer on a connection of ours: the body as it is taken, the answer as it is
written.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from typing import Protocol

from bastion.http.fields import Field
from bastion.kube.status import StatusError
from bastion.message.ownorigin import status_fields
from bastion.network.held import Held
from bastion.network.relay import Stream
from bastion.server.http1.body import ChunkedFraming, Framing, LengthFraming
from bastion.server.http1.head import Head

LEAST_RATE = 500  # bytes a second of a body, after
GRACE_SECONDS = 30.0
JOINED = 8192  # pieces up to this size are written in one with the head: one TLS record instead of two

REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}


class Shared(Protocol):
    """What all connections of a server have in common."""

    @property
    def draining(self) -> bool: ...

    @property
    def date_line(self) -> Callable[[], bytes]: ...

    @property
    def audit_id(self) -> Callable[[], str]: ...


class Connection(Protocol):
    """A client's connection, as far as one exchange needs it."""

    loop: asyncio.AbstractEventLoop
    client: str
    scheme: bytes
    certificate: tuple[bytes, ...]
    writable: bool

    @property
    def server(self) -> Shared: ...

    def await_body(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def write_pieces(self, pieces: list[bytes]) -> None: ...

    def write_continue(self) -> None: ...

    async def drain(self) -> None: ...

    def hand_over(self) -> Stream: ...

    def break_off(self) -> None: ...

    def abort(self) -> None: ...


class RequestBody(Held):
    """The body of one request; fed by the protocol, read by whoever forwards it."""

    __slots__ = (
        "_error",
        "_expects_continue",
        "_framing",
        "_protocol",
        "_unwanted",
        "_waited",
        "_waiting_since",
        "chunked",
        "length",
        "received",
        "touched",
    )

    def __init__(self, protocol: Connection, head: Head) -> None:
        super().__init__()
        self._protocol = protocol
        self.length = head.length
        self.chunked = head.chunked
        self.touched = False
        self.received = 0
        self._framing: Framing = ChunkedFraming() if head.chunked else LengthFraming(head.length or 0)
        self._expects_continue = head.expects_continue
        self._error: StatusError | None = None
        self._unwanted = False
        self._waited = 0.0  # seconds in which nothing but the client was waited for
        self._waiting_since = 0.0

    @property
    def complete(self) -> bool:
        """Its last byte has come from the client (it may still be held here)."""
        return self._framing.done

    @property
    def promised(self) -> bool:
        """The client waits for a 100 before it sends the body; it was not given."""
        return self._expects_continue and not self.received

    async def read(self) -> bytes:
        """The next piece, b"" at the end.

        Raises StatusError where the client breaks the framing or is too slow.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._framing.done:
                return b""
            if self.promised:
                self._expects_continue = False
                self._protocol.write_continue()
            self._waiter = self._protocol.loop.create_future()
            self._waiting_since = self._protocol.loop.time()
            self._protocol.await_body()
            await self._waiter
            self._waited += self._protocol.loop.time() - self._waiting_since
            if (
                self._waited > GRACE_SECONDS
                and self.received < self._waited * LEAST_RATE
                and not self._framing.done
            ):
                raise StatusError(
                    408,
                    "Timeout",
                    f"the request's body comes slower than {LEAST_RATE} bytes a second",
                    close=True,
                )
        full, data = self.full, self._take()
        if full:
            self._protocol.resume_reading()
        self.touched = True
        return data

    # --- told by the protocol

    def feed(self, data: bytes) -> bytes:
        """What follows the body.  Raises StatusError 400."""
        pieces, rest = self._framing.feed(data)
        self.received += sum(map(len, pieces))
        if self._unwanted:
            return rest
        for piece in pieces:
            self._pieces.append(piece)
            self._held += len(piece)
        if self.full:
            self._protocol.pause_reading()
        if pieces or self._framing.done:
            self._wake()
        return rest

    def discard(self) -> None:
        """Nobody will read the rest."""
        self._unwanted = True
        self._drop()

    def fail(self, error: StatusError) -> None:
        self._error = error.with_traceback(None)
        self._wake()

    @property
    def awaited(self) -> bool:
        return self._waiter is not None


class HttpExchange:
    """Implements `proxy.exchange.Exchange`.  Nothing of it outlives its request."""

    __slots__ = (
        "_body",
        "_chunked",
        "_delimited",
        "_head",
        "_protocol",
        "audit_id",
        "bytes_out",
        "certificate",
        "client",
        "fields",
        "finished",
        "host",
        "keep_alive",
        "lasting",
        "method",
        "minor",
        "scheme",
        "status",
        "target",
        "upgradable",
    )

    def __init__(self, protocol: Connection, head: Head, body: RequestBody | None) -> None:
        self._protocol = protocol
        self.method = head.method
        self.target = head.target
        self.minor = head.minor
        self.host = head.host
        self.fields: list[Field] = head.fields
        self.client = protocol.client
        self.scheme = protocol.scheme
        self.certificate = protocol.certificate
        self._body = body
        self.audit_id = head.audit_id or protocol.server.audit_id()
        self.keep_alive = head.keep_alive
        self.upgradable = head.upgrade
        self.lasting = False
        self.status = 0
        self.bytes_out = 0
        self.finished = False
        self._chunked = False
        self._delimited = True  # something but the end of the connection tells where the answer ends
        self._head = b""

    @property
    def body(self) -> RequestBody | None:
        return self._body

    @property
    def bytes_in(self) -> int:
        return self._body.received if self._body is not None else 0

    def start(
        self, status: int, reason: bytes, fields: list[Field], length: int | None, *, bodiless: bool = False
    ) -> None:
        self.status = status
        parts = [b"HTTP/1.1 %d %b\r\n" % (status, reason or REASONS.get(status, b""))]
        dated = False
        for lower, name, value in fields:
            parts.append(b"%b: %b\r\n" % (name, value))
            if lower == b"date":
                dated = True
        if not dated:
            parts.append(self._protocol.server.date_line())
        parts.append(b"Audit-Id: %b\r\n" % self.audit_id.encode())
        if length is not None and status != 204 and status >= 200:
            parts.append(b"Content-Length: %d\r\n" % length)
        elif not bodiless and length is None:
            # RFC 9112, 6.3: without a length an HTTP/1.0 client reads until the connection ends.
            if self.minor == 1:
                self._chunked = True
                parts.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self.keep_alive = self._delimited = False
        if self._protocol.server.draining and status != 101:
            self.keep_alive = False
        if not self.keep_alive:
            parts.append(b"Connection: close\r\n")
        elif self.minor == 0:
            parts.append(b"Connection: keep-alive\r\n")
        parts.append(b"\r\n")
        self._head = b"".join(parts)

    def flush(self) -> None:
        self._send(b"", b"")

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._send(data, b"")

    def finish(self, data: bytes = b"") -> None:
        if self.finished:
            return
        self.finished = True
        self.bytes_out += len(data)
        self._send(data, b"0\r\n\r\n" if self._chunked else b"")

    @property
    def writable(self) -> bool:
        return self._protocol.writable

    async def drain(self) -> None:
        await self._protocol.drain()

    def abort(self) -> None:
        """Missing bytes, or a missing last chunk, tell it all; a reset would destroy what came of the answer
        (RFC 9112, 8).
        """
        self.finished = True
        self.keep_alive = False
        if self._delimited:
            self.flush()
            self._protocol.break_off()
        else:
            self._protocol.abort()

    def hijack(self, reason: bytes, fields: list[Field]) -> Stream:
        self.keep_alive = True  # the Connection field is the upgrade's
        self.start(101, reason, fields, None, bodiless=True)
        self.finish()
        return self._protocol.hand_over()

    def send_status(self, error: StatusError) -> None:
        error.__traceback__ = None  # its frames hold this exchange, whose body may hold the error: a cycle
        if self.status:
            self.abort()
            return
        if error.close or (self._body is not None and self._body.promised):
            self.keep_alive = False
        body = error.body()
        self.start(error.code, b"", status_fields(error, self.fields), len(body))
        self.finish(b"" if self.method == "HEAD" else body)

    def _send(self, data: bytes, tail: bytes) -> None:
        head, self._head = self._head, b""
        if self._chunked and data:
            head += b"%x\r\n" % len(data)
            tail = b"\r\n" + tail
        if len(data) <= JOINED:
            data = head + data + tail
            if data:
                self._protocol.write(data)
        else:
            self._protocol.write_pieces([piece for piece in (head, data, tail) if piece])
