"""What came of a body and was not read yet."""

from __future__ import annotations

import asyncio
from collections import deque

HIGH_WATER = 131072  # bytes held before reading from the sender pauses


class Held:
    """Pieces in order; at most one reader waits for them."""

    __slots__ = ("_held", "_pieces", "_waiter")

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """So much is held that reading from the sender pauses."""
        return self._held > HIGH_WATER

    def _take(self) -> bytes:
        """All that is held; called only where something is."""
        pieces = self._pieces
        if len(pieces) == 1:
            data = pieces.popleft()
        else:
            data = b"".join(pieces)
            pieces.clear()
        self._held = 0
        return data

    def _drop(self) -> None:
        self._pieces.clear()
        self._held = 0

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
