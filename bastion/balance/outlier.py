"""Is an endpoint worth a try?  Outcomes in, a verdict out; time is an argument.

One that failed several times in a row is tried by one request each few seconds, and the others are told at once instead
of waiting for it one after the other.
"""

from __future__ import annotations

from collections.abc import Hashable

FAILURES = 5  # in a row
PROBE_SECONDS = 5.0
MAX_TRACKED = 16384


class Outliers:
    """Remembers only endpoints that fail."""

    def __init__(self, failures: int = FAILURES, probe_seconds: float = PROBE_SECONDS) -> None:
        self._failures = failures
        self._probe_seconds = probe_seconds
        self._failing: dict[Hashable, tuple[int, float]] = {}  # endpoint -> (failures in a row, when it may be tried again)

    def worth_a_try(self, endpoint: Hashable, now: float) -> bool:
        """A yes for one that is failing is the probe: it is the only one until the next is due."""
        state = self._failing.get(endpoint)
        if state is None or state[0] < self._failures:
            return True
        if now < state[1]:
            return False
        self._failing[endpoint] = (state[0], now + self._probe_seconds)
        return True

    def succeeded(self, endpoint: Hashable) -> None:
        if self._failing:
            self._failing.pop(endpoint, None)

    def failed(self, endpoint: Hashable, now: float) -> None:
        count = self._failing.get(endpoint, (0, 0.0))[0] + 1
        if len(self._failing) >= MAX_TRACKED and endpoint not in self._failing:
            self._failing.clear()
        self._failing[endpoint] = (count, now + self._probe_seconds)

    def __len__(self) -> int:
        return sum(count >= self._failures for count, _ in self._failing.values())
