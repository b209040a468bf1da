"""· The turn of each service port, kept while the service is in use."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from bastion.balance.policies import Policy

T = TypeVar("T")

MAX_POOLS = 65536


class Balancer:
    """One policy's state per key (a service port)."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy
        self._pools: dict[Hashable, Policy] = {}

    def order(self, key: Hashable, endpoints: Sequence[T]) -> Sequence[T]:
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= MAX_POOLS:
                self._pools.clear()  # turns start anew; nothing else is lost
            pool = self._pools[key] = self._policy()
        return pool.order(endpoints)
