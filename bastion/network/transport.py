"""One round trip: a request's head and body to an endpoint, the answer back.

The body is sent while the answer is awaited, because a backend may answer before it has read it all.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from bastion.kube.endpoint import Endpoint
from bastion.network.connections import ConnectionPool
from bastion.network.http1.answer import Answer
from bastion.network.http1.connection import Connection
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


class RoundTrip:
    """A request under way on one connection.

    `close` must be called, whatever happened; it keeps the connection if it may.
    """

    def __init__(
        self, pool: ConnectionPool, connection: Connection, upload: asyncio.Task[None] | None
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._upload = upload

    @property
    def endpoint(self) -> Endpoint:
        return self._connection.endpoint

    async def answer(self) -> Answer:
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

    def upgrade(self, connection: Connection, head: bytes) -> RoundTrip:
        """Ask for an upgrade, on a connection that is not used for anything else."""
        connection.begin(
            head,
            to_head=False,
            answer_within=self.timeouts.response_header,
            body_idle=self.timeouts.response_idle,
            to_switch=True,
        )
        connection.sent()
        return RoundTrip(self._pool, connection, None)

    def kept(self, endpoint: Endpoint, owner: str, *, sure: bool = False) -> Connection | None:
        """A kept connection, None where there is none; `sure` looks at it once more, for what cannot be sent
        again.
        """
        return self._pool.take(endpoint, owner, sure=sure)

    async def connect(
        self,
        endpoint: Endpoint,
        owner: str = "",
        *,
        fresh: bool = False,
        sure: bool = False,
        patience: float | None = None,
    ) -> Connection:
        """A kept connection or a new one; `fresh` insists on a new one, and `patience` is in seconds for TCP.

        Raises DialError.
        """
        kept = None if fresh else self._pool.take(endpoint, owner, sure=sure)
        return kept or await self._pool.dial(endpoint, patience)

    def start(
        self, connection: Connection, method: str, head: bytes, body: Body | None, owner: str = ""
    ) -> RoundTrip:
        """`head` is the whole request head, its empty line included; `owner` names whose request it is, empty
        where nobody knows.
        """
        connection.begin(
            head,
            to_head=method == "HEAD",
            answer_within=self.timeouts.response_header,
            body_idle=self.timeouts.response_idle,
            with_body=body is not None and body.length != 0,
        )
        if body is None or body.length == 0:
            connection.sent()
            return RoundTrip(self._pool, connection, None)
        if owner and not may_stay_unread(method, body):
            connection.owner = owner
        else:
            connection.retire()
        return RoundTrip(self._pool, connection, asyncio.create_task(_upload(connection, body)))


async def _upload(connection: Connection, body: Body) -> None:
    while data := await body.read():
        if body.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        connection.send(data)
        if not connection.writable:
            await connection.drain()
    if body.chunked:
        connection.send(b"0\r\n\r\n")
    connection.sent()
