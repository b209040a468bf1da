"""· How many requests may be sent a second time?  Pure: time is an argument.

A fifth of the requests of the last ten seconds, and ten more: where everything fails, retries without a bound
would triple the load on what is failing already.
"""

from __future__ import annotations

SECONDS = 10
PART = 0.2
FLOOR = 10


class RetryBudget:
    """Of one service port.  `requests` and `retries` count them all."""

    __slots__ = ("_recent", "_second", "next_at", "requests", "retries")

    def __init__(self) -> None:
        self.requests = 0
        self.retries = 0
        self._second = 0
        self.next_at = 1.0  # when the next second begins
        # what both counts were when each of the last seconds began, the latest first
        self._recent: list[tuple[int, int]] = [(0, 0)]

    @property
    def used_at(self) -> int:
        """The second of the last request."""
        return self._second

    def request(self, now: float) -> None:
        if now >= self.next_at:
            self._advance(int(now))
        self.requests += 1

    def may_retry(self, now: float) -> bool:
        """True spends one."""
        self._advance(int(now))
        requests, retries = self._recent[-1]
        if self.retries - retries >= FLOOR + PART * (self.requests - requests):
            return False
        self.retries += 1
        return True

    def _advance(self, second: int) -> None:
        passed, self._second, self.next_at = second - self._second, second, second + 1.0
        if passed > 0:
            counts = (self.requests, self.retries)
            self._recent = [*[counts] * min(passed, SECONDS), *self._recent][:SECONDS]
