"""· Which server gets the next connection?  Pure.

First those whose last check was answered, then those that are ready, then those that said no and still
answer: where all say no (etcd is in trouble) they answer better than nobody.  Never one that starts:
until it has read its rules kube-apiserver forbids everything, and nothing tells that 403 from a true one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from bastion.balance.readiness import Health, State

HALF = 5.0  # seconds after which a connection that ended counts half


class Choosable(Protocol):
    """`leaving`: it is no longer named."""

    health: Health
    load: Load
    leaving: bool


class Load:
    """`busy`: connections that a server has, those being made included.

    One that ended counts on for a while: a server that fails at once has the fewest connections, and would
    get them all.
    """

    __slots__ = ("_at", "_ended", "busy")

    def __init__(self) -> None:
        self.busy = 0
        self._ended = 0.0
        self._at = 0.0

    def begin(self) -> None:
        self.busy += 1

    def end(self, now: float) -> None:
        self.busy -= 1
        self._ended = self._left(now) + 1
        self._at = now

    def at(self, now: float) -> float:
        return self.busy + self._left(now)

    def _left(self, now: float) -> float:
        return self._ended * 0.5 ** ((now - self._at) / HALF) if self._ended else 0.0


S = TypeVar("S", bound=Choosable)


def fit(servers: Collection[S]) -> tuple[tuple[S, ...], ...]:
    """In tiers, best first; a later one is for connections that no server of the earlier ones took."""
    free = [one for one in servers if not one.leaving]
    tiers = (
        tuple(one for one in free if one.health.sure),
        tuple(one for one in free if one.health.state is State.READY and not one.health.sure),
        tuple(one for one in free if one.health.state is State.DRAINING),
    )
    return tuple(tier for tier in tiers if tier)


def least_busy(servers: Sequence[S], turn: int, now: float) -> S:
    """Of those that have about as few, each in turn."""
    loads = [one.load.at(now) for one in servers]
    least = min(loads) + 0.5
    idle = [one for one, load in zip(servers, loads, strict=True) if load <= least]
    return idle[turn % len(idle)]


def in_turn(servers: Sequence[S], turn: int, now: float) -> S:
    return servers[turn % len(servers)]
