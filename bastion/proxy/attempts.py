"""Where does an exchange try next, after its first attempt failed?  Where its target leads by now.

A dial takes up to seconds, and an address that a pod had may be given to another's, of another namespace,
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bastion.balance.outlier import Outliers
from bastion.balance.pool import Balancer
from bastion.kube.endpoint import Endpoint
from bastion.kube.objects import family_of
from bastion.network.errors import DialError, NetworkError, SendError, UpstreamTimeout
from bastion.network.transport import Request, RoundTrip, Transport
from bastion.observe.record import Record
from bastion.proxy.router import Route, Router
from bastion.runtime.turns import Key

MAX_ATTEMPTS = 3  # connections tried, kept ones too, before only those are that are not known to fail
MOST_DIALS = 256  # however many stand by
DIALLING = 15.0  # seconds after which no further one is tried
# seconds for a TCP connection while others stand by: a SYN that was lost is sent again after one
PATIENCE = 1.5


class Attempts:
    """Of one exchange.

    `fresh`: a kept connection died under it, so only new ones are good enough; `now` is the clock.
    """

    def __init__(
        self,
        route: Route,
        router: Router,
        balancer: Balancer,
        asker: Key,
        now: Callable[[], float],
        *,
        fresh: bool = False,
    ) -> None:
        self._route = route
        self._router = router
        self._balancer = balancer
        self._asker = asker
        self._now = now
        self._until = now() + DIALLING
        self._tried = 1
        self._failed: set[Endpoint] = set()
        self._silent: set[str] = set()  # families that nobody answered in
        self._known: Sequence[Endpoint] = route.endpoints
        self._untried = dict.fromkeys(route.endpoints)
        self.failure: DialError | None = None
        self.fresh = fresh

    async def open(
        self, transport: Transport, endpoint: Endpoint | None, request: Request, record: Record
    ) -> RoundTrip:
        """To `endpoint`, or to the next that takes a connection.

        Raises DialError, and StatusError where the target is gone by now.
        """
        while endpoint is not None:
            record.endpoint = str(endpoint)
            try:
                trip = await transport.round_trip(
                    endpoint, request, fresh=self.fresh, patience=self.patience(endpoint)
                )
            except DialError as error:
                self.failed(endpoint, error)
            else:
                if await self.arrived(trip):
                    return trip
            endpoint = await self.next()
        raise self.failure or DialError("no endpoint that the target leads to by now took a connection")

    async def next(self) -> Endpoint | None:
        """None once enough was tried.  Raises StatusError: the target may be gone by now."""
        return self._balancer.choose(await self.candidates(), self._asker, self._now())

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
            self._untried = dict.fromkeys(endpoint for endpoint in led if endpoint not in self._failed)
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
        self._balancer.outliers.undialled(endpoint, self._asker, self._now())
        self._failed.add(endpoint)
        self._untried.pop(endpoint, None)
        if failure.silent:
            self._silent.add(family_of(endpoint.address))
            self._router.dialled(self._route, endpoint, silent=True)
        self.failure = failure

    async def arrived(self, trip: RoundTrip) -> bool:
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


def note_failure(outliers: Outliers, trip: RoundTrip, asker: Key, now: float, error: NetworkError) -> None:
    """Silence counts against an endpoint; that a kept connection was closed meanwhile does not."""
    if isinstance(error, UpstreamTimeout) or (isinstance(error, SendError) and not trip.reused):
        outliers.unanswered(trip.endpoint, asker, now)
