"""How a connection keeps pace with a peer, a reader and the loop: writing pauses, reading pauses, and a long
segment is read over several turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class WriteGate:
    """Open while the peer takes what is written; `drain` returns when it does again, or is gone."""

    __slots__ = ("_loop", "_waiter", "closed", "writable")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self.writable = True
        self.closed = False

    def pause(self) -> None:
        self.writable = False

    def resume(self) -> None:
        self.writable = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def close(self) -> None:
        """The connection is gone: nothing is waited for any more."""
        self.closed = True
        self.resume()

    async def drain(self) -> None:
        while not self.writable:
            if self._waiter is None:
                self._waiter = self._loop.create_future()
            await self._waiter


class ReadGate:
    """Closed while the reader has not taken what came, and while `left` waits for the loop's next turn."""

    __slots__ = ("left", "paused")

    def __init__(self) -> None:
        self.left = b""  # of a segment that takes long to parse
        self.paused = False

    def pause(self, transport: asyncio.Transport) -> None:
        self.paused = True
        transport.pause_reading()

    def resume(self, transport: asyncio.Transport) -> bool:
        """False where reading was not paused, or something is left for the next turn."""
        if not self.paused or self.left:
            return False
        self.paused = False
        transport.resume_reading()
        return True

    def postpone(
        self,
        rest: bytes,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        read_on: Callable[[], None],
    ) -> None:
        """`read_on` takes the rest in the next turn of the loop, after every other connection had its own."""
        self.left = rest
        self.pause(transport)
        loop.call_soon(read_on)

    def take(self) -> bytes:
        data, self.left = self.left, b""
        return data


class Stall:
    """A slow reader is served for as long as it takes something; one that takes nothing is given up."""

    __slots__ = ("unsent", "until")

    def __init__(self) -> None:
        self.unsent = 0  # bytes, when last looked at
        self.until = 0.0

    def begin(self, unsent: int, until: float) -> None:
        self.unsent, self.until = unsent, until

    def has_moved(self, unsent: int, until: float) -> bool:
        """Whether the reader took something since the last look: then it has until `until`."""
        if unsent >= self.unsent:
            return False
        self.unsent, self.until = unsent, until
        return True
