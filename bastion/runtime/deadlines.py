"""Deadlines by one sweep over all waiters, instead of a timer for each.

A timer costs a microsecond to set and one to cancel; a request would need five.  A waiter sets its own
`deadline` (seconds of the loop's clock, None while it waits for nothing).  The sweep runs twice a second, so
that a deadline is late by at most half a second.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

INTERVAL = 0.5
# waiters that expire in one turn of the loop: many often expire together, and other work must not wait
AT_ONCE = 8

_log = logging.getLogger("bastion")


class Waiter(Protocol):
    """`deadline` in seconds of the loop's clock; `expired()` is called once it has passed."""

    deadline: float | None

    def expired(self) -> None: ...


class Deadlines:
    """Sweeps its members until closed.  Use as an asynchronous context manager."""

    def __init__(self) -> None:
        self._waiting: set[Waiter] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Deadlines:
        self._task = asyncio.create_task(self._run(), name="deadlines")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    def add(self, waiter: Waiter) -> None:
        self._waiting.add(waiter)

    def discard(self, waiter: Waiter) -> None:
        self._waiting.discard(waiter)

    def __len__(self) -> int:
        return len(self._waiting)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(INTERVAL)
            await self._sweep(loop.time())

    async def _sweep(self, now: float) -> None:
        late = [w for w in self._waiting if w.deadline is not None and w.deadline <= now]
        for number, waiter in enumerate(late, 1):
            self._tell(waiter, now)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _tell(self, waiter: Waiter, now: float) -> None:
        """An earlier waiter may have removed this one, or moved its deadline."""
        if waiter not in self._waiting or waiter.deadline is None or waiter.deadline > now:
            return
        waiter.deadline = None
        try:
            waiter.expired()
        except Exception:
            _log.exception("a waiter failed when its deadline had passed")
