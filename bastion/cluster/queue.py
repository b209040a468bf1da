"""Waiting for a turn at the API server, so that an asker of many calls does not delay the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from bastion.kube.errors import overloaded
from bastion.runtime.turns import Asker, SharedAsker, TurnQueues, keys_of

Place = asyncio.Future[None]


class Queue:
    """`passed_on` is called for a turn that came after its owner had left."""

    def __init__(self, passed_on: Callable[[], None]) -> None:
        self._lines: TurnQueues[Place] = TurnQueues()
        self._passed_on = passed_on

    async def wait(self, asker: Asker) -> None:
        """Returns when it is the asker's turn.

        Raises StatusError 429 where the lines of all its keys are full.
        """
        place: Place = asyncio.get_running_loop().create_future()
        admitted = [self._lines.add(key, place) for key in keys_of(asker)]
        if not any(admitted):
            raise overloaded(
                "too many questions of this user or address wait for the Kubernetes API server; try again"
                " shortly"
            )
        if isinstance(asker, SharedAsker):
            asker.waits(lambda key: self._lines.add(key, place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._passed_on()
            raise
        finally:
            if isinstance(asker, SharedAsker):
                asker.waits(None)
            for key in keys_of(asker):
                self._lines.discard(key, place)

    def wake(self) -> bool:
        """Gives the next one its turn; False where nothing waits."""
        while (place := self._lines.next()) is not None:
            if not place.done():
                place.set_result(None)
                return True
        return False

    def __len__(self) -> int:
        return len(self._lines)

    def __bool__(self) -> bool:
        return bool(self._lines)


class Gate:
    """At most `most` inside at once; what waits outside takes turns."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._queue = Queue(self._leave)

    @contextlib.asynccontextmanager
    async def inside(self, asker: Asker) -> AsyncIterator[None]:
        """Raises StatusError 429 as the queue does."""
        if self._free:
            self._free -= 1
        else:
            await self._queue.wait(asker)  # for a place that becomes free
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        if not self._queue.wake():
            self._free += 1

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)
