"""One request and its answer, as the server offers them to whoever answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from bastion.http.fields import Field
from bastion.kube.status import StatusError
from bastion.network.relay import Stream
from bastion.observe.record import Trail


class Body(Protocol):
    """The request's body.  `length` in bytes is None where it comes in chunks."""

    @property
    def length(self) -> int | None: ...

    @property
    def chunked(self) -> bool: ...

    @property
    def touched(self) -> bool:
        """Whether a byte of it was taken: from then on the request cannot be sent again."""
        ...

    @property
    def trailers(self) -> Sequence[Field]:
        """Behind a chunked body, once that was read to its end."""
        ...

    async def read(self) -> bytes:
        """The next piece, b"" at the end.  Raises StatusError where the client breaks the framing."""
        ...


class Request(Protocol):
    """What admission looks at.

    `fields` are those that some rule reads (`message.lines`), and no others: a rule that reads another name
    finds nothing, rather than what was remembered of another request.

    `client` is the peer's address, which may be a proxy's (`origin`); `scheme` http or https; `minor` the x
    of HTTP/1.x; `body` None where there is none.  `certificate`: the chain of the TLS handshake in DER, the
    client's own first; empty where it showed none.  `upgradable`: the head has an Upgrade field, and this
    server can hand the connection over.  `to_proxy`: what a client asks of a proxy, a tunnel to `target`
    (CONNECT) or the URL http://`host``target`.
    """

    method: str
    target: bytes
    minor: int
    host: bytes
    client: str
    scheme: bytes
    certificate: tuple[bytes, ...]
    upgradable: bool
    to_proxy: bool

    @property
    def fields(self) -> list[Field]: ...

    @property
    def body(self) -> Body | None: ...


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """Of a whole response, as a client gets it: `lines` with the status line, without what the connection
    adds.  `length` of the body, in bytes; `dated`: one of the lines is Date.
    """

    status: int
    lines: bytes
    length: int
    dated: bool


class Direct(Protocol):
    """An exchange that is carried out without a task."""

    def cancel(self, reason: str | None = None) -> None:
        """The client has left, or the server ends it."""
        ...


class Exchange(Request, Protocol):
    """`passed` are the lines that no rule reads, as a backend gets them.  `added` to the response's fields: a
    cookie that replaces the one that came.  `key` names what decides; empty where that is never remembered.
     `http2`: it came over HTTP/2, and reads as one of HTTP/1.1.
    """

    key: bytes
    passed: Sequence[bytes]
    direct: Direct | None
    trail: Trail | None  # of the audit log, which is told of the response
    added: tuple[Field, ...]
    keep_alive: bool
    lasting: bool  # set once it has been under way for long: a server that stops gives it the time of streams
    audit_id: str
    status: int  # 0 until the answer has begun
    bytes_out: int

    @property
    def http2(self) -> bool: ...

    @property
    def bytes_in(self) -> int: ...

    def interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        """A 1xx response before the answer, if the client's HTTP version knows such."""
        ...

    def line(self, name: bytes) -> bytes:
        """The first with that name, in lower case, as it came; there is one, and some rule reads it."""
        ...

    def start(
        self, status: int, reason: bytes, fields: list[Field], length: int | None, *, bodiless: bool = False
    ) -> None:
        """Begin the answer.

        `length` None: delimited as the client's HTTP version allows.  `bodiless`: `length` only tells.
        """
        ...

    def send(self, head: ResponseHead, body: bytes) -> None:
        """The whole answer."""
        ...

    def done(self) -> None:
        """It is over, and was carried out without a task."""
        ...

    def go_on(self) -> asyncio.Task[None]:
        """In a task from here on, where it was begun without one."""
        ...

    def all_fields(self) -> list[Field]:
        """Those that no rule reads, too."""
        ...

    def flush(self) -> None:
        """Send the head of the answer now, not together with what comes first of its body."""
        ...

    def write(self, data: bytes) -> None: ...

    @property
    def writable(self) -> bool:
        """False while the client does not read: `drain` before writing more."""
        ...

    async def drain(self) -> None: ...

    def finish(self, data: bytes = b"", trailers: Sequence[Field] = ()) -> None:
        """The answer ends with this last piece, and with these where it is in chunks."""
        ...

    def abort(self) -> None:
        """What was written still goes out; then the connection ends so that the client can tell a short body
        from a whole one.
        """
        ...

    def hijack(self, reason: bytes, fields: list[Field], status: int = 101) -> Stream:
        """Answer with these fields, and claim the raw connection with the bytes that came early."""
        ...

    def send_status(self, error: StatusError) -> None:
        """The whole answer in one; does nothing but abort where an answer has begun."""
        ...
