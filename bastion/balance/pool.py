"""· Which endpoint is tried next?  The turn of each service port, and what is known of each endpoint.

Requests and upgrades ask here, and tell here what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from bastion.balance.outlier import Outliers
from bastion.balance.policies import Policy

T = TypeVar("T", bound=Hashable)

MAX_POOLS = 65536


class Balancer:
    """One policy's state per key (a service port), and the outlier detection over all endpoints."""

    def __init__(self, policy: Callable[[], Policy], outliers: Outliers | None = None) -> None:
        self.outliers = outliers if outliers is not None else Outliers()
        self._policy = policy
        self._pools: dict[Hashable, Policy] = {}

    def order(self, key: Hashable, endpoints: Sequence[T]) -> Sequence[T]:
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= MAX_POOLS:
                self._pools.clear()  # turns start anew; nothing else is lost
            pool = self._pools[key] = self._policy()
        return pool.order(endpoints)

    def candidates(self, endpoints: Iterable[T], asker: Hashable, now: float) -> Iterable[T]:
        """`endpoints` in their order, those that fail for this asker, or for everybody, behind the others."""
        return self.outliers.order(endpoints, asker, now)

    def choose(self, endpoints: Iterable[T], asker: Hashable, now: float) -> T | None:
        """The first of the candidates, None where there is none."""
        return next(iter(self.outliers.order(endpoints, asker, now)), None)
