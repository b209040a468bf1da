"""How fast may the API server be called?  One budget; what waits for it takes turns, kind by kind.

Somebody waits for a review or a look-up; a list or a watch runs in the background.  Neither kind starves behind the other:
while both wait, every second turn is the other's.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Throttle:
    """`per_second` calls on average (0 for no limit), `burst` at once."""

    def __init__(self, per_second: float = 0.0, burst: float = 1.0) -> None:
        self._per_second = per_second
        self._burst = max(burst, 1.0)
        self._tokens = self._burst
        self._as_of = 0.0
        self._lines: tuple[deque[asyncio.Future[None]], ...] = (deque(), deque())
        self._last = 0  # whose turn it was
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, *, background: bool) -> None:
        """Returns once a call may begin."""
        if not self._per_second:
            return
        loop = asyncio.get_running_loop()
        if not any(self._lines) and self._take(loop.time()):
            return
        place: asyncio.Future[None] = loop.create_future()
        self._lines[background].append(place)
        self._wake_later(loop)
        await place

    def __len__(self) -> int:
        return sum(map(len, self._lines))

    def _take(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._as_of) * self._per_second)
        self._as_of = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _wake_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None:
            self._timer = loop.call_later(max(0.0, (1 - self._tokens) / self._per_second), self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while (line := self._next()) is not None:
            if not self._take(loop.time()):
                self._wake_later(loop)
                return
            self._last = line
            self._lines[line].popleft().set_result(None)

    def _next(self) -> int | None:
        """Which line's turn it is; those at the heads who have left are dropped."""
        for line in self._lines:
            while line and line[0].done():
                line.popleft()
        return next((i for i in (1 - self._last, self._last) if self._lines[i]), None)
