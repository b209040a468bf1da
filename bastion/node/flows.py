"""Deletes the UDP flows that a change left behind, once the change is in force."""

from __future__ import annotations

import asyncio
import logging
import time

from bastion.node.claims import ServiceKey
from bastion.node.conntrack import delete_flows
from bastion.node.kernel import local_addresses
from bastion.node.metrics import Metrics
from bastion.node.model import Model
from bastion.node.stale import Stale

_log = logging.getLogger("bastion.node")


class Flows:
    """One look at a time for each family; what comes meanwhile is looked at next."""

    def __init__(self, model: Model, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._waiting: dict[str, set[ServiceKey]] = {}
        self._wake = asyncio.Event()

    def look_at(self, family: str, services: set[ServiceKey]) -> None:
        if services:
            self._waiting.setdefault(family, set()).update(services)
            self._wake.set()

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, {}
            for family, services in waiting.items():
                await self._clean(family, services)

    async def _clean(self, family: str, services: set[ServiceKey]) -> None:
        began = time.perf_counter()
        try:
            stale = Stale(self._model, services, family, local_addresses())
            if not stale:
                return
            deleted = await asyncio.to_thread(delete_flows, family, lambda flow: stale(flow.to, flow.by))
        except OSError as error:
            _log.warning("%s: tracked UDP flows cannot be looked at: %s", family, error)
            return
        took = time.perf_counter() - began
        self._metrics.observe("conntrack_reconciler_sync_duration_seconds", took, ip_family=family)
        self._metrics.add("conntrack_reconciler_deleted_entries_total", deleted, ip_family=family)
