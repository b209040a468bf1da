"""How a response of ours is written: its head, framed as the version of HTTP allows, and its body."""

from __future__ import annotations

import http
from collections.abc import Sequence

import msgspec

from bastion.http.fields import Field
from bastion.observe.record import Trail
from bastion.proxy.exchange import ResponseHead
from bastion.server.http1.connection import Connection

JOINED = 8192  # pieces up to this size are written in one with the head: one TLS record instead of two

REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}
_KEPT = b"Audit-Id: %b\r\n\r\n"
_CLOSED = b"Audit-Id: %b\r\nConnection: close\r\n\r\n"


class ResponseWriter(msgspec.Struct, eq=False):
    """`keep_alive`: another request may follow on the connection."""

    _protocol: Connection
    minor: int
    keep_alive: bool
    audit_id: str
    status: int = 0
    added: tuple[Field, ...] = ()
    trail: Trail | None = None
    bytes_out: int = 0
    finished: bool = False
    _chunked: bool = False
    _delimited: bool = True  # something but the end of the connection tells where the response ends
    _head: bytes = b""
    _held: tuple[bytes, bytes] | None = None

    def start(
        self, status: int, reason: bytes, fields: list[Field], length: int | None, *, bodiless: bool = False
    ) -> None:
        self.status = status
        if self.trail is not None:
            self.trail.started(status)
        parts = [b"HTTP/1.1 %d %b\r\n" % (status, reason or REASONS.get(status, b""))]
        dated = False
        for lower, name, value in [*fields, *self.added] if self.added else fields:
            parts.append(b"%b: %b\r\n" % (name, value))
            if lower == b"date":
                dated = True
        if not dated:
            parts.append(self._protocol.server.date_line())
        if self.audit_id:
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

    def send(self, head: ResponseHead, body: bytes) -> None:
        protocol = self._protocol
        server = protocol.server
        self.status = head.status
        self.finished = True
        self.bytes_out = head.length
        if server.draining:
            self.keep_alive = False
        date = b"" if head.dated else server.date_line()
        end = (_KEPT if self.keep_alive else _CLOSED) % self.audit_id.encode()
        if head.length <= JOINED:
            protocol.write(b"".join((head.lines, date, end, body)))
        else:
            protocol.write_pieces([b"".join((head.lines, date, end)), body])

    def flush(self) -> None:
        self._send(b"", b"")

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._send(data, b"")

    def interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        if self.minor == 1 and not self.status:  # RFC 9110, 15.2: HTTP/1.0 knows none
            self._protocol.write(
                b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason or REASONS.get(status, b""), _lines(fields))
            )

    def finish(self, data: bytes = b"", trailers: Sequence[Field] = ()) -> None:
        if self.finished:
            return
        self.finished = True
        self.bytes_out += len(data)
        tail = (b"0\r\n%b\r\n" % _lines(trailers) if trailers else b"0\r\n\r\n") if self._chunked else b""
        if self.trail is not None and self.trail.holds and self.status != 101:
            self._held = (data, tail)
        else:
            self._send(data, tail)

    async def let_go(self) -> None:
        """Sends the end of a response that waited for its audit events."""
        held, self._held = self._held, None
        if held is not None and self.trail is not None:
            await self.trail.delivered()
            self._send(*held)

    @property
    def writable(self) -> bool:
        return self._protocol.gate.writable

    async def drain(self) -> None:
        await self._protocol.gate.drain()

    def abort(self) -> None:
        """Missing bytes, or a missing last chunk, show that it is cut short; a reset would destroy what came
        of the response (RFC 9112, 8).
        """
        self.finished = True
        self.keep_alive = False
        if self._delimited:
            self.flush()
            self._protocol.break_off()
        else:
            self._protocol.abort()

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


def _lines(fields: Sequence[Field]) -> bytes:
    return b"".join(b"%b: %b\r\n" % (name, value) for _, name, value in fields)
