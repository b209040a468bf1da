"""· The catalog's index and its caches.

Dictionaries whose changes cost the same however many objects a tenant has.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Generic, TypeVar

FEW = 8
MOST_REMEMBERED = 32768  # services, and as many pods and slices: some 20 MiB

V = TypeVar("V")


class Index(Generic[V]):
    """Several values for a key, in the order of insertion.

    Nearly always there is one, and fifty thousand dictionaries or sets would take 15 MiB: so values are kept
    in tuples, and in dictionaries only where a change would copy many.
    """

    def __init__(self) -> None:
        self._values: dict[str, tuple[V, ...] | dict[V, None]] = {}

    def get(self, key: str) -> Collection[V]:
        return self._values.get(key, ())

    def join(self, key: str, one: V) -> None:
        known = self._values.get(key, ())
        if isinstance(known, dict):
            known[one] = None
        elif one not in known:
            joined = (*known, one)
            self._values[key] = joined if len(joined) <= FEW else dict.fromkeys(joined)

    def leave(self, key: str, one: V) -> None:
        known = self._values.get(key, ())
        if isinstance(known, dict):
            known.pop(one, None)
        else:
            known = tuple(other for other in known if other != one)
            self._values[key] = known
        if not known:
            self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)


class PodsAt:
    """By address the live pods that have it: on the pod network (`own`), on the `host` network."""

    def __init__(self) -> None:
        self.own: Index[tuple[str, str]] = Index()
        self.host: Index[tuple[str, str]] = Index()


class Memo:
    """Cached results by an object's namespace and name; a namespace is dropped as fast as a name."""

    def __init__(self, most: int) -> None:
        """At most `most` objects; then the cache is emptied."""
        self._most = most
        self._known: dict[str, dict[str, dict[Any, Any]]] = {}
        self._count = 0

    def get(self, namespace: str, name: str) -> dict[Any, Any] | None:
        known = self._known.get(namespace)
        return known.get(name) if known is not None else None

    def of(self, namespace: str, name: str) -> dict[Any, Any]:
        """As `get`, but creates an empty one."""
        known = self.get(namespace, name)
        if known is None:
            if self._count >= self._most:
                self._known.clear()
                self._count = 0
            known = self._known.setdefault(namespace, {})[name] = {}
            self._count += 1
        return known

    def forget(self, namespace: str, name: str) -> None:
        known = self._known.get(namespace)
        if known is not None and known.pop(name, None) is not None:
            self._count -= 1
            if not known:
                del self._known[namespace]

    def forget_all(self, namespace: str) -> None:
        self._count -= len(self._known.pop(namespace, ()))

    def __len__(self) -> int:
        return self._count


class Memos:
    """The resolver's cached results per service, per slice and per pod."""

    def __init__(self) -> None:
        self.services, self.slices, self.pods = (Memo(MOST_REMEMBERED) for _ in range(3))
