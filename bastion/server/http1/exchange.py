"""One request and its response on a connection of ours."""

from __future__ import annotations

import asyncio

from bastion.http.fields import Field, field_of
from bastion.kube.status import StatusError
from bastion.network.relay import Stream
from bastion.proxy.exchange import Direct
from bastion.server.http1.body import RequestBody
from bastion.server.http1.connection import Connection
from bastion.server.http1.head import Head
from bastion.server.http1.response import ResponseWriter
from bastion.server.status import write_status


class HttpExchange(ResponseWriter):
    """Implements `proxy.exchange.Exchange`.  Nothing of it outlives its request."""

    __slots__ = (
        "_body",
        "_fields",
        "_lines",
        "certificate",
        "client",
        "direct",
        "host",
        "key",
        "lasting",
        "method",
        "passed",
        "scheme",
        "target",
        "upgradable",
    )
    http2 = False

    def __init__(self, protocol: Connection, head: Head, body: RequestBody | None) -> None:
        super().__init__(protocol, head.minor, head.keep_alive, head.audit_id or protocol.server.audit_id())
        self.method = head.method
        self.target = head.target
        self.host = head.host
        self._fields = None if head.decided else head.fields
        self._lines = head.lines
        self.passed = head.passed
        self.key = head.key
        self.direct: Direct | None = None
        peer = protocol.peer
        self.client = peer.address
        self.scheme = peer.scheme
        self.certificate = peer.certificate
        self._body = body
        self.upgradable = head.upgrade
        self.lasting = False

    @property
    def fields(self) -> list[Field]:
        """Read when they are asked for first, where what they decide is remembered."""
        if self._fields is None:
            self._fields = [field_of(line) for line in self._lines]
        return self._fields

    def all_fields(self) -> list[Field]:
        return [field_of(line) for line in self._lines]

    def done(self) -> None:
        self._protocol.direct_done(self)

    def go_on(self) -> asyncio.Task[None]:
        return self._protocol.go_on(self)

    @property
    def body(self) -> RequestBody | None:
        return self._body

    @property
    def bytes_in(self) -> int:
        return self._body.received if self._body is not None else 0

    def hijack(self, reason: bytes, fields: list[Field]) -> Stream:
        self.keep_alive = True  # the Connection field is the upgrade's
        self.start(101, reason, fields, None, bodiless=True)
        self.finish()
        return self._protocol.hand_over()

    def send_status(self, error: StatusError) -> None:
        if error.close or (self._body is not None and self._body.promised):
            self.keep_alive = False
        write_status(self, error, self._protocol.server.error_page)
