"""· A bounded table that owners share fairly: no owner can evict the entries of others.

When it is full, the owner with the most entries loses its oldest.  So flooding evicts the flooder's own
entries, and an owner with less than an even share loses none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FairTable(Generic[K, V]):
    """At most `size` entries.  `get` is that of a dictionary."""

    __slots__ = ("_by_count", "_keys", "_most", "_owners", "_size", "_values", "get")

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[K, V] = {}
        self.get = self._values.get
        self._owners: dict[K, Hashable] = {}
        # Ordered: a dictionary would look for its first key behind all that are gone.
        self._keys: dict[Hashable, OrderedDict[K, None]] = {}  # of each owner, the oldest first
        self._by_count: dict[int, OrderedDict[Hashable, None]] = {}  # owners with so many entries
        self._most = 0  # entries of one owner

    def put(self, key: K, value: V, owner: Hashable) -> None:
        """An existing entry keeps its owner."""
        if key not in self._values:
            keys = self._keys.setdefault(owner, OrderedDict())
            keys[key] = None
            self._owners[key] = owner
            if len(self._values) < self._size:
                self._recount(owner, len(keys) - 1, len(keys))
            elif len(keys) > self._most:  # one more than all others: its own oldest goes, and counts stay
                oldest, _ = keys.popitem(last=False)
                del self._values[oldest], self._owners[oldest]
            else:
                self._recount(owner, len(keys) - 1, len(keys))
                self.forget(next(iter(self._keys[next(iter(self._by_count[self._most]))])))
        self._values[key] = value

    def forget(self, key: K) -> None:
        if key not in self._values:
            return
        del self._values[key]
        owner = self._owners.pop(key)
        keys = self._keys[owner]
        del keys[key]
        if not keys:
            del self._keys[owner]
        self._recount(owner, len(keys) + 1, len(keys))

    def owned(self, owner: Hashable) -> int:
        return len(self._keys.get(owner, ()))

    def __len__(self) -> int:
        return len(self._values)

    def _recount(self, owner: Hashable, before: int, now: int) -> None:
        """`before` and `now` differ by one, so that the most is found without a search."""
        if now:
            self._by_count.setdefault(now, OrderedDict())[owner] = None
        if before:
            others = self._by_count[before]
            del others[owner]
            if not others:
                del self._by_count[before]
        if now > self._most or self._most not in self._by_count:
            self._most = now
