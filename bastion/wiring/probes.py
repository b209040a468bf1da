"""What the pages are told of probes: of this replica's, or of the one that probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from bastion.probe.hub import Hub
from bastion.probe.reports import Brief, Report
from bastion.probe.sweeper import Sweeper
from bastion.probe.wanted import Wanted
from bastion.web.health import Probed

FRESH = 1.0  # seconds for which a report is not fetched again
RESOURCES = {"Service": "services", "Pod": "pods"}


class HubProbes:
    """Implements `web.health.Probes`.  `now` is a clock in seconds."""

    def __init__(self, hub: Hub, sweeper: Sweeper, now: Callable[[], float]) -> None:
        self._hub = hub
        self._sweeper = sweeper
        self._now = now
        self._made = -FRESH
        self._report: Report | None = None
        self._wanted: dict[tuple[str, str, str], Wanted] = {}
        self._looking: asyncio.Lock = asyncio.Lock()

    @property
    def broken(self) -> str:
        prober = self._report.prober if self._report is not None else {}
        return str(prober.get("reason", "")) if prober.get("state", "ok") != "ok" else ""

    async def look(self) -> None:
        async with self._looking:
            if self._now() - self._made < FRESH:
                return
            self._report = await self._hub.report()
            self._wanted = {
                (RESOURCES[one.kind], one.namespace, one.name): one for one in self._sweeper.asked()
            }
            self._made = self._now()

    def of(self, resource: str, namespace: str, name: str) -> Probed | None:
        wanted = self._wanted.get((resource, namespace, name))
        if wanted is None or self._report is None:
            return None
        known = self._report.brief(wanted.target.text, wanted.module)
        return _probed(known) if known is not None else Probed("unknown")

    async def details(self, resource: str, namespace: str, name: str) -> Sequence[Any]:
        await self.look()
        wanted = self._wanted.get((resource, namespace, name))
        if wanted is None:
            return ()
        target, module = wanted.target.text, wanted.module
        found = (await self._hub.report(target, module)).of(target, module)
        return ({**found, "target": target, "module": module, "interval": wanted.interval},) if found else ()


def _probed(known: Brief) -> Probed:
    return Probed(known.state, known.since, known.last, known.duration, known.reason, known.trend)
