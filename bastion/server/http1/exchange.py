"""One request and its response on a connection of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from bastion.http.fields import Field, field_of
from bastion.kube.status import StatusError
from bastion.network.relay import Stream
from bastion.proxy.exchange import Direct
from bastion.server.http1.body import RequestBody
from bastion.server.http1.connection import Connection
from bastion.server.http1.head import Head
from bastion.server.http1.known import line_of
from bastion.server.http1.response import ResponseWriter
from bastion.server.status import write_status


class HttpExchange(ResponseWriter, kw_only=True):
    """Implements `proxy.exchange.Exchange`.  Nothing of it outlives its request.

    `_fields` are read from `_lines` when they are asked for first, where what they decide is remembered.
    """

    method: str
    target: bytes
    host: bytes
    client: str
    scheme: bytes
    certificate: tuple[bytes, ...]
    passed: Sequence[bytes]
    key: bytes
    upgradable: bool
    to_proxy: bool
    _fields: list[Field] | None
    _lines: Iterable[bytes]
    _body: RequestBody | None
    direct: Direct | None = None
    lasting: bool = False
    http2: bool = False

    @property
    def fields(self) -> list[Field]:
        if self._fields is None:
            self._fields = [field_of(line) for line in self._lines]
        return self._fields

    def all_fields(self) -> list[Field]:
        return [field_of(line) for line in self._lines]

    def line(self, name: bytes) -> bytes:
        return line_of(self._lines, name)

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

    def hijack(self, reason: bytes, fields: list[Field], status: int = 101) -> Stream:
        self.keep_alive = True  # the Connection field is the upgrade's
        self.start(status, reason, fields, None, bodiless=True)
        self.flush()
        self.finished = True
        return self._protocol.hand_over()

    def send_status(self, error: StatusError) -> None:
        if error.close or (self._body is not None and self._body.promised):
            self.keep_alive = False
        write_status(self, error, self._protocol.server.error_page)


def exchange_of(protocol: Connection, head: Head, body: RequestBody | None) -> HttpExchange:
    peer = protocol.peer
    return HttpExchange(
        protocol,
        head.minor,
        head.keep_alive,
        head.audit_id or protocol.server.audit_id(),
        method=head.method,
        target=head.target,
        host=head.host,
        client=peer.address,
        scheme=b"http" if head.to_proxy else peer.scheme,
        certificate=peer.certificate,
        passed=head.passed,
        key=head.key,
        upgradable=head.upgrade,
        to_proxy=head.to_proxy,
        _fields=None if head.decided else head.fields,
        _lines=head.lines,
        _body=body,
    )
