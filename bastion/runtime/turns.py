"""· Whose turn is it?  Lines by kind of asker and by asker; each in turn has one step forward.

A user who wants much waits behind himself alone: whoever wants one thing waits for one round at most.  Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

Key = tuple[str, str]  # a kind, and who of that kind

# The kinds.  Each has its share of the turns, however many there are of another.
USER = "user"
ADDRESS = "address"  # of a client, before its user is known
STREAM = "stream"  # a user's access, asked about again: nobody can put that off by asking for more
BACKGROUND = ("background", "")

# in one line; the others are as many as there are streams and resources
MOST_WAITING = {USER: 100, ADDRESS: 100}


class Shared:
    """Those for whom one question is asked: they join while it waits, and it has a place in the line of
    each.
    """

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
        """`line_up` is called for whoever joins from now on; None: it waits no more."""
        self._waits = line_up


Asker = Key | Shared  # on whose behalf the API server is asked


def keys_of(asker: Asker) -> list[Key]:
    return asker.keys if isinstance(asker, Shared) else [asker]


class Lines(Generic[T]):
    """An item may stand in several lines; whoever takes it out of one discards it from the others."""

    def __init__(self, most: dict[str, int] = MOST_WAITING) -> None:
        self._most = most
        self._kinds: OrderedDict[str, OrderedDict[str, OrderedDict[T, None]]] = OrderedDict()

    def add(self, key: Key, item: T) -> bool:
        """False where as many wait in this line as may."""
        kind, name = key
        line = self._kinds.setdefault(kind, OrderedDict()).setdefault(name, OrderedDict())
        if kind in self._most and len(line) >= self._most[kind]:
            return False
        line[item] = None
        return True

    def next(self) -> T | None:
        """Whoever has waited longest in the line whose turn it is, None where nobody waits."""
        if not self._kinds:
            return None
        kind, lines = next(iter(self._kinds.items()))
        name, line = next(iter(lines.items()))
        item = next(iter(line))
        self._kinds.move_to_end(kind)
        lines.move_to_end(name)
        self.discard((kind, name), item)
        return item

    def discard(self, key: Key, item: T) -> None:
        kind, name = key
        lines = self._kinds.get(kind)
        line = lines.get(name) if lines is not None else None
        if lines is None or line is None:
            return
        line.pop(item, None)
        if not line:
            del lines[name]
            if not lines:
                del self._kinds[kind]

    def __len__(self) -> int:
        """Places; an item in two lines has two."""
        return sum(len(line) for lines in self._kinds.values() for line in lines.values())

    def __bool__(self) -> bool:
        return bool(self._kinds)
