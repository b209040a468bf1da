"""How many at once, and how often?  Counters and token buckets; pure: time is an argument."""

from __future__ import annotations

from collections.abc import Hashable

MAX_KEYS = 65536


class Concurrency:
    """At most `most` at once per key; 0 for no limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[Hashable, int] = {}

    def enter(self, key: Hashable) -> bool:
        """False where the key is at its limit.  Every True is followed by one `leave`."""
        count = self._counts.get(key, 0)
        if self._most and count >= self._most:
            return False
        self._counts[key] = count + 1
        return True

    def leave(self, key: Hashable) -> None:
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]

    def __len__(self) -> int:
        return len(self._counts)


class Rate:
    """A token bucket per key: `per_second` on average (0 for no limit), `burst` at once."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._spent: dict[Hashable, tuple[float, float]] = {}  # key -> (tokens taken, as of)

    def exhausted(self, key: Hashable, now: float) -> bool:
        state = self._spent.get(key)
        return state is not None and self._per_second > 0 and self._left(state, now) < 1

    def spend(self, key: Hashable, now: float) -> None:
        state = self._spent.get(key, (0.0, now))
        if len(self._spent) >= MAX_KEYS and key not in self._spent:
            self._spent = {k: s for k, s in self._spent.items() if self._left(s, now) < self._burst}
            if len(self._spent) >= MAX_KEYS:
                self._spent.clear()
        self._spent[key] = (self._burst - self._left(state, now) + 1, now)

    def _left(self, state: tuple[float, float], now: float) -> float:
        spent, since = state
        return min(self._burst, self._burst - spent + (now - since) * self._per_second)

    def __len__(self) -> int:
        return len(self._spent)
