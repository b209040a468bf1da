"""How fast may the API server be called?

One budget; the calls that wait for it take turns, by kind of asker and by asker: reviews and look-ups that a
user waits for, and lists and watches in the background.  No kind starves behind another, and no user behind
another's questions.
"""

from __future__ import annotations

import asyncio

from bastion.cluster.queue import Queue
from bastion.runtime.limits import Rate
from bastion.runtime.turns import Asker

_ALL = "all"  # calls have one budget


class Throttle:
    """`per_second` calls on average (0 for no limit), `burst` at once."""

    def __init__(self, per_second: float = 0.0, burst: float = 1.0) -> None:
        self._limited = per_second > 0
        self._budget = Rate(per_second, max(burst, 1.0))
        self._queue = Queue(self._give_back)
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, asker: Asker) -> None:
        """Returns once a call may begin.  Raises StatusError 429 where too many of this asker wait."""
        if not self._limited:
            return
        if not self._queue and self._take():
            return
        self._wake_later()
        await self._queue.wait(asker)

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    def _take(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._budget.exhausted(_ALL, now):
            return False
        self._budget.spend(_ALL, now)
        return True

    def _give_back(self) -> None:
        self._budget.give_back(_ALL, asyncio.get_running_loop().time())

    def _wake_later(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._budget.wait(_ALL, loop.time()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        while self._queue:
            if not self._take():
                self._wake_later()
                return
            if not self._queue.wake():  # the call that waited was given up
                self._give_back()
