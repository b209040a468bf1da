"""· When is which target probed?  Spread evenly, and a little off the beat each time; time and chance are
arguments.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

GOLDEN = 0.6180339887498949  # multiples of it fall evenly into 0…1, however many there are
JITTER = 0.01  # of an interval, either way


class Schedule(Generic[T]):
    """`chance` gives a number of 0…1."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._due: list[tuple[float, int, T]] = []
        self._intervals: dict[T, tuple[float, int]] = {}  # and which entry of the heap counts
        self._beats: dict[T, float] = {}
        self._number = 0

    def replace(self, wanted: dict[T, float], now: float) -> None:
        """What is to be probed from now on, with the seconds between two probes."""
        for gone in self._intervals.keys() - wanted.keys():
            del self._intervals[gone], self._beats[gone]
        for one, interval in wanted.items():
            known = self._intervals.get(one)
            if known is None or known[0] != interval:
                self._add(one, interval, now)

    def due(self, now: float) -> list[T]:
        """What is due by now; each is due again an interval after."""
        found = []
        while self._due and self._due[0][0] <= now:
            _, number, one = heapq.heappop(self._due)
            known = self._intervals.get(one)
            if known is None or known[1] != number:
                continue
            found.append(one)
            interval = known[0]
            beat = self._beats[one] + interval
            if beat <= now:  # the clock leapt, or the program stood still: no probe is made up for
                beat += ((now - beat) // interval + 1) * interval
            self._beats[one] = beat
            self._push(one, number, beat + interval * JITTER * (2 * self._chance() - 1))
        return found

    def next(self) -> float | None:
        """When something is due; None where nothing is."""
        return self._due[0][0] if self._due else None

    def __len__(self) -> int:
        return len(self._intervals)

    def items(self) -> Collection[T]:
        return self._intervals.keys()

    def _add(self, one: T, interval: float, now: float) -> None:
        self._number += 1
        self._intervals[one] = interval, self._number
        self._beats[one] = beat = now + (self._number * GOLDEN) % 1.0 * interval
        self._push(one, self._number, beat)

    def _push(self, one: T, number: int, at: float) -> None:
        heapq.heappush(self._due, (at, number, one))
