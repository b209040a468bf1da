"""One round trip: a request's head and body to an endpoint, the answer back.

The body is sent while the answer is awaited, because a backend may answer before it has read it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from bastion.kube.endpoint import Endpoint
from bastion.network.connections import ConnectionPool
from bastion.network.http1.connection import Connection
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


class RoundTrip:
    """A request on one connection: `send` begins it.

    `close` must be called, whatever happened; it keeps the connection if it may.  `reused`: the connection
    has carried another before.
    """

    __slots__ = ("_connection", "_pool", "_request", "_timeouts", "_upload", "reused")

    def __init__(
        self, pool: ConnectionPool, timeouts: Timeouts, connection: Connection, request: Request
    ) -> None:
        self._pool = pool
        self._timeouts = request.timeouts or timeouts
        self._connection = connection
        self._request = request
        self._upload: asyncio.Task[None] | None = None
        self.reused = connection.used

    @property
    def endpoint(self) -> Endpoint:
        return self._connection.endpoint

    def send(self) -> None:
        request, connection, body = self._request, self._connection, self._request.body
        with_body = body is not None and body.length != 0
        connection.begin(
            request.head,
            to_head=request.method == "HEAD",
            answer_within=self._timeouts.response_header,
            body_idle=self._timeouts.response_idle,
            with_body=with_body,
            to_switch=request.upgrade,
            interim=request.interim,
        )
        if body is None or not with_body:
            connection.sent()
        else:
            if request.owner and not may_stay_unread(request.method, body):
                connection.owner = request.owner
            else:
                connection.retire()
            self._upload = asyncio.create_task(_upload(connection, body, request.trailers))
        if request.logs_in:
            connection.retire()

    def abandon(self) -> None:
        """Nothing is sent: the connection leads where it should not."""
        self._connection.close()

    async def answer(self) -> Response:
        """Raises NetworkError, or what reading the client's body raised."""
        if self._upload is None:
            return await self._connection.answer()
        head = self._connection.answer()
        try:
            await asyncio.wait((head, self._upload), return_when=asyncio.FIRST_COMPLETED)
            if not head.done() and self._upload.done():
                self._upload.result()  # the client's body is bad: no answer will come
            return await head
        finally:
            head.cancel()

    def take_over(self) -> Stream:
        """The raw connection behind a 101."""
        return self._connection.take_over()

    def close(self, *, clean: bool) -> None:
        # what it raised holds the frames that hold this: a cycle otherwise
        upload, self._upload = self._upload, None
        if upload is not None and not (
            upload.done() and not upload.cancelled() and upload.exception() is None
        ):
            upload.cancel()
            clean = False
        self._pool.release(self._connection, clean=clean)


class Transport:
    """Sends requests over the pool's connections."""

    def __init__(self, pool: ConnectionPool, timeouts: Timeouts) -> None:
        self._pool = pool
        self.timeouts = timeouts

    def under_way(self, connection: Connection, request: Request) -> RoundTrip:
        """One whose request was sent directly."""
        return RoundTrip(self._pool, self.timeouts, connection, request)

    def kept(self, endpoint: Endpoint, request: Request) -> RoundTrip | None:
        """On a kept connection, None where there is none."""
        connection = self._pool.take(endpoint, request.owner, sure=request.once)
        return RoundTrip(self._pool, self.timeouts, connection, request) if connection is not None else None

    async def round_trip(
        self, endpoint: Endpoint, request: Request, *, fresh: bool = False, patience: float | None = None
    ) -> RoundTrip:
        """On a kept connection or a new one; nothing is sent yet.

        `fresh` insists on a new one; `patience` is in seconds, for TCP.  Raises DialError.
        """
        kept = None if fresh else self.kept(endpoint, request)
        if kept is not None:
            return kept
        if request.timeouts is not None:
            patience = min(patience or request.timeouts.connect, request.timeouts.connect)
        return RoundTrip(self._pool, self.timeouts, await self._pool.dial(endpoint, patience), request)


async def _upload(connection: Connection, body: Body, trailers: Callable[[], bytes] | None) -> None:
    while data := await body.read():
        if body.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        connection.send(data)
        if not connection.writable:
            await connection.drain()
    if body.chunked:
        connection.send(b"0\r\n%b\r\n" % (trailers() if trailers is not None else b""))
    connection.sent()
