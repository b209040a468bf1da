"""What has come of a body and was not read yet: between who brings it and the one who reads."""

from __future__ import annotations

import asyncio
from collections import deque

HIGH_WATER = 131072  # bytes held before whoever sends them is made to wait


class Held:
    """Pieces in order; at most one reader waits for them."""

    __slots__ = ("_held", "_pieces", "_waiter")

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """So much is held that its sender is made to wait."""
        return self._held > HIGH_WATER

    def _take(self) -> bytes:
        """All that is there, which is something."""
        pieces = self._pieces
        data = pieces.popleft() if len(pieces) == 1 else b"".join(pieces)
        self._drop()
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
