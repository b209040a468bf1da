"""A cache of results, with one lookup at a time for each key.

Each result has its own lifetime; errors are never cached.  A lookup is detached from the request that began
it, so that it goes on for others when that client disconnects.  It waits in the queue of each asker, so that
none waits behind other questions of the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from bastion.runtime.turns import Asker, SharedAsker

V = TypeVar("V")

SWEEP_EVERY = 1024  # insertions between sweeps for expired entries


class CacheStatistics(NamedTuple):
    """How often a question was answered from the cache, and how often it had to be asked."""

    hits: int
    misses: int


class Cache(Generic[V]):
    """`lifetime(value)` in seconds, 0 for not at all; `size` bounds the entries, `timeout` (seconds) a
    lookup.
    """

    def __init__(self, lifetime: Callable[[V], float], *, size: int = 16384, timeout: float = 10.0) -> None:
        self._lifetime = lifetime
        self._size = size
        self._timeout = timeout
        self._entries: dict[Hashable, tuple[V, float]] = {}
        self._flights: dict[Hashable, tuple[asyncio.Task[V], SharedAsker]] = {}
        self._loop = asyncio.get_running_loop()
        self._insertions = 0
        self._hits = self._misses = 0

    def get(self, key: Hashable) -> V | None:
        """The cached value, None where there is none or it has expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] > self._loop.time():
            self._hits += 1
            return entry[0]
        del self._entries[key]
        return None

    def entry(self, key: Hashable) -> tuple[V, float] | None:
        """What is remembered, and when it expires by the loop's clock; asking counts as no hit."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry[1] > self._loop.time() else None

    async def find(self, key: Hashable, look_up: Callable[[SharedAsker], Awaitable[V]], asker: Asker) -> V:
        """The cached value, or what `look_up` returns, on behalf of all askers meanwhile.

        Raises what `look_up` raises, or TimeoutError.
        """
        value = self.get(key)
        if value is not None:
            return value
        self._misses += 1
        flight = self._flights.get(key)
        if flight is None:
            shared = SharedAsker(asker)
            flight = self._flights[key] = asyncio.create_task(self._fly(key, look_up, shared)), shared
            flight[0].add_done_callback(_observe)
        else:
            flight[1].join(asker)
        return await asyncio.shield(flight[0])

    def in_flight(self, key: Hashable) -> bool:
        """Whether a lookup is under way."""
        return key in self._flights

    def forget(self, key: Hashable) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def statistics(self) -> CacheStatistics:
        return CacheStatistics(self._hits, self._misses)

    def __len__(self) -> int:
        return len(self._entries)

    async def _fly(
        self, key: Hashable, look_up: Callable[[SharedAsker], Awaitable[V]], shared: SharedAsker
    ) -> V:
        try:
            async with asyncio.timeout(self._timeout):
                value = await look_up(shared)
        finally:
            del self._flights[key]
        lifetime = self._lifetime(value)
        if lifetime > 0:
            self._put(key, value, lifetime)
        return value

    def _put(self, key: Hashable, value: V, lifetime: float) -> None:
        now = self._loop.time()
        self._insertions += 1
        if self._insertions % SWEEP_EVERY == 0 or len(self._entries) >= self._size:
            self._entries = {k: e for k, e in self._entries.items() if e[1] > now}
        while len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]  # the oldest insertion
        self._entries[key] = (value, now + lifetime)


def _observe(flight: asyncio.Task[V]) -> None:
    """Else asyncio logs the error of a lookup whose clients have all left."""
    if not flight.cancelled():
        flight.exception()
