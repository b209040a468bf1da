"""One request and its response on one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bastion.http.fields import Field
from bastion.kube.status import StatusError
from bastion.network.relay import Stream
from bastion.proxy.exchange import Direct
from bastion.server.http1.head import Head
from bastion.server.http2 import response
from bastion.server.http2.body import StreamBody
from bastion.server.http2.connection import Connection
from bastion.server.http2.request import StreamRequest
from bastion.server.http2.writer import StreamWriter
from bastion.server.status import write_status


class StreamExchange(StreamRequest, StreamWriter):
    """Implements `proxy.exchange.Exchange`.

    `hand_over` makes a raw connection of the stream; None where neither a WebSocket nor a tunnel was asked
    for.
    """

    keep_alive = True
    direct: Direct | None = None
    task: asyncio.Task[None] | None = None
    lasting = False

    def __init__(
        self,
        connection: Connection,
        stream: int,
        head: Head,
        body: StreamBody | None,
        hand_over: Callable[[], Stream] | None = None,
    ) -> None:
        StreamWriter.__init__(self, connection, stream, head.audit_id or connection.server.audit_id())
        StreamRequest.__init__(self, head, connection.peer)
        self.body = body
        self._hand_over = hand_over
        self.upgradable = hand_over is not None

    @property
    def bytes_in(self) -> int:
        return self.body.received if self.body is not None else 0

    def begun(self) -> None:
        if self.body is not None:
            self.body.streams = True

    def done(self) -> None:
        self._connection.direct_done(self)

    def go_on(self) -> asyncio.Task[None]:
        return self._connection.go_on(self)

    def hijack(self, reason: bytes, fields: list[Field], status: int = 101) -> Stream:
        if self._hand_over is None:
            raise NotImplementedError("only a WebSocket or a tunnel takes a stream over")
        self.status = status
        if self.trail is not None:
            self.trail.started(status)
        self.finished = True
        self.lasting = True
        server = self._connection.server
        pairs = response.accepted(fields, server.date_line(), self.audit_id)
        self._connection.send_head(self.stream, pairs)
        return self._hand_over()

    def send_status(self, error: StatusError) -> None:
        write_status(self, error, self._connection.server.error_page)
