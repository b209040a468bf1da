"""· Until when is a result valid?  Until the earliest end of all that it depends on.

There are two clocks: cache lifetimes use the monotonic one, tokens and certificates expire at a date, which
moves relative to the first when the system's clock is set.
"""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import msgspec

V = TypeVar("V")


class Validity(msgspec.Struct, frozen=True, gc=False):
    """`until` in seconds of the loop's clock, `expires` in seconds since the epoch; both
    exclusive.
    """

    until: float = math.inf
    expires: float = math.inf

    def holds(self, now: float, wall: float) -> bool:
        """`now` by the loop's clock, `wall` in seconds since the epoch."""
        return now < self.until and wall < self.expires

    def earliest(self, other: Validity) -> Validity:
        if other is ALWAYS:
            return self
        return Validity(min(self.until, other.until), min(self.expires, other.expires))


ALWAYS = Validity()  # as long as the files are what they are (`follow.Generation`)


class CachedResult(msgspec.Struct, Generic[V], frozen=True):
    """A result that needs no waiting, with its validity."""

    value: V
    validity: Validity = ALWAYS


class Generation:
    """Counts the changes of followed files: results of an earlier generation are no longer valid."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def advance(self) -> None:
        self.number += 1
