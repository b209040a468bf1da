"""Where does an exchange try next, after its first attempt failed?  Where its target leads by now.

A dial takes up to seconds, and an address that a pod had may be given to another's, of another namespace,
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from bastion.balance.group import Slot
from bastion.balance.pool import Balancer
from bastion.kube.endpoint import Endpoint
from bastion.kube.objects import family_of
from bastion.network.errors import DialError
from bastion.network.transport import Request
from bastion.observe.record import Record
from bastion.proxy.router import Route, Router
from bastion.runtime.turns import Key

MAX_ATTEMPTS = 3  # connections tried, kept ones too, before only those are that are not known to fail
MOST_DIALS = 256  # however many stand by
DIALLING = 15.0  # seconds after which no further one is tried
# seconds for a TCP connection while others stand by: a SYN that was lost is sent again after one
PATIENCE = 1.5


class Arrival(Protocol):
    """A connection to an endpoint.  `reused`: one that was kept."""

    reused: bool

    @property
    def endpoint(self) -> Endpoint: ...

    def abandon(self) -> None: ...


A = TypeVar("A", bound=Arrival, covariant=True)


class Dials(Protocol[A]):
    async def round_trip(
        self, endpoint: Endpoint, request: Request, *, fresh: bool = False, patience: float | None = None
    ) -> A:
        """Raises DialError."""
        ...


class Attempts:
    """Of one exchange, whose client has the address `client`.

    `fresh`: a kept connection died under it, so only new ones are good enough; `now` is the clock.  `slot`:
    where it is sent to; whoever is done with it leaves it.
    """

    def __init__(
        self,
        route: Route,
        router: Router,
        balancer: Balancer,
        asker: Key,
        now: Callable[[], float],
        *,
        slot: Slot,
        client: str = "",
        fresh: bool = False,
    ) -> None:
        self.slot = slot
        self._client = client
        self._route = route
        self._router = router
        self._balancer = balancer
        self._asker = asker
        self._now = now
        self._until = now() + DIALLING
        self._tried = 1
        self._tried_at = {slot.endpoint: False}  # and whether they are given up
        self._silent: set[str] = set()  # families that nobody answered in
        self._known: Sequence[Endpoint] = route.endpoints
        self._untried = dict.fromkeys((*route.endpoints, *route.others))
        self.failure: DialError | None = None
        self.fresh = fresh

    async def open(self, transport: Dials[A], request: Request, record: Record) -> A:
        """To the endpoint of `slot`, or to the next that takes a connection.

        Raises DialError, and StatusError where the target is gone by now.
        """
        while True:
            endpoint = self.slot.endpoint
            self._tried_at.setdefault(endpoint, False)
            record.reached(endpoint)
            record.tried = self.tried
            try:
                trip = await transport.round_trip(
                    endpoint, request, fresh=self.fresh, patience=self.patience(endpoint)
                )
            except DialError as error:
                self.failed(endpoint, error)
                if "connect" not in self._route.policy.retry_on:
                    raise
            else:
                if await self.arrived(trip):
                    return trip
            if not await self.move():
                raise self.failure or DialError(
                    "no endpoint that the target leads to by now took a connection"
                )

    async def move(self, *, stale: bool = False) -> bool:
        """To another endpoint; False once enough was tried.

        `stale`: it was only a kept connection that ended, so a new one may lead there again, where there is
        no other endpoint.  Raises StatusError: the target may be gone by now.
        """
        before = self.slot
        others = await self.candidates()
        found = self._balancer.another(
            self._route, (e for e in others if e != before.endpoint), self._asker, self._client
        )
        if found is None and stale and before.endpoint in self._untried:
            return True
        if found is None:
            return False
        self._balancer.leave(before)
        self.slot = found
        return True

    @property
    def tried(self) -> int:
        """How many endpoints."""
        return len(self._tried_at)

    def give_up(self, endpoint: Endpoint) -> None:
        """It is not tried again."""
        self._tried_at[endpoint] = True
        self._untried.pop(endpoint, None)

    def patience(self, endpoint: Endpoint) -> float | None:
        """Seconds for a TCP connection to it; None for as long as any takes, where it is the last."""
        return PATIENCE if len(self._untried) > (endpoint in self._untried) else None

    async def candidates(self) -> Iterable[Endpoint]:
        """For the next attempt, in the order to try; none once enough was tried.

        Raises StatusError: the target may be gone by now.
        """
        if self._tried >= MOST_DIALS or self._now() >= self._until:
            return ()
        self._tried += 1
        led = await self._router.again(self._route, self._asker)
        # one of forty thousand may be the next, and they are not to be gone through for each
        if led is not self._known:
            self._known = led
            self._untried = dict.fromkeys(endpoint for endpoint in led if not self._tried_at.get(endpoint))
        if self._tried <= MAX_ATTEMPTS:
            return self._in_order()
        return (
            endpoint for endpoint in self._in_order() if self._balancer.outliers.well(endpoint, self._asker)
        )

    def _in_order(self) -> Iterable[Endpoint]:
        """Where nobody answered in one family, the other may lead there."""
        if not self._silent:
            return self._untried
        return sorted(self._untried, key=lambda endpoint: family_of(endpoint.address) in self._silent)

    def failed(self, endpoint: Endpoint, failure: DialError) -> None:
        self._balancer.failed(self.slot, self._asker, self._now(), dialled=False)
        self.give_up(endpoint)
        if failure.silent:
            self._silent.add(family_of(endpoint.address))
            self._router.dialled(self._route, endpoint, silent=True)
        self.failure = failure

    async def arrived(self, trip: Arrival) -> bool:
        """Whether the target still leads to where a new connection went; where not it is closed.

        Raises StatusError as `candidates`.

        A kept one was taken in the turn of the loop in which it was decided where to go.
        """
        if trip.reused:
            return True
        there = False
        self._router.dialled(self._route, trip.endpoint, silent=False)
        try:
            there = await self._router.leads_to(self._route, trip.endpoint, self._asker)
        finally:
            if not there:
                trip.abandon()
        return there
