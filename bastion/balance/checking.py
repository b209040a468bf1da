"""Checks a server again and again: sooner where it is not well, or a connection to it failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from bastion.balance.readiness import Health, Outcome, State

LEAST = 0.1  # seconds between two checks, however much fails


class Prober(Protocol):
    async def probe(self) -> Outcome: ...

    def close(self) -> None: ...


async def keep_checking(
    prober: Prober,
    seen: Callable[[Outcome], Health],
    due: asyncio.Event,
    every: float,
    away: float,
) -> None:
    """Until cancelled.  `seen` returns the health that follows; `due` brings the next check forward.

    Seconds between two: `every`, or `away` while the server does not serve.
    """
    try:
        while True:
            health = seen(await prober.probe())
            pause = every if health.sure or health.state is State.DRAINING else away
            pause = LEAST if health.missed == 1 else pause * random.uniform(0.9, 1.0)
            await asyncio.sleep(LEAST)
            await _set_within(due, pause - LEAST)
            due.clear()
    finally:
        prober.close()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
