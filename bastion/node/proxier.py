"""When is what into force?  Each address family has a queue and a writer of its own.

Changes are collected for the least time between two syncs, then written as the difference.  A failed write
changes nothing and leads to one that says everything; where that fails as well, the next comes after a sync
period.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from bastion.node.claims import ServiceKey
from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.health import Health
from bastion.node.metrics import PROGRAMMING_BUCKETS, Metrics
from bastion.node.model import Change, Model
from bastion.node.rules import Rules

FULL_EVERY = 3600.0  # seconds
REPAIR_EVERY = 1.0  # at most: two programs may each write what the other one removes

_log = logging.getLogger("bastion.node")


class SyncError(Exception):
    """Nothing was changed."""


class Writer(Protocol):
    """Puts fronts into force.  Both raise SyncError."""

    async def full(self, rules: Rules, fronts: Fronts) -> None: ...

    async def change(self, changes: Mapping[FrontKey, Front | None]) -> None: ...

    async def intact(self) -> bool:
        """Whether what was written is still there, as far as a look can tell."""
        ...

    async def disturbed(self) -> None:
        """Returns once another program has changed what was written; never where that is not told."""
        ...

    def failures(self, metrics: Metrics, family: str, *, partial: bool) -> None:
        """Count one under the mode's own name."""
        ...


class Syncer:
    """`rules` are read at each full sync; `after` is called when a change is in force, with its UDP
    Services.
    """

    def __init__(
        self,
        family: str,
        model: Model,
        writer: Writer,
        *,
        rules: Callable[[], Rules],
        health: Health,
        metrics: Metrics,
        after: Callable[[str, set[ServiceKey]], None],
        period: float,
        least: float,
    ) -> None:
        self.family = family
        self.synced = asyncio.Event()
        self._model = model
        self._writer = writer
        self._rules = rules
        self._health = health
        self._metrics = metrics
        self._after = after
        self._period = period
        self._least = least
        self._wake = asyncio.Event()
        self._full_at = 0.0  # when everything is due
        self._udp: set[ServiceKey] = set()  # of changes that are not in force yet
        self._began = time.time()

    def wake(self) -> None:
        now = time.time()
        self._health.queued(self.family, time.time_ns())
        self._metrics.set("sync_proxy_rules_last_queued_timestamp_seconds", now, ip_family=self.family)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._repair())

    async def _repair(self) -> None:
        while True:
            await self._writer.disturbed()
            _log.warning("%s: another program changed the rules; writing them again", self.family)
            self._full_at = 0.0
            self._wake.set()
            await asyncio.sleep(REPAIR_EVERY)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        last = float("-inf")
        while True:
            if not await self._woken() and loop.time() < self._full_at:
                if await self._writer.intact():
                    continue
                _log.warning("%s: the rules are gone; writing them again", self.family)
                self._full_at = 0.0
            await asyncio.sleep(max(0.0, last + self._least - loop.time()))
            self._wake.clear()
            well = await self._sync(loop.time() >= self._full_at)
            if not well:
                await asyncio.sleep(self._period)
                self._wake.set()
            last = loop.time()

    async def _woken(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._period):
                await self._wake.wait()
                return True
        return False

    async def _sync(self, everything: bool) -> bool:
        """Whether it is in force."""
        began, clock = time.time_ns(), time.perf_counter()
        change = self._model.take(self.family)
        self._udp |= change.udp
        if not everything and not change.fronts:
            return self._done(change, began, clock, full=False)
        if not everything:
            try:
                await self._writer.change(change.fronts)
                return self._done(change, began, clock, full=False)
            except SyncError as error:
                self._writer.failures(self._metrics, self.family, partial=True)
                _log.warning("%s: a change was not taken: %s; writing everything again", self.family, error)
        self._full_at = 0.0
        try:
            await self._writer.full(self._rules(), dict(self._model.families[self.family].claims.fronts))
        except SyncError as error:
            self._writer.failures(self._metrics, self.family, partial=False)
            _log.error("%s: the rules could not be written: %s; what is in force stays", self.family, error)
            return False
        self._full_at = asyncio.get_running_loop().time() + FULL_EVERY
        return self._done(change, began, clock, full=True)

    def _done(self, change: Change, began: int, clock: float, *, full: bool) -> bool:
        family, took = self.family, time.perf_counter() - clock
        kind = "full" if full else "partial"
        self._metrics.observe("sync_proxy_rules_duration_seconds", took, ip_family=family)
        self._metrics.observe(f"sync_{kind}_proxy_rules_duration_seconds", took, ip_family=family)
        self._metrics.set("sync_proxy_rules_last_timestamp_seconds", time.time(), ip_family=family)
        for moment in change.triggers:
            with contextlib.suppress(ValueError):
                at = datetime.fromisoformat(moment).timestamp()
                if at > self._began:
                    seconds = max(0.0, time.time() - at)
                    name = "network_programming_duration_seconds"
                    self._metrics.observe(name, seconds, PROGRAMMING_BUCKETS, ip_family=family)
        self._health.synced(family, began, time.time_ns())
        udp, self._udp = self._udp, set()
        self.synced.set()
        self._after(family, udp)
        return True
