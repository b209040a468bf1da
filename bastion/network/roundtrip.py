"""What a round trip to a backend is, whatever connection it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from bastion.kube.endpoint import Endpoint
from bastion.network.http1.response import Interim, Response
from bastion.network.relay import Stream
from bastion.settings.sections import Timeouts

READ_WITH_THEIR_BODY = frozenset(("POST", "PUT", "PATCH"))


class Body(Protocol):
    """The request's body: `read` gives the next piece, b"" at the end; `chunked` says how it is framed
    towards the backend, `length` is in bytes, None where it comes in chunks.
    """

    @property
    def length(self) -> int | None: ...

    @property
    def chunked(self) -> bool: ...

    async def read(self) -> bytes: ...


def may_stay_unread(method: str, body: Body | None) -> bool:
    """Whether the backend may answer without a look at the body, and take it for the next request.

    RFC 9110, 9.3: in GET, HEAD, DELETE and OPTIONS a body means nothing in general.
    """
    return body is not None and body.length != 0 and method not in READ_WITH_THEIR_BODY


class Request(msgspec.Struct, frozen=True, gc=False):
    """What is sent: `head` is the whole request head, its empty line included.

    `owner` names the user whose request it is, empty where that is not known.  `once`: it cannot be sent
    again, so a kept connection is looked at once more.  `logs_in`: it may log its connection in, which then
    serves no other request.  `upgrade`: the response may switch protocols.  `interim` is told of 1xx
    responses; `trailers` gives the lines that follow a chunked body, once that was read to its end.
    `timeouts`: its own.
    """

    method: str
    head: bytes
    body: Body | None = None
    owner: str = ""
    once: bool = False
    logs_in: bool = False
    upgrade: bool = False
    interim: Interim | None = None
    trailers: Callable[[], bytes] | None = None
    timeouts: Timeouts | None = None


class RoundTrip(Protocol):
    """A request on one connection: `send` begins it.

    `close` must be called, whatever happened; it keeps the connection if it may.  `reused`: the connection
    has carried another before.
    """

    reused: bool

    @property
    def endpoint(self) -> Endpoint: ...

    def send(self) -> None: ...

    def abandon(self) -> None:
        """Nothing is sent: the connection leads where it should not."""
        ...

    async def answer(self) -> Response:
        """Raises NetworkError, or what reading the client's body raised."""
        ...

    def take_over(self) -> Stream:
        """The raw connection behind a 101."""
        ...

    def close(self, *, clean: bool) -> None: ...
