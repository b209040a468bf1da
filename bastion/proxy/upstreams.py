"""Which API server gets a call?  One that is ready, of two at random the one with less to do.

Each is probed every second.  A server that says no gets nothing new and keeps what it has; one that does not
answer at all loses what it has, so that watchers go on elsewhere; one that was away is not believed before it
is ready.  That a call breaks off shuts no server out, but is a reason to look.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from bastion.balance.checking import LEAST, keep_checking
from bastion.balance.readiness import Health, Outcome, State, doubted, observe
from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.network.connections import ConnectionPool
from bastion.network.errors import DialError
from bastion.network.transport import Request, RoundTrip, Transport
from bastion.proxy.probing import Prober, outcome_of

EVERY, EVERY_WHILE_AWAY = 1.0, 0.25  # seconds
CONNECT = 2.0  # seconds for TCP
GRACE = 1.0  # seconds that streams of a dead server may still go on
AUTHORITY = "apiserver"

_log = logging.getLogger("bastion.proxy")


class Address(NamedTuple):
    """`server_name` is what its certificate must be for; `secure` False: plain HTTP."""

    address: str
    port: int
    server_name: str
    secure: bool = True

    def endpoint(self, identity: str) -> Endpoint:
        """Connections of one identity are never used for another."""
        profile = TLSProfile(AUTHORITY, identity, self.server_name) if self.secure else None
        return Endpoint(self.address, self.port, profile)

    def __str__(self) -> str:
        return str(Endpoint(self.address, self.port))


class Attempt(Protocol):
    """A call under way at a server; `answered` once its response has begun."""

    answered: bool

    def cut(self) -> None: ...


class TripAttempt(msgspec.Struct, eq=False):
    """One by a task."""

    trip: RoundTrip
    answered: bool = False

    def cut(self) -> None:
        self.trip.abandon()


class Upstream:
    """An API server."""

    def __init__(self, at: Address) -> None:
        self.at = at
        self.health = Health()
        self.attempts: set[Attempt] = set()
        self.dialling: set[asyncio.Timeout] = set()
        self.leaving = False  # no longer one of the cluster's
        self.due = asyncio.Event()  # the next probe
        self._endpoints: dict[str, Endpoint] = {}

    def endpoint(self, identity: str) -> Endpoint:
        """For connections of one identity."""
        try:
            return self._endpoints[identity]
        except KeyError:
            endpoint = self._endpoints[identity] = self.at.endpoint(identity)
            return endpoint

    def enter(self, trip: RoundTrip) -> Attempt:
        attempt = TripAttempt(trip)
        self.attempts.add(attempt)
        return attempt

    async def dial(self, transport: Transport, endpoint: Endpoint, request: Request) -> RoundTrip:
        """On a new connection.  Raises DialError, also once the server is given up."""
        try:
            async with asyncio.timeout(None) as limit:
                self.dialling.add(limit)
                try:
                    return await transport.round_trip(endpoint, request, fresh=True, patience=CONNECT)
                finally:
                    self.dialling.discard(limit)
        except TimeoutError as error:
            raise DialError(f"dial {endpoint}: the server is silent", silent=True) from error

    def give_up_unanswered(self) -> None:
        now = asyncio.get_running_loop().time()
        for limit in list(self.dialling):
            if not limit.expired():
                limit.reschedule(now)
        for attempt in [one for one in self.attempts if not one.answered]:
            attempt.cut()


class UpstreamStatistics(NamedTuple):
    """By address: the state's name, and the calls under way."""

    states: dict[str, str]
    calls: dict[str, int]


class Upstreams:
    """`members` are the API servers of the moment; `prober` makes what asks one of them."""

    def __init__(
        self,
        members: Callable[[], Collection[Address]],
        prober: Callable[[Endpoint, Callable[[], None]], Prober],
        pool: ConnectionPool,
        *,
        affinity: bool = False,
    ) -> None:
        """`affinity`: the calls of one user go to the same server."""
        self._members = members
        self._prober = prober
        self._pool = pool
        self._affinity = affinity
        self._known: dict[Address, Upstream] = {}
        self._only: Upstream | None = None  # where one is known, and no more
        self._tasks: dict[Upstream, asyncio.Task[None]] = {}

    # --- choice

    def choose(self, user: str, tried: Collection[Upstream] = ()) -> Upstream | None:
        """None where none may be asked."""
        only = self._only
        if only is not None and only.health.sure and not only.leaving and not tried:
            return only
        free = [one for one in self._known.values() if not one.leaving and one not in tried]
        if fit := [one for one in free if one.health.sure]:
            return self._of(fit, user)
        for state in (State.READY, State.DRAINING):
            if fit := [one for one in free if one.health.state is state]:
                return self._of(fit, user)
        return None

    def _of(self, fit: list[Upstream], user: str) -> Upstream:
        if len(fit) == 1:
            return fit[0]
        if self._affinity and user:
            return max(fit, key=lambda one: _weight(one.at, user))
        first = int(random.random() * len(fit))
        other = (first + 1 + int(random.random() * (len(fit) - 1))) % len(fit)
        one, two = fit[first], fit[other]
        return one if len(one.attempts) <= len(two.attempts) else two

    def undialled(self, upstream: Upstream, error: DialError) -> None:
        """A connection could not be made: where it was refused no probe is needed."""
        outcome = outcome_of(error)
        if outcome is not Outcome.SILENT:  # many calls miss it at once, which is one miss
            self._observed(upstream, outcome)
        upstream.due.set()

    def statistics(self) -> UpstreamStatistics:
        known = {str(at): one for at, one in self._known.items()}
        return UpstreamStatistics(
            {name: one.health.state.value for name, one in known.items()},
            {name: len(one.attempts) for name, one in known.items()},
        )

    # --- health

    async def begin(self) -> None:
        """Returns once each was asked."""
        self._update()
        while any(one.health == Health() for one in self._known.values()):  # noqa: ASYNC110 within a second
            await asyncio.sleep(LEAST / 5)

    async def keep(self) -> None:
        """Until cancelled: the servers of the cluster are these."""
        try:
            while True:
                await asyncio.sleep(EVERY)
                self._update()
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _update(self) -> None:
        members = frozenset(self._members())
        for at in members - self._known.keys():
            upstream = self._known[at] = Upstream(at)
            self._tasks[upstream] = asyncio.create_task(self._watch(upstream), name=f"probe {at}")
        for at, upstream in list(self._known.items()):
            upstream.leaving = at not in members
            if upstream.leaving and not upstream.attempts:
                self._tasks.pop(upstream).cancel()
                del self._known[at]
        self._only = next(iter(self._known.values())) if len(self._known) == 1 else None

    async def _watch(self, upstream: Upstream) -> None:
        def lost() -> None:
            upstream.health = doubted(upstream.health)
            upstream.due.set()

        prober = self._prober(upstream.at.endpoint("bastion"), lost)
        await keep_checking(prober, partial(self._observed, upstream), upstream.due, EVERY, EVERY_WHILE_AWAY)

    def _observed(self, upstream: Upstream, outcome: Outcome) -> Health:
        before = upstream.health.state
        upstream.health = health = observe(upstream.health, outcome)
        if health.state is not before:
            self._changed(upstream, outcome)
        return health

    def _changed(self, upstream: Upstream, outcome: Outcome) -> None:
        state = upstream.health.state
        log = _log.info if state is State.READY else _log.warning
        log("the API server %s is %s (%s)", upstream.at, state.value, outcome.value)
        if state is State.DEAD:
            self._pool.endpoint_left(upstream.at.address)
            # one that refuses connections may still end its watches in good order
            if outcome is Outcome.SILENT:
                self._give_up(upstream)

    def _give_up(self, upstream: Upstream) -> None:
        upstream.give_up_unanswered()
        asyncio.get_running_loop().call_later(GRACE, self._cut_streams, upstream)

    def _cut_streams(self, upstream: Upstream) -> None:
        if upstream.health.state is State.DEAD:
            for attempt in list(upstream.attempts):
                attempt.cut()


def _weight(at: Address, user: str) -> bytes:
    """Rendezvous hashing: where a server leaves only its own users move."""
    return hashlib.blake2b(f"{at} {user}".encode(), digest_size=8).digest()
