"""· Balancing policies: the order in which the endpoints of a service are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class BalancingPolicy(Protocol):
    def order(self, endpoints: Sequence[T]) -> Sequence[T]:
        """All of `endpoints`, the one to try first at the front; the others are for dials that
        fail.
        """
        ...


class RoundRobin:
    """Each in turn."""

    def __init__(self, start: int = 0) -> None:
        self._turn = start

    def order(self, endpoints: Sequence[T]) -> Sequence[T]:
        count = len(endpoints)
        if count < 2:
            return endpoints
        first = self._turn % count
        self._turn = first + 1
        if not first:
            return endpoints
        return (*endpoints[first:], *endpoints[:first])
