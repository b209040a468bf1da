"""· Which server gets the next connection?  Pure.

First those whose last check was answered, then those that are ready, then those that said no and still
answer: where all say no (etcd is in trouble) they answer better than nobody.  Never one that starts:
until it has read its rules kube-apiserver forbids everything, and nothing tells that 403 from a true one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from bastion.balance.readiness import Health, State


class Choosable(Protocol):
    """`busy`: connections that it has, those being made included; `leaving`: it is no longer named."""

    health: Health
    busy: int
    leaving: bool


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


def least_busy(servers: Sequence[S], turn: int) -> S:
    """Of those that have as few, each in turn."""
    least = min([one.busy for one in servers])
    idle = [one for one in servers if one.busy == least]
    return idle[turn % len(idle)]


def in_turn(servers: Sequence[S], turn: int) -> S:
    return servers[turn % len(servers)]
