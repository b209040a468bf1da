"""When may a long piece of work do its next step?

One step per user and turn of the event loop, others' requests in between.

Twenty pages that one user has edited take as long as they take, and cost the others of each turn of the loop
no more than one page does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from bastion.runtime.turns import RoundRobinQueues

USERS = 4  # that do a step in one turn of the loop


class Turns:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rounds: RoundRobinQueues[asyncio.Future[None]] = RoundRobinQueues()
        self._served: set[Hashable] = set()  # users, in this turn of the loop
        self._due = False

    async def take(self, user: Hashable) -> None:
        """Returns when it is this user's turn; at once, where nobody else had one and the user had none."""
        if user not in self._served and len(self._served) < USERS:
            self._served.add(user)
            self._call_next()
            return
        waiter = self._loop.create_future()
        self._rounds.add(user, waiter)
        self._call_next()
        await waiter

    def _call_next(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._due = False
        self._served.clear()
        for user, waiter in self._rounds.round(USERS):
            if not waiter.done():  # whoever left was cancelled
                waiter.set_result(None)
                self._served.add(user)
        if self._served or self._rounds:
            self._call_next()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._rounds)
