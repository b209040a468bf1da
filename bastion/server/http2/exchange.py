"""One request and its response on one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bastion.http.fields import Field, field_of
from bastion.kube.status import StatusError
from bastion.network.http2.codec import Code, Pair
from bastion.network.relay import Stream
from bastion.proxy.exchange import Direct
from bastion.server.http1.head import Head
from bastion.server.http2 import response
from bastion.server.http2.body import StreamBody
from bastion.server.http2.connection import Connection
from bastion.server.status import write_status


class StreamExchange:
    """Implements `proxy.exchange.Exchange`.

    `hand_over` makes a raw connection of the stream; None where no WebSocket was asked for.
    """

    minor = 1  # what is asked of an HTTP/1.1 client holds for one of HTTP/2, too
    http2 = True
    keep_alive = True

    def __init__(
        self,
        connection: Connection,
        stream: int,
        head: Head,
        body: StreamBody | None,
        hand_over: Callable[[], Stream] | None = None,
    ) -> None:
        self._connection = connection
        self.stream = stream
        self.audit_id = head.audit_id or connection.server.audit_id()
        self.method = head.method
        self.target = head.target
        self.host = head.host
        self._fields = None if head.decided else head.fields
        self._lines = head.lines
        self.passed = head.passed
        self.key = head.key
        self.direct: Direct | None = None
        self.task: asyncio.Task[None] | None = None
        peer = connection.peer
        self.client = peer.address
        self.scheme = peer.scheme
        self.certificate = peer.certificate
        self.body = body
        self._hand_over = hand_over
        self.upgradable = hand_over is not None
        self.lasting = False
        self.status = 0
        self.bytes_out = 0
        self.finished = False
        self._head: Sequence[Pair] | None = None  # that is not sent yet

    @property
    def fields(self) -> list[Field]:
        """Read when they are asked for first, where what they decide is remembered."""
        if self._fields is None:
            self._fields = [field_of(line) for line in self._lines]
        return self._fields

    def all_fields(self) -> list[Field]:
        return [field_of(line) for line in self._lines]

    @property
    def bytes_in(self) -> int:
        return self.body.received if self.body is not None else 0

    def done(self) -> None:
        self._connection.direct_done(self)

    def go_on(self) -> asyncio.Task[None]:
        return self._connection.go_on(self)

    # --- the response

    def start(
        self, status: int, reason: bytes, fields: list[Field], length: int | None, *, bodiless: bool = False
    ) -> None:
        self.status = status
        server = self._connection.server
        self._head = head = response.head(status, fields, server.date_line(), self.audit_id)
        if length is not None and status != 204 and status >= 200:
            head.append((b"content-length", b"%d" % length))

    def send(self, status: int, parts: list[bytes], body: bytes, *, dated: bool) -> None:
        self.status = status
        self.finished = True
        self.bytes_out = len(body)
        connection, stream = self._connection, self.stream
        pairs = connection.written.pairs(parts, self.client)
        if not dated:
            pairs.append(response.pair_of(connection.server.date_line()))
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

    def hijack(self, reason: bytes, fields: list[Field]) -> Stream:
        if self._hand_over is None:
            raise NotImplementedError("only a WebSocket takes a stream over")
        self.status = 101
        self.finished = True
        self.lasting = True
        server = self._connection.server
        pairs = response.accepted(fields, server.date_line(), self.audit_id)
        self._connection.send_head(self.stream, pairs)
        return self._hand_over()

    def send_status(self, error: StatusError) -> None:
        write_status(self, error)
