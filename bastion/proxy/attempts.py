"""Where does an exchange try next, after its first attempt failed?  Where its target leads by now.

A dial takes up to seconds, and an address that a pod had may be given to another's, of another namespace,
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bastion.kube.endpoint import Endpoint
from bastion.kube.objects import family_of
from bastion.network.errors import DialError
from bastion.network.http1.connection import Connection
from bastion.proxy.router import Route, Router
from bastion.runtime.turns import Key

MAX_ATTEMPTS = 3  # connections tried, kept ones too, before only those are that are not known to fail
MOST_DIALS = 256  # however many stand by
DIALLING = 15.0  # seconds after which no further one is tried
# seconds for a TCP connection while others stand by: a SYN that was lost is sent again after one
PATIENCE = 1.5


class Attempts:
    """Of one exchange.

    `fresh`: a kept connection died under it, so only new ones are good enough; `well` says whether an
    endpoint is not known to fail; `now` is the clock.
    """

    def __init__(
        self,
        route: Route,
        router: Router,
        asker: Key,
        now: Callable[[], float],
        well: Callable[[Endpoint], bool] = lambda endpoint: True,
        *,
        fresh: bool = False,
    ) -> None:
        self._route = route
        self._router = router
        self._asker = asker
        self._now = now
        self._well = well
        self._until = now() + DIALLING
        self._tried = 1
        self._failed: set[Endpoint] = set()
        self._silent: set[str] = set()  # families that nobody answered in
        self._known: Sequence[Endpoint] = route.endpoints
        self._untried = dict.fromkeys(route.endpoints)
        self.failure: DialError | None = None
        self.fresh = fresh

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
        return (endpoint for endpoint in self._in_order() if self._well(endpoint))

    def _in_order(self) -> Iterable[Endpoint]:
        """Where nobody answered in one family, the other may lead there."""
        if not self._silent:
            return self._untried
        return sorted(self._untried, key=lambda endpoint: family_of(endpoint.address) in self._silent)

    def failed(self, endpoint: Endpoint, failure: DialError) -> None:
        self._failed.add(endpoint)
        self._untried.pop(endpoint, None)
        if failure.silent:
            self._silent.add(family_of(endpoint.address))
            self._router.dialled(self._route, endpoint, silent=True)
        self.failure = failure

    async def arrived(self, connection: Connection) -> bool:
        """Whether the target still leads to where a new connection went; where not it is closed.

        Raises StatusError as `candidates`.

        A kept one was taken in the turn of the loop in which it was decided where to go.
        """
        if connection.used:
            return True
        there = False
        self._router.dialled(self._route, connection.endpoint, silent=False)
        try:
            there = await self._router.leads_to(self._route, connection.endpoint, self._asker)
        finally:
            if not there:
                connection.close()
        return there
