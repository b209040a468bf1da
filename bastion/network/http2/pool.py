"""Which HTTP/2 connections to backends are there, and which takes the next request?

One connection serves many users' requests at once: streams do not touch each other.  What does not hold for a
stream alone (a login of the whole connection, an upgrade) goes over HTTP/1.1 or a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from bastion.kube.endpoint import HTTP1, HTTP2, Endpoint
from bastion.network.errors import DialError
from bastion.network.http1.connection import Connection
from bastion.network.http2.connection import Http2Connection, no_http2
from bastion.network.http2.library import new_codec
from bastion.runtime.deadlines import Deadlines

MAX_IDLE = 1024  # connections without a stream
MOST_KNOWN = 4096  # endpoints that chose HTTP/1.1 in their TLS handshake


class Http2Statistics(NamedTuple):
    """Connections, and the trips under way on them."""

    open: int
    streams: int


class Dialer(Protocol):
    connect_timeout: float

    async def dial(
        self, endpoint: Endpoint, factory: Callable[[], asyncio.Protocol], patience: float | None = None
    ) -> asyncio.Protocol:
        """Raises DialError."""
        ...


class Http2Pool:
    """Connections are kept per endpoint, as those over HTTP/1.1 are, and so per TLS identity.

    A backend's own limit of streams is kept to: where all connections are full another is dialled, by one
    request at a time, while the others wait for it.
    """

    def __init__(
        self,
        dialer: Dialer,
        deadlines: Deadlines,
        new_http1: Callable[[Endpoint], Connection],
    ) -> None:
        """`new_http1` makes one that is not connected yet."""
        self._dialer = dialer
        self._deadlines = deadlines
        self._new_http1 = new_http1
        self._loop = asyncio.get_running_loop()
        self._open: dict[Endpoint, list[Http2Connection]] = {}
        self._dialling: dict[Endpoint, asyncio.Future[None]] = {}
        self._http1: dict[Endpoint, None] = {}
        self._dialled = 0

    def take(self, endpoint: Endpoint) -> Http2Connection | None:
        """One that has room for a trip, which must follow; None where none has."""
        for connection in self._open.get(endpoint, ()):
            if connection.room:
                connection.expect()
                return connection
        return None

    async def connect(
        self, endpoint: Endpoint, patience: float | None, *, fresh: bool
    ) -> Http2Connection | Connection:
        """One with room, `fresh` a new one; over HTTP/1.1 where the backend's TLS chose that.

        Raises DialError.
        """
        while True:
            if not fresh and (connection := self.take(endpoint)) is not None:
                return connection
            under_way = self._dialling.get(endpoint)
            if fresh or under_way is None or endpoint in self._http1:
                return await self._dial(endpoint, patience)
            await asyncio.shield(under_way)

    async def alone(self, endpoint: Endpoint, patience: float | None) -> Http2Connection | Connection:
        """One that nothing else will use.  Raises DialError."""
        connection = await self._connected(endpoint, patience)
        if isinstance(connection, Http2Connection):
            connection.expect()
            connection.retire()
        return connection

    def address_left(self, address: str) -> None:
        """By a pod or a node, and it may be another's by now."""
        for endpoint in [endpoint for endpoint in self._http1 if endpoint.address == address]:
            del self._http1[endpoint]
        for connection in self._at(address):
            connection.retire()

    def endpoint_left(self, address: str) -> None:
        """Out of a service: nothing is kept that nothing may come for."""
        for connection in self._at(address):
            if not connection.busy:
                connection.close()

    def close(self) -> None:
        for connections in list(self._open.values()):
            for connection in list(connections):
                connection.close()

    def statistics(self) -> Http2Statistics:
        return Http2Statistics(len(self.open), sum(connection.streams for connection in self.open))

    @property
    def open(self) -> list[Http2Connection]:
        return [connection for connections in self._open.values() for connection in connections]

    def _at(self, address: str) -> list[Http2Connection]:
        return [connection for connection in self.open if connection.endpoint.address == address]

    async def _dial(self, endpoint: Endpoint, patience: float | None) -> Http2Connection | Connection:
        done = self._loop.create_future()
        self._dialling.setdefault(endpoint, done)
        try:
            connection = await self._connected(endpoint, patience)
        except DialError as error:
            done.set_exception(error)
            done.exception()  # what waits gets it; that nothing waits is no fault
            raise
        finally:
            if self._dialling.get(endpoint) is done:
                del self._dialling[endpoint]
            if not done.done():
                done.set_result(None)
        if isinstance(connection, Http2Connection):
            connection.expect()
        return connection

    async def _connected(self, endpoint: Endpoint, patience: float | None) -> Http2Connection | Connection:
        """Raises DialError."""
        chosen = await self._dialer.dial(endpoint, lambda: self._protocol(endpoint), patience)
        connection = chosen.chosen if isinstance(chosen, Chosen) else chosen
        if isinstance(connection, Connection):
            if len(self._http1) >= MOST_KNOWN:
                self._http1.clear()
            self._http1[endpoint] = None
            return connection
        assert isinstance(connection, Http2Connection)
        self._http1.pop(endpoint, None)
        try:
            async with asyncio.timeout(self._dialer.connect_timeout):
                await connection.settled
        except TimeoutError as error:
            connection.abort()
            raise no_http2(endpoint, "no SETTINGS came") from error
        except BaseException:
            connection.abort()
            raise
        if not connection.room:
            connection.close()
            raise DialError(f"dial {endpoint}: it takes no request over HTTP/2")
        self._keep(connection)
        return connection

    def _protocol(self, endpoint: Endpoint) -> asyncio.Protocol:
        def http2() -> Http2Connection:
            return Http2Connection(endpoint, self._loop, new_codec(), self._forget)

        if endpoint.tls is None:
            return http2()
        return Chosen(http2, lambda: self._new_http1(endpoint), must=HTTP1[0] not in endpoint.tls.alpn)

    def _keep(self, connection: Http2Connection) -> None:
        self._dialled += 1
        self._open.setdefault(connection.endpoint, []).append(connection)
        self._deadlines.add(connection)
        idle = [other for other in self.open if not other.busy] if self._dialled % 64 == 0 else []
        for other in idle[:-MAX_IDLE]:
            other.close()

    def _forget(self, connection: Http2Connection) -> None:
        self._deadlines.discard(connection)
        there = self._open.get(connection.endpoint)
        if there is not None and connection in there:
            there.remove(connection)
            if not there:
                del self._open[connection.endpoint]


class Chosen(asyncio.Protocol):
    """Gives way to the protocol that the TLS handshake agreed on (RFC 7301)."""

    def __init__(
        self, http2: Callable[[], Http2Connection], http1: Callable[[], Connection], *, must: bool
    ) -> None:
        """`must`: HTTP/2 is spoken whatever was agreed on."""
        self._must = must
        self._http2 = http2
        self._http1 = http1
        self.chosen: Http2Connection | Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        agreed = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        self.chosen = self._http2() if agreed == HTTP2 or self._must else self._http1()
        transport.set_protocol(self.chosen)
        self.chosen.connection_made(transport)
