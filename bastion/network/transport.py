"""One round trip: a request's head and body to an endpoint, the answer back.

The body is sent while the answer is awaited, because a backend may answer before it has read it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bastion.kube.endpoint import Endpoint
from bastion.network.connections import ConnectionPool
from bastion.network.http1.connection import Connection
from bastion.network.http1.response import Response
from bastion.network.http2.pool import Http2Pool
from bastion.network.http2.trip import StreamTrip
from bastion.network.relay import Stream
from bastion.network.roundtrip import Body as Body
from bastion.network.roundtrip import Request as Request
from bastion.network.roundtrip import RoundTrip as RoundTrip
from bastion.network.roundtrip import may_stay_unread as may_stay_unread
from bastion.settings.sections import Timeouts


class Http1Trip:
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
    """Sends requests over the pools' connections; `multiplexed` None: over HTTP/1.1 alone."""

    def __init__(
        self, pool: ConnectionPool, timeouts: Timeouts, multiplexed: Http2Pool | None = None
    ) -> None:
        self._pool = pool
        self._multiplexed = multiplexed
        self.timeouts = timeouts

    def under_way(self, connection: Connection, request: Request) -> RoundTrip:
        """One whose request was sent directly."""
        return Http1Trip(self._pool, self.timeouts, connection, request)

    def kept(self, endpoint: Endpoint, request: Request) -> RoundTrip | None:
        """On a kept connection, None where there is none."""
        if (pool := self._shared(endpoint, request)) is not None and not request.logs_in:
            stream = pool.take(endpoint)
            if stream is not None:
                return StreamTrip(stream, request, self.timeouts, reused=True)
        if pool is not None and endpoint.h2c:
            return None
        connection = self._pool.take(endpoint, request.owner, sure=request.once)
        return Http1Trip(self._pool, self.timeouts, connection, request) if connection is not None else None

    def distrust(self, endpoint: Endpoint) -> None:
        """Of its kept connections over HTTP/1.1 those that are idle are closed."""
        self._pool.distrust(endpoint)

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
        pool = self._shared(endpoint, request)
        if pool is None:
            connection = await self._pool.dial(endpoint, patience)
        else:
            dialled = await (
                pool.alone(endpoint, patience)
                if request.logs_in
                else pool.connect(endpoint, patience, fresh=fresh)
            )
            if not isinstance(dialled, Connection):
                return StreamTrip(dialled, request, self.timeouts, reused=False)
            connection = self._pool.admit(dialled)
        return Http1Trip(self._pool, self.timeouts, connection, request)

    def _shared(self, endpoint: Endpoint, request: Request) -> Http2Pool | None:
        """None where HTTP/1.1 is spoken: an upgrade is its own."""
        return self._multiplexed if endpoint.may_speak_http2 and not request.upgrade else None


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
