"""· Until when does an answer hold?  The earliest end of all that it stood on, and no lifetime of its own.

Two clocks: a cache's lifetime is measured by one that is never set, a token's and a certificate's end is a
date, and a date may come earlier or later than it seemed to when the system's clock is set.
"""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import msgspec

V = TypeVar("V")


class Validity(msgspec.Struct, frozen=True, gc=False):
    """`until` in seconds of the loop's clock, `expires` in seconds since the epoch; neither moment is part of
    it.
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


class Known(msgspec.Struct, Generic[V], frozen=True):
    """An answer that takes no waiting."""

    value: V
    validity: Validity = ALWAYS


class Generation:
    """Counts the changes of followed files: an answer of another generation is no longer valid."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def advance(self) -> None:
        self.number += 1
