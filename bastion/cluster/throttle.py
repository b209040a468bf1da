"""How fast may the API server be called?

One budget; what waits for it takes turns, by kind of asker and by asker.

Somebody waits for a review or a look-up; a list or a watch runs in the background.  No kind starves behind
another, and no user behind another's questions.
"""

from __future__ import annotations

import asyncio

from bastion.cluster.queue import Queue
from bastion.runtime.turns import Asker


class Throttle:
    """`per_second` calls on average (0 for no limit), `burst` at once."""

    def __init__(self, per_second: float = 0.0, burst: float = 1.0) -> None:
        self._per_second = per_second
        self._burst = max(burst, 1.0)
        self._tokens = self._burst
        self._as_of = 0.0
        self._queue = Queue(self._give_back)
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, asker: Asker) -> None:
        """Returns once a call may begin.  Raises StatusError 429 where as many of this asker wait as may."""
        if not self._per_second:
            return
        loop = asyncio.get_running_loop()
        if not self._queue and self._take(loop.time()):
            return
        self._wake_later(loop)
        await self._queue.wait(asker)

    def __len__(self) -> int:
        return len(self._queue)

    def _take(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._as_of) * self._per_second)
        self._as_of = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _give_back(self) -> None:
        self._tokens += 1

    def _wake_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None:
            self._timer = loop.call_later(max(0.0, (1 - self._tokens) / self._per_second), self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._queue:
            if not self._take(loop.time()):
                self._wake_later(loop)
                return
            if not self._queue.wake():  # who waited has left
                self._give_back()
