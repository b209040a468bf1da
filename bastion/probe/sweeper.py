"""Probes what asks for it, when it is due, with the bastion's own rules and nobody's credentials."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import random

import msgspec

from bastion.discovery.catalog import Catalog
from bastion.kube.status import StatusError
from bastion.probe.history import DOWN, History, Key, Outcome
from bastion.probe.modulefile import DECLARED
from bastion.probe.modules import Module
from bastion.probe.modulesource import ModuleSource
from bastion.probe.parameters import time_for
from bastion.probe.runner import Order, Result, Runner
from bastion.probe.schedule import Schedule
from bastion.probe.wanted import Wanted, all_wanted
from bastion.runtime.turns import BACKGROUND

REFRESH = 5.0  # seconds between two looks at who asks
AT_ONCE = 64  # scheduled probes under way
KEPT = 600.0  # seconds for which an endpoint that is gone is remembered
PART = 0.9  # of the interval, at most, that a probe may take
MOST_TARGETS = 5000

_log = logging.getLogger("bastion.probe")


class Latest(msgspec.Struct, frozen=True, gc=False):
    """Of one endpoint, for /metrics."""

    wanted: Wanted
    success: bool | None
    duration: float
    status: float | None
    expiry: float | None


class ProberHealth:
    """Is the prober broken?  Where lately no target at all could be reached, and some could before, it is not
    the targets."""

    def __init__(self) -> None:
        self._last: deque[tuple[str, bool]] = deque(maxlen=20)
        self._ever = False
        self.broken = False

    def note(self, target: str, *, reached: bool) -> bool:
        """Whether it is broken now."""
        self._ever = self._ever or reached
        self._last.append((target, reached))
        alone = len({one for one, _ in self._last}) < 5 or len(self._last) < 10
        self.broken = self._ever and not alone and not any(there for _, there in self._last)
        return self.broken


class Sweeper:
    """`now` is seconds of the epoch; `changed` and `added` are told of new states and results."""

    def __init__(
        self,
        *,
        runner: Runner,
        modules: ModuleSource,
        catalog: Catalog,
        history: History,
        interval: float,
        folk: bool,
        now: Callable[[], float],
        added: Callable[[Key, Outcome], None] = lambda key, outcome: None,
    ) -> None:
        self._runner = runner
        self._modules = modules
        self._catalog = catalog
        self._history = history
        self._interval = interval
        self._folk = folk
        self._now = now
        self.added = added
        self._schedule: Schedule[Wanted] = Schedule(random)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.health = ProberHealth()
        self.latest: dict[Key, Latest] = {}
        self.refused: dict[Wanted, str] = {}
        self.runs = 0

    @property
    def scheduled(self) -> int:
        return len(self._schedule.items())

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        refresh = 0.0
        try:
            while True:
                if loop.time() >= refresh:
                    self.look(loop.time())
                    refresh = loop.time() + REFRESH
                for one in self._schedule.due(loop.time()):
                    task = asyncio.create_task(self.probe(one))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                due = self._schedule.next()
                await asyncio.sleep(max(min(refresh, refresh if due is None else due) - loop.time(), 0.0))
        finally:
            for task in self._tasks:
                task.cancel()
            self._schedule.replace({}, loop.time())
            self.latest.clear()

    def look(self, now: float) -> None:
        """Who asks by now?"""
        wanted = self.asked()
        self._schedule.replace({one: one.interval or self._interval for one in wanted}, now)
        there = set(wanted)
        for key in [key for key, latest in self.latest.items() if latest.wanted not in there]:
            del self.latest[key]

    def asked(self) -> list[Wanted]:
        """What is to be probed."""
        return [one for one in self.wanted() if self._folk or not one.folk][:MOST_TARGETS]

    def wanted(self) -> list[Wanted]:
        """What asks for it, by whichever annotation."""
        return list(all_wanted(self._catalog.services.values(), self._catalog.pods.values()))

    async def probe(self, wanted: Wanted) -> None:
        module = None if wanted.module == DECLARED else self._modules.get(wanted.module)
        refusal = _refusal(wanted, module)
        if refusal:
            self._refuse(wanted, refusal)
            return
        self.refused.pop(wanted, None)
        longest = (wanted.interval or self._interval) * PART
        time = min(time_for(None, module.timeout if module is not None else 0.0), longest)
        async with self._places:
            try:
                order = Order(wanted.target, wanted.module, module)
                results = await self._runner.run(order, time, BACKGROUND)
            except StatusError as error:
                self._refuse(wanted, error.message)
                return
            except Exception:
                _log.exception("a scheduled probe of %s failed inside the bastion", wanted.target.text)
                return
        self.take(wanted, results)

    def take(self, wanted: Wanted, results: Sequence[Result]) -> None:
        """Into the history, each endpoint on its own and the target as a whole."""
        self.runs += 1
        now, target = self._now(), wanted.target.text
        counted = wanted.counts(now)
        broken = self.health.note(target, reached=any(map(_reached, results)))
        whole = Key(target, wanted.module, "")
        for one in results if results[0].place is not None else ():
            key = Key(target, wanted.module, one.endpoint)
            success = None if broken or one.broken else one.success
            self._add(key, _outcome(now, success, one, counted=counted), one)
            self.latest[key] = Latest(
                wanted,
                success,
                one.duration,
                one.samples.get("probe_http_status_code"),
                one.samples.get("probe_ssl_earliest_cert_expiry"),
            )
        worst = min(results, key=lambda one: one.success)
        success = None if broken or any(one.broken for one in results) else worst.success
        self._add(whole, _outcome(now, success, worst, counted=counted), worst)
        self._forget_gone(wanted, {one.endpoint for one in results}, now)
        if results[0].place is None:
            self.latest[whole] = Latest(wanted, success, 0.0, None, None)
        else:
            self.latest.pop(whole, None)

    def _add(self, key: Key, outcome: Outcome, result: Result) -> None:
        state = self._history.add(key, outcome, result.failures, result.successes)
        self.added(key, outcome)
        if state and not key.endpoint:
            level = logging.WARNING if state == DOWN else logging.INFO
            _log.log(level, "%s by %s is %s %s", key.target, key.module, state, outcome.reason)

    def _forget_gone(self, wanted: Wanted, there: Iterable[str], now: float) -> None:
        known = self._history.of(wanted.target.text, wanted.module)
        gone = [key for key in known if key.endpoint and key.endpoint not in there]
        for key in gone:
            self.latest.pop(key, None)
        self._history.forget(key for key in gone if known[key].last < now - KEPT)

    def _refuse(self, wanted: Wanted, why: str) -> None:
        if self.refused.get(wanted) != why:
            _log.warning("%s is not probed: %s", wanted.target.text, why)
            if len(self.refused) > MOST_TARGETS:
                self.refused.clear()
            self.refused[wanted] = why


def _refusal(wanted: Wanted, module: Module | None) -> str:
    """Whoever may annotate a service could have a module's credentials sent to it: so its file must say that
    they may go there."""
    if module is None:
        return "" if wanted.module == DECLARED else f"there is no module {wanted.module}"
    target = wanted.target
    allowed = module.may_go_to(target.resource, target.namespace, target.id)
    if allowed is False or (allowed is None and module.has_credentials):
        return f"the module {wanted.module} does not say that it may be aimed there (its section bastion)"
    if module.prober != "http" and target.path != b"/":
        return f"the module {wanted.module} takes no path"
    return ""


def _reached(result: Result) -> bool:
    return result.success or bool(result.samples.get("probe_http_status_code")) or result.place is None


def _outcome(now: float, success: bool | None, result: Result, *, counted: bool) -> Outcome:
    status = int(result.samples.get("probe_http_status_code") or 0)
    log = () if success else result.log[-50:]
    return Outcome(
        now, success, result.duration, result.reason, result.pod, log, status=status, counted=counted
    )
