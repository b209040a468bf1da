"""Which connections to backends are kept, and for whom?

Kept per endpoint, and an endpoint is address, port, TLS and TLS identity: a kubelet's connection never serves
a pod. The most recently used is taken first, so that the others age out.  One that carried somebody's body
serves nobody else: whether the backend read all of it only the backend knows, and what it left it takes for
the next request.

A pod may listen on every port it has, so what is kept is bounded in all: it makes room for what is needed,
longest unused first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from bastion.kube.endpoint import Endpoint
from bastion.network.http1.connection import Connection
from bastion.runtime.deadlines import Deadlines

IDLE_SECONDS = 60.0
MARGIN = 1.0  # seconds before a backend ends a connection, by its own word, that it is no longer used
MAX_IDLE_PER_ENDPOINT = 256
MAX_IDLE = 4096  # in all
HASTY, HASTY_FOR = 0.5, 10.0  # seconds idle before a backend ended it; for which that is believed
MAX_HASTY = 1024  # endpoints


class PoolStatistics(NamedTuple):
    """`open` connections, the `idle` among them, and how many were ever `dialled`."""

    open: int
    idle: int
    dialled: int


class Dialer(Protocol):
    async def dial(
        self, endpoint: Endpoint, factory: Callable[[], Connection], patience: float | None = None
    ) -> Connection:
        """A fresh connection.  Raises DialError."""
        ...


class ConnectionPool:
    """Takes back what was used cleanly, closes the rest.

    `most` may be open, and more than that only where all of them are in use: an exchange needs one.
    """

    def __init__(self, dialer: Dialer, deadlines: Deadlines, most: int = 1 << 20) -> None:
        self._dialer = dialer
        self._deadlines = deadlines
        self._idle: dict[Endpoint, deque[Connection]] = {}
        self._open: dict[str, set[Connection]] = {}  # by address
        self._resting: dict[Connection, float] = {}  # all that are idle, and since when, the longest first
        # endpoints that end kept connections soon, and until when that is believed
        self._hasty: dict[Endpoint, float] = {}
        self._most = most
        self._count = 0  # open, and being dialled
        self._loop = asyncio.get_running_loop()
        self._dialled = 0

    def take(self, endpoint: Endpoint, owner: str = "", *, sure: bool = False) -> Connection | None:
        """A kept connection that is nobody's or the owner's, None where there is none.

        `sure`: what is sent cannot be sent again, so that one more look at the socket is worth a system call,
        and a new connection is where the endpoint ends those that are kept at any moment.
        """
        kept = self._idle.get(endpoint)
        while kept:
            connection = kept.pop()
            if connection.owner is not None and connection.owner != owner:
                kept.append(connection)
                found = next((one for one in reversed(kept) if one.owner is None or one.owner == owner), None)
                if found is None:
                    return None
                kept.remove(found)
                connection = found
            since = self._resting.pop(connection, None)
            deadline, connection.deadline = connection.deadline, None
            if not connection.alive:
                continue
            if sure and (connection.has_ended() or (deadline or 0.0) <= self._loop.time()):
                self._ended(connection, since)
                connection.close()
                continue
            if sure and self._hasty and self._hasty.get(endpoint, 0.0) > self._loop.time():
                connection.close()  # else the new one would be kept beside it, and so would the next
                return None
            return connection
        return None

    async def dial(self, endpoint: Endpoint, patience: float | None = None) -> Connection:
        """A fresh connection.  Raises DialError."""
        while self._count >= self._most and self._resting:
            self._drop_longest()
        self._count += 1
        try:
            # an endpoint that may choose another version of HTTP in its handshake is not asked here
            connection = await self._dialer.dial(endpoint.over_http1, lambda: self.new(endpoint), patience)
        except BaseException:
            self._count -= 1
            raise
        return self._added(connection)

    def new(self, endpoint: Endpoint) -> Connection:
        """One that is not connected yet."""
        return Connection(endpoint, self._loop, self._forget)

    def admit(self, connection: Connection) -> Connection:
        """One that was dialled elsewhere."""
        self._count += 1
        return self._added(connection)

    def _added(self, connection: Connection) -> Connection:
        self._dialled += 1
        endpoint = connection.endpoint
        self._open.setdefault(endpoint.address, set()).add(connection)
        self._deadlines.add(connection)
        if not connection.alive:  # lost before it was known here
            self._forget(connection)
        return connection

    def release(self, connection: Connection, *, clean: bool) -> None:
        """`clean`: the whole request was sent and nothing was cancelled; the connection knows the rest
        itself.
        """
        if not clean or not connection.reusable:
            connection.close()
            return
        connection.rest()
        self._keep(connection)

    def release_directly(self, connection: Connection) -> None:
        """Behind a response that was read whole, without a task (`Connection.end_directly`)."""
        if connection.end_directly():
            self._keep(connection)
        else:
            connection.close()

    def _keep(self, connection: Connection) -> None:
        kept = self._idle.get(connection.endpoint)
        if kept is None:
            kept = self._idle[connection.endpoint] = deque()
        elif len(kept) >= MAX_IDLE_PER_ENDPOINT:
            oldest = kept.popleft()
            self._resting.pop(oldest, None)
            oldest.close()
        kept.append(connection)
        now = self._resting[connection] = self._loop.time()
        if len(self._resting) > MAX_IDLE:
            self._drop_longest()
        idle, kept_for = IDLE_SECONDS, connection.kept_for
        if kept_for is not None:
            idle = min(idle, max(kept_for - MARGIN, kept_for / 2))
        connection.deadline = now + idle

    def address_left(self, address: str) -> None:
        """By a pod or a node, and it may be another's by now: what is open there leads to the former, and
        serves nobody else.
        """
        for connection in list(self._open.get(address, ())):
            connection.retire()

    def endpoint_left(self, address: str) -> None:
        """Out of a service, and the pod may live on: nothing is kept for it that nobody may come for."""
        for connection in list(self._open.get(address, ())):
            if not connection.busy:
                connection.close()

    def distrust(self, endpoint: Endpoint) -> None:
        """A new connection there ended before it answered: those that are idle are no better, and each would
        cost a request one more attempt.
        """
        for connection in list(self._idle.get(endpoint, ())):
            connection.close()

    def close(self) -> None:
        for connections in list(self._open.values()):
            for connection in list(connections):
                connection.close()

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            sum(map(len, self._open.values())), sum(map(len, self._idle.values())), self._dialled
        )

    def _drop_longest(self) -> None:
        connection = next(iter(self._resting))
        self._forget(connection)  # now: that it is closed is told in the next turn of the loop
        connection.close()

    def _ended(self, connection: Connection, since: float | None) -> None:
        """One that was idle since then."""
        now = self._loop.time()
        if since is not None and now - since < HASTY:
            if len(self._hasty) >= MAX_HASTY:
                self._hasty.clear()
            self._hasty[connection.endpoint] = now + HASTY_FOR

    def _forget(self, connection: Connection) -> None:
        there = self._open.get(connection.endpoint.address, set())
        if connection in there:
            there.discard(connection)
            self._count -= 1
        if not there:
            self._open.pop(connection.endpoint.address, None)
        self._deadlines.discard(connection)
        self._ended(connection, self._resting.pop(connection, None))
        kept = self._idle.get(connection.endpoint)
        if kept is not None:
            if connection in kept:
                kept.remove(connection)
            if not kept:
                del self._idle[connection.endpoint]
