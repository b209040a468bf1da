"""Scheduled probes of all replicas as one: this replica probes, or asks the one that does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bastion.cluster.election import Election, Holder
from bastion.probe.history import History, Key, Outcome, StoreError
from bastion.probe.peers import PATIENCE, ask
from bastion.probe.reports import LocalReport, RemoteReport, Report, described
from bastion.probe.sweeper import Sweeper
from bastion.runtime.cache import Cache
from bastion.runtime.turns import BACKGROUND, SharedAsker

if TYPE_CHECKING:  # it loads SQLite
    from bastion.probe.store import Store

FRESH = 1.0  # seconds for which another replica is not asked the same again
MOST = 256

_log = logging.getLogger("bastion.probe")


class Hub:
    """`election` None: this process alone probes.  `token` is what replicas show each other."""

    def __init__(
        self,
        sweeper: Sweeper,
        history: History,
        store: Store | None,
        election: Election | None,
        token: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        self._sweeper = sweeper
        self._history = history
        self._store = store
        self._election = election
        self._token = token
        self._now = now
        self._remembered: Cache[Report] = Cache(lambda report: FRESH, size=MOST, timeout=2 * PATIENCE)

    def added(self, key: Key, outcome: Outcome) -> None:
        if self._store is not None:
            self._store.add(key, outcome)

    async def work(self) -> None:
        """Probes and keeps the results, until cancelled."""
        self._history.clear()
        keep = None
        if self._store is not None:
            try:
                await self._store.open(self._history, self._now())
                keep = asyncio.create_task(self._store.keep())
            except StoreError as error:
                _log.error("the history of probes is in memory only: %s", error)
        try:
            await self._sweeper.run()
        finally:
            if keep is not None:
                keep.cancel()
                await asyncio.gather(keep, return_exceptions=True)
            self._history.clear()

    def document(self, target: str, module: str) -> dict[str, Any]:
        """For another replica: of one target, or briefly of all."""
        now, health = self._now(), self._sweeper.health
        if target:
            tracks = self._history.of(target, module)
            return {
                "broken": health.broken,
                "targets": {_name(target, module): described(tracks, now)} if tracks else {},
            }
        return {
            "broken": health.broken,
            "targets": {
                _name(*one): described(self._history.of(*one), now, brief=True)
                for one in self._history.targets()
            },
        }

    async def report(self, target: str = "", module: str = "") -> Report:
        """Of one target, or briefly of all."""
        now = self._now()
        if self._election is None or self._election.holds:
            return LocalReport(self._history, _state(broken=self._sweeper.health.broken), now)
        holder = self._election.holder
        if holder is None or not holder.identity:
            why = self._election.failure or "no replica probes yet"
            return Report({"state": "unavailable", "reason": why}, now)
        told = partial(self._told, holder, target, module)
        try:
            # many readers, and users who ask again and again, are one question to the one that probes
            return await self._remembered.find((holder, target, module), told, BACKGROUND)
        except (OSError, TimeoutError, ValueError, LookupError, TypeError) as error:
            cause = str(error) or type(error).__name__
            why = f"the replica that probes, {holder.identity}, does not answer: {cause}"
            return Report({"state": "unavailable", "reason": why}, now)

    async def _told(self, holder: Holder, target: str, module: str, asker: SharedAsker) -> Report:
        """Raises OSError, TimeoutError, ValueError, LookupError or TypeError."""
        now = self._now()
        found = await ask(holder, self._token(), target, module)
        return RemoteReport(found["targets"], _state(broken=bool(found["broken"])), now)


def _state(*, broken: bool) -> dict[str, str]:
    return {"state": "broken", "reason": "no target can be reached"} if broken else {"state": "ok"}


def _name(target: str, module: str) -> str:
    return f"{module} {target}"
