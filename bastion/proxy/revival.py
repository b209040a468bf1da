"""Dials an endpoint that is out, where no request may be its probe: those that may not be sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from bastion.balance.outlier import Outliers
from bastion.kube.endpoint import Endpoint
from bastion.network.connections import ConnectionPool
from bastion.network.errors import DialError

AT_ONCE = 64


class Revival:
    def __init__(self, pool: ConnectionPool, outliers: Outliers, now: Callable[[], float]) -> None:
        self._pool = pool
        self._outliers = outliers
        self._now = now
        self._dials: set[asyncio.Task[None]] = set()

    def __call__(self, endpoint: Endpoint, user: Hashable) -> None:
        """In the turn of the loop in which the endpoint was chosen: the target leads there."""
        if len(self._dials) < AT_ONCE:
            task = asyncio.create_task(self._dial(endpoint, user))
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)

    async def _dial(self, endpoint: Endpoint, user: Hashable) -> None:
        try:
            connection = await self._pool.dial(endpoint)
        except DialError:
            self._outliers.failed(endpoint, user, self._now(), dialled=False)
        else:
            connection.close()
            self._outliers.dialled(endpoint, user)

    def close(self) -> None:
        for task in self._dials:
            task.cancel()
