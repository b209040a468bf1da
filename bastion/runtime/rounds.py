"""· Whose turn is it?  One of each key in a round, however many wait under one; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class Rounds(Generic[T]):
    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[T]] = {}

    def wait(self, key: Hashable, one: T) -> None:
        self._waiting.setdefault(key, deque()).append(one)

    def next(self, most: int) -> list[tuple[Hashable, T]]:
        """The first of each of at most `most` keys, which then stand behind all others."""
        served = []
        for key in list(islice(self._waiting, most)):
            queue = self._waiting.pop(key)
            served.append((key, queue.popleft()))
            if queue:
                self._waiting[key] = queue
        return served

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))
