"""· Balancing policies: which of the endpoints that are fit is next?

Chance is an argument: `chance(n)` is a number below n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Chance = Callable[[int], int]

ALL = 16  # endpoints that are all compared; of more, two that chance names


class Busy(Protocol):
    """An endpoint, and how many requests are under way there."""

    active: int


S = TypeVar("S", bound=Busy)


def least_requests(slots: Sequence[S], turn: int, chance: Chance) -> S:
    """The fewest under way; ties in turn.

    Two choices of many come close to the best of all (Mitzenmacher, 2001); of three they leave a slow one a
    ninth of the requests, so few are compared whole.
    """
    count = len(slots)
    if count > ALL:
        one, other = slots[chance(count)], slots[chance(count)]
        return other if other.active < one.active else one
    best = slots[turn % count]
    if best.active:
        for at in range(turn + 1, turn + count):
            slot = slots[at % count]
            if slot.active < best.active:
                best = slot
                if not best.active:
                    break
    return best


def round_robin(slots: Sequence[S], turn: int, chance: Chance) -> S:
    return slots[turn % len(slots)]


def by_chance(slots: Sequence[S], turn: int, chance: Chance) -> S:
    return slots[chance(len(slots))]


POLICIES = {"least-requests": least_requests, "round-robin": round_robin, "random": by_chance}


def rank(client: str, endpoint: str) -> bytes:
    """Of the endpoints the one with the highest rank is a client's (rendezvous hashing): the same for every
    replica, and where one goes only its own clients move.
    """
    return hashlib.blake2b(f"{client} {endpoint}".encode(), digest_size=8).digest()
