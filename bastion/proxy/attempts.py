"""Where does an exchange try next?  First where its target was found to lead just now, then, each time, where it leads by then.

A dial takes up to seconds, and an address that a pod had may be given to another's, of another namespace, meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.kube.endpoint import Endpoint
from bastion.network.errors import DialError
from bastion.network.http1 import Connection
from bastion.proxy.router import Route, Router

MAX_ATTEMPTS = 3  # connections tried, kept ones too, before the client is told


class Attempts:
    """Of one exchange.  `fresh`: a kept connection died under it, so only new ones are good enough."""

    __slots__ = ("_failed", "_left", "_route", "_router", "failure", "fresh")

    def __init__(self, route: Route, router: Router) -> None:
        self._route = route
        self._router = router
        self._left = MAX_ATTEMPTS
        self._failed: tuple[Endpoint, ...] = ()
        self.failure: DialError | None = None
        self.fresh = False

    def candidates(self) -> Sequence[Endpoint]:
        """For the next attempt, in the order to try; none once enough was tried.  Raises StatusError: the target may be gone by now."""
        self._left -= 1
        if self._left == MAX_ATTEMPTS - 1:
            return self._route.endpoints
        if self._left < 0:
            return ()
        return [endpoint for endpoint in self._router.again(self._route) if endpoint not in self._failed]

    def failed(self, endpoint: Endpoint, failure: DialError) -> None:
        self._failed += (endpoint,)
        self.failure = failure

    def arrived(self, connection: Connection) -> bool:
        """Whether the target still leads to where a new connection went; where not it is closed.  Raises StatusError as `candidates`.

        A kept one was taken in the turn of the loop in which it was decided where to go.
        """
        if connection.used:
            return True
        there = False
        try:
            there = self._router.leads_to(self._route, connection.endpoint)
        finally:
            if not there:
                connection.close()
        return there
