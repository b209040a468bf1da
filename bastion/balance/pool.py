"""· The balancer: which endpoint is tried next?  Used by requests and upgrades alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from bastion.balance.outlier import Outliers
from bastion.balance.policies import BalancingPolicy

T = TypeVar("T", bound=Hashable)

MAX_POOLS = 65536


class Balancer:
    """A policy with its state for each key (a service port), and outlier detection over all endpoints."""

    def __init__(self, policy: Callable[[], BalancingPolicy], outliers: Outliers | None = None) -> None:
        self.outliers = outliers if outliers is not None else Outliers()
        self._policy = policy
        self._pools: dict[Hashable, BalancingPolicy] = {}

    def order(self, key: Hashable, endpoints: Sequence[T]) -> Sequence[T]:
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= MAX_POOLS:
                self._pools.clear()  # only their turns are lost
            pool = self._pools[key] = self._policy()
        return pool.order(endpoints)

    def choose(self, endpoints: Iterable[T], asker: Hashable, now: float) -> T | None:
        """The first endpoint that is not ejected, else the first ejected one; None where there is none."""
        if not self.outliers and isinstance(endpoints, tuple):
            return endpoints[0] if endpoints else None
        return next(iter(self.outliers.order(endpoints, asker, now)), None)
