"""How a response of ours is written to a stream: its head, its body, its trailers or a reset."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.http.fields import Field
from bastion.network.http2.codec import Code, Pair
from bastion.observe.record import Trail
from bastion.proxy.exchange import ResponseHead
from bastion.server.http2 import response
from bastion.server.http2.connection import Connection


class StreamWriter:
    # what most responses never change
    status = 0
    added: tuple[Field, ...] = ()
    trail: Trail | None = None
    bytes_out = 0
    finished = False
    _head: Sequence[Pair] | None = None  # that is not sent yet
    _held: tuple[bytes, Sequence[Field]] | None = None  # the end, until it is let go

    def __init__(self, connection: Connection, stream: int, audit_id: str) -> None:
        self._connection = connection
        self.stream = stream
        self.audit_id = audit_id

    def begun(self) -> None:
        """The response has."""

    def interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        if not self.status:
            self._connection.send_interim(self.stream, response.interim(status, fields))

    def start(
        self, status: int, reason: bytes, fields: list[Field], length: int | None, *, bodiless: bool = False
    ) -> None:
        self.status = status
        self.begun()
        if self.trail is not None:
            self.trail.started(status)
        server = self._connection.server
        self._head = head = response.head(status, [*fields, *self.added], server.date_line(), self.audit_id)
        if length is not None and status != 204 and status >= 200:
            head.append((b"content-length", b"%d" % length))

    def send(self, head: ResponseHead, body: bytes) -> None:
        self.status = head.status
        self.finished = True
        self.bytes_out = head.length
        connection, stream = self._connection, self.stream
        pairs = connection.written.pairs(head.lines, connection.peer.address)
        if not head.dated:
            pairs.append(connection.written.date(connection.server.date_line()))
        pairs.append((b"audit-id", self.audit_id.encode()))
        connection.send_head(stream, pairs, ended=not body)
        if body:
            connection.send_data(stream, body, ended=True)

    def flush(self) -> None:
        self._send_head()

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._send_head()
        self._connection.send_data(self.stream, data)

    def finish(self, data: bytes = b"", trailers: Sequence[Field] = ()) -> None:
        if self.finished:
            return
        self.finished = True
        self.bytes_out += len(data)
        if self.trail is not None and self.trail.holds:
            self._held = (data, trailers)
        else:
            self._send_end(data, trailers)

    async def let_go(self) -> None:
        """Sends the end of a response that waited for its audit events."""
        held, self._held = self._held, None
        if held is not None and self.trail is not None:
            await self.trail.delivered()
            self._send_end(*held)

    def _send_end(self, data: bytes, trailers: Sequence[Field]) -> None:
        last = response.trailers(trailers)
        head_alone = self._send_head(ended=not data and not last)
        if data or not (head_alone or last):
            self._connection.send_data(self.stream, data, ended=not last)
        if last:
            self._connection.send_trailers(self.stream, last)

    def _send_head(self, *, ended: bool = False) -> bool:
        """Whether it was sent just now."""
        head, self._head = self._head, None
        if head is None:
            return False
        self._connection.send_head(self.stream, head, ended=ended)
        return True

    @property
    def writable(self) -> bool:
        return self._connection.writable(self.stream)

    async def drain(self) -> None:
        await self._connection.drain(self.stream)

    def abort(self) -> None:
        """The reset shows that it is cut short."""
        if self.finished:
            return
        self.finished = True
        self._send_head()
        self._connection.reset(self.stream, Code.INTERNAL_ERROR)
