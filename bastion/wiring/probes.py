"""What the pages are told of probes: of this replica's, or of the one that probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bastion.probe.hub import Hub
from bastion.probe.reports import RemoteReport, Report
from bastion.probe.sweeper import Sweeper
from bastion.probe.wanted import Wanted
from bastion.web.health import History, Place, Probed

FRESH = 1.0  # seconds for which a report is not fetched again
PAST_FRESH, MOST_PASTS = 60.0, 2000
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
        self._pasts: dict[Wanted, tuple[float, Report]] = {}
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
        if known is None:
            return Probed("unknown", target=wanted.target.text, module=wanted.module)
        return Probed(
            known.state,
            known.since,
            known.last,
            seconds=known.duration,
            reason=known.reason,
            trend=known.trend,
            target=wanted.target.text,
            module=wanted.module,
        )

    async def details(self, resource: str, namespace: str, name: str) -> Sequence[Any]:
        await self.look()
        wanted = self._wanted.get((resource, namespace, name))
        if wanted is None:
            return ()
        target, module = wanted.target.text, wanted.module
        found = (await self._hub.report(target, module)).of(target, module)
        return ({**found, "target": target, "module": module, "interval": wanted.interval},) if found else ()

    async def histories(self, places: Sequence[Place], span: str) -> Mapping[Place, History]:
        await self.look()
        found = {}
        there = {place: self._wanted[place] for place in places if place in self._wanted}
        for place, wanted in there.items():
            past = (await self._whole(wanted)).past(wanted.target.text, wanted.module, span)
            if past is not None:
                found[place] = History(past.bars, past.uptime, past.changes)
        return found

    async def _whole(self, wanted: Wanted) -> Report:
        """Of another replica's the list does not tell the past: one target is asked about, and remembered."""
        if not isinstance(self._report, RemoteReport):
            return self._report or Report({}, 0.0)
        until, report = self._pasts.get(wanted, (0.0, None))
        if report is None or self._now() >= until:
            report = await self._hub.report(wanted.target.text, wanted.module)
            if len(self._pasts) > MOST_PASTS:
                self._pasts.clear()
            self._pasts[wanted] = (self._now() + PAST_FRESH, report)
        return report
