"""· Fair queues: one queue for each asker, and the queues take turns; pure.

A user with many requests waits behind their own requests alone; a user with one waits for one round at most.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

Key = tuple[str, str]  # a kind, and a name of that kind

# The kinds.  Each has its share of the turns, however many there are of another.
USER = "user"
ADDRESS = "address"  # of a client, before its user is known
STREAM = "stream"  # access checks of streams: no user can delay them by further requests
BACKGROUND = ("background", "")

# in one queue; streams and resources bound the others
MOST_WAITING = {USER: 100, ADDRESS: 100}


class SharedAsker:
    """All askers of one question: it has a place in the queue of each, and more may join while it waits."""

    __slots__ = ("_waits", "keys")

    def __init__(self, asker: Asker) -> None:
        self.keys = list(keys_of(asker))
        self._waits: Callable[[Key], object] | None = None

    def join(self, asker: Asker) -> None:
        for key in keys_of(asker):
            if key not in self.keys:
                self.keys.append(key)
                if self._waits is not None:
                    self._waits(key)

    def waits(self, line_up: Callable[[Key], object] | None) -> None:
        """`line_up` is called for each key that joins from now on; None: the question no longer waits."""
        self._waits = line_up


Asker = Key | SharedAsker  # on whose behalf the API server is asked


def keys_of(asker: Asker) -> list[Key]:
    return asker.keys if isinstance(asker, SharedAsker) else [asker]


class RoundRobinQueues(Generic[T]):
    """One queue for each key.  After its turn a queue goes behind the others."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Hashable, OrderedDict[T, None]] = OrderedDict()

    def add(self, key: Hashable, item: T) -> None:
        self._lines.setdefault(key, OrderedDict())[item] = None

    def waiting(self, key: Hashable) -> int:
        return len(self._lines.get(key, ()))

    def next(self) -> tuple[Hashable, T]:
        """The first item of the queue whose turn it is.  Raises StopIteration where nothing waits."""
        key, line = next(iter(self._lines.items()))
        item = next(iter(line))
        self._lines.move_to_end(key)
        self.discard(key, item)
        return key, item

    def round(self, most: int) -> list[tuple[Hashable, T]]:
        """The first item of each of at most `most` queues."""
        return [self.next() for _ in range(min(most, len(self._lines)))]

    def discard(self, key: Hashable, item: T) -> None:
        line = self._lines.get(key)
        if line is not None:
            line.pop(item, None)
            if not line:
                del self._lines[key]

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __bool__(self) -> bool:
        return bool(self._lines)


class TurnQueues(Generic[T]):
    """The kinds of keys take turns, and the names within a kind do.

    An item may be in several queues: when it is taken from one, discard it from the others.
    """

    def __init__(self, most: dict[str, int] = MOST_WAITING) -> None:
        self._most = most
        self._kinds: OrderedDict[str, RoundRobinQueues[T]] = OrderedDict()

    def add(self, key: Key, item: T) -> bool:
        """False where the queue is full."""
        kind, name = key
        rounds = self._kinds.get(kind)
        if rounds is None:
            rounds = self._kinds[kind] = RoundRobinQueues()
        if kind in self._most and rounds.waiting(name) >= self._most[kind]:
            return False
        rounds.add(name, item)
        return True

    def next(self) -> T | None:
        """The item that has waited longest in the queue whose turn it is, None where nothing waits."""
        if not self._kinds:
            return None
        kind, rounds = next(iter(self._kinds.items()))
        _, item = rounds.next()
        self._kinds.move_to_end(kind)
        self._drop_empty(kind)
        return item

    def discard(self, key: Key, item: T) -> None:
        kind, name = key
        if kind in self._kinds:
            self._kinds[kind].discard(name, item)
            self._drop_empty(kind)

    def _drop_empty(self, kind: str) -> None:
        if not self._kinds[kind]:
            del self._kinds[kind]

    def __len__(self) -> int:
        """Places; an item in two queues has two."""
        return sum(map(len, self._kinds.values()))

    def __bool__(self) -> bool:
        return bool(self._kinds)
