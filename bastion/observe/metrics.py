"""The metrics of all components, gathered for each scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from bastion.observe.families import Family

RENDER_SECONDS = 1.0

Source = Callable[[], Iterable[Family]]


class Metrics:
    """Asks its sources, in the order in which they were added."""

    def __init__(self, *sources: Source) -> None:
        self._sources = [*sources]

    def add(self, *sources: Source) -> None:
        self._sources += sources

    def families(self) -> list[Family]:
        return [family for source in self._sources for family in source()]


class Renderer:
    """Renders at most once a second, for all scrapes that wait: never an old text, and many cost one."""

    def __init__(self, render: Callable[[], Awaitable[bytes]]) -> None:
        self._render = render
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._next: asyncio.Task[bytes] | None = None

    async def __call__(self) -> bytes:
        if self._next is None:
            self._next = self._loop.create_task(self._when_due())
        return await asyncio.shield(self._next)

    async def _when_due(self) -> bytes:
        await asyncio.sleep(self._due - self._loop.time())
        self._next = None
        self._due = self._loop.time() + RENDER_SECONDS
        return await self._render()
