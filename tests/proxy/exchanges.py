"""An exchange without a connection: what was asked, and what was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bastion.http.fields import Field
from bastion.kube.status import StatusError
from bastion.network.relay import Stream
from bastion.observe.record import Trail
from bastion.proxy.exchange import Direct, ResponseHead


def fields_of(*lines: str) -> list[Field]:
    """`Name: value` as it would come."""
    pairs = (line.split(": ", 1) for line in lines)
    return [(name.lower().encode(), name.encode(), value.encode()) for name, value in pairs]


@dataclass
class Exchange:
    """Implements `proxy.exchange.Exchange`; `refused` is the StatusError that was sent."""

    method: str = "GET"
    target: bytes = b"/"
    fields: list[Field] = field(default_factory=list)
    host: bytes = b"bastion.test"
    client: str = "192.0.2.1"
    scheme: bytes = b"https"
    minor: int = 1
    certificate: tuple[bytes, ...] = ()
    upgradable: bool = False
    to_proxy: bool = False
    http2: bool = False
    lasting: bool = False
    audit_id: str = "audit-id"
    key: bytes = b""
    passed: Sequence[bytes] = ()
    keep_alive: bool = True
    added: tuple[Field, ...] = ()
    direct: Direct | None = None
    trail: Trail | None = None
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    body: None = None
    answered: list[Field] = field(default_factory=list)
    length: int | None = None
    finished: bool = False
    aborted: bool = False
    refused: StatusError | None = None
    writable: bool = True

    def start(
        self, status: int, reason: bytes, fields: list[Field], length: int | None, *, bodiless: bool = False
    ) -> None:
        assert not self.status
        self.status, self.answered, self.length = status, fields, length

    def flush(self) -> None:
        assert self.status

    def send(self, head: ResponseHead, body: bytes) -> None:
        raise AssertionError("it is served by a task")

    def done(self) -> None:
        raise AssertionError("it is served by a task")

    def go_on(self) -> asyncio.Task[None]:
        raise AssertionError("it is served by a task")

    def all_fields(self) -> list[Field]:
        return self.fields

    def line(self, name: bytes) -> bytes:
        raise AssertionError("it is served by a task")

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)

    async def drain(self) -> None:
        raise AssertionError("its client reads")

    def hijack(self, reason: bytes, fields: list[Field], status: int = 101) -> Stream:
        raise AssertionError("it has no connection")

    def interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        assert not self.status

    def finish(self, data: bytes = b"", trailers: Sequence[Field] = ()) -> None:
        assert not self.finished
        self.finished = True
        self.bytes_out += len(data)

    def abort(self) -> None:
        self.aborted = True

    def send_status(self, error: StatusError) -> None:
        assert not self.finished
        self.status, self.refused, self.finished = error.code, error, True
