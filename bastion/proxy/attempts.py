"""Where does an exchange try next, after its first attempt failed?  Where its target leads by now.

A dial takes up to seconds, and an address that a pod had may be given to another's, of another namespace, meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.kube.endpoint import Endpoint
from bastion.network.errors import DialError
from bastion.network.http1 import Connection
from bastion.proxy.router import Route, Router
from bastion.turns import Key

MAX_ATTEMPTS = 3  # connections tried, kept ones too, before the client is told


class Attempts:
    """Of one exchange.  `fresh`: a kept connection died under it, so only new ones are good enough."""

    def __init__(self, route: Route, router: Router, asker: Key, *, fresh: bool = False) -> None:
        self._route = route
        self._router = router
        self._asker = asker
        self._left = MAX_ATTEMPTS - 1
        self._failed: list[Endpoint] = []
        self.failure: DialError | None = None
        self.fresh = fresh

    async def candidates(self) -> Sequence[Endpoint]:
        """For the next attempt, in the order to try; none once enough was tried.  Raises StatusError: the target may be gone by now."""
        if not self._left:
            return ()
        self._left -= 1
        return [endpoint for endpoint in await self._router.again(self._route, self._asker) if endpoint not in self._failed]

    def failed(self, endpoint: Endpoint, failure: DialError) -> None:
        self._failed.append(endpoint)
        self.failure = failure

    async def arrived(self, connection: Connection) -> bool:
        """Whether the target still leads to where a new connection went; where not it is closed.  Raises StatusError as `candidates`.

        A kept one was taken in the turn of the loop in which it was decided where to go.
        """
        if connection.used:
            return True
        there = False
        try:
            there = await self._router.leads_to(self._route, connection.endpoint, self._asker)
        finally:
            if not there:
                connection.close()
        return there
