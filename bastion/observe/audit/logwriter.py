"""Events into a log: each at once (blocking), or a few times a second (batch), as a write for each costs too
much.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from bastion.observe.audit.counts import BUFFERED, LOG, AuditCounts
from bastion.observe.audit.logfile import Written

FLUSH_SECONDS = 0.2
FLUSH_BYTES = 1 << 20
HELD_BYTES = 16 << 20  # for a disk that does not write, before events are dropped

_log = logging.getLogger("bastion.audit")


class Lines(Protocol):
    def write(self, lines: Sequence[bytes]) -> Written: ...

    def tidy(self) -> None: ...

    def close(self) -> None: ...


class LogWriter:
    """Implements `Outlet`.  Use as an asynchronous context manager."""

    def __init__(self, lines: Lines, counts: AuditCounts, *, batch: bool) -> None:
        self._lines = lines
        self._counts = counts
        self._batch = batch
        self._held: list[bytes] = []
        self._size = 0
        self._enough = asyncio.Event()
        self._failing = False
        self._writing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._tidying: asyncio.Future[None] | None = None

    async def __aenter__(self) -> LogWriter:
        self.tidy()
        if self._batch:
            self._task = asyncio.create_task(self._run(), name="audit-log")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._flush()
        if self._tidying is not None:
            await self._tidying
        self._lines.close()

    def add(self, events: bytes, count: int) -> bool:
        if not self._batch:
            return self._write([events])
        if self._size > HELD_BYTES:
            self._counts.lost[BUFFERED] += count
            return False
        self._held.append(events)
        self._size += len(events)
        if self._size >= FLUSH_BYTES:
            self._enough.set()
        return True

    def tidy(self) -> None:
        """In a thread; from any."""
        self._loop.call_soon_threadsafe(self._tidy)

    def _tidy(self) -> None:
        """One at a time, and once more where another rotation came meanwhile."""
        before = self._tidying

        async def after() -> None:
            if before is not None:
                await before
            await asyncio.to_thread(self._lines.tidy)

        self._tidying = asyncio.ensure_future(after())

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._enough.wait()
            self._enough.clear()
            if self._held:
                # In a thread: a slow disk must not stall the proxy.
                await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._writing:
            held, self._held, self._size = self._held, [], 0
            if held:
                await asyncio.to_thread(self._write, held)

    def _write(self, lines: Sequence[bytes]) -> bool:
        written = self._lines.write(lines)
        if written.rotated:
            self.tidy()
        self._counts.lost[LOG] += sum(1 + line.count(b"\n") for line in lines[written.lines :])
        if written.cause and not self._failing:  # the first of a row of failures is news
            _log.error("the audit log cannot be written (%s): events are lost, and counted", written.cause)
        self._failing = bool(written.cause)
        return not written.cause
