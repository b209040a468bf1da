"""Runs a module against all endpoints of a target at once: bounded, and each probe once at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bastion.kube.endpoint import Endpoint
from bastion.kube.errors import overloaded
from bastion.probe.attempt import Attempt, Environment
from bastion.probe.declared import declared, is_good
from bastion.probe.modulefile import DECLARED
from bastion.probe.modules import Module
from bastion.probe.places import Place, Places
from bastion.probe.probing import probe
from bastion.probe.samples import Samples
from bastion.probe.target import ProbeTarget
from bastion.runtime.limits import Concurrency
from bastion.runtime.turns import BACKGROUND, Key


@dataclass(frozen=True, slots=True)
class Result:
    """Of one endpoint.  `broken`: the prober could not work, so nothing is known of the target.

    Thresholds are failures and successes in a row that change the state.
    """

    place: Place | None
    success: bool
    samples: Samples
    log: tuple[str, ...]
    reason: str
    broken: bool = False
    failures: int = 1
    successes: int = 1

    @property
    def endpoint(self) -> str:
        return self.place.endpoint if self.place is not None else ""

    @property
    def pod(self) -> str:
        return self.place.pod if self.place is not None else ""

    @property
    def duration(self) -> float:
        return self.samples.get("probe_duration_seconds") or 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is probed: a target by a module of this name.  `module` None: what the pods declare."""

    target: ProbeTarget
    name: str
    module: Module | None
    hostname: str = ""

    @property
    def prober(self) -> str:
        return self.module.prober if self.module is not None else DECLARED


class Runner:
    """`most` probes at once in all, `most_per_user` of one user; 0 for no limit."""

    def __init__(self, environment: Environment, places: Places, most: int, most_per_user: int) -> None:
        self._environment = environment
        self._places = places
        self._all = asyncio.Semaphore(most or 1 << 20)
        self._of_user = Concurrency(most_per_user)
        self._under_way: dict[Hashable, asyncio.Task[Result]] = {}

    async def run(self, order: Order, timeout: float, asker: Key, *, one: bool = False) -> list[Result]:
        """Of every endpoint, or of `one`.  `timeout` in seconds.

        Raises StatusError: 429 too many of this user, or why the target cannot be probed.
        """
        if asker == BACKGROUND:  # the schedule bounds itself
            return await self._run(order, timeout, asker, one=one)
        if not self._of_user.enter(asker):
            raise overloaded(
                f"{self._of_user.most} probes of this user are under way (--max-probes-per-user);"
                " try again shortly"
            )
        try:
            return await self._run(order, timeout, asker, one=one)
        finally:
            self._of_user.leave(asker)

    async def _run(self, order: Order, timeout: float, asker: Key, *, one: bool) -> list[Result]:
        deadline = asyncio.get_running_loop().time() + timeout
        udp = order.module is not None and order.module.prober == "dns" and order.module.dns.over_udp
        places = await self._places.of(order.target, asker, udp=udp)
        if not places:
            return [_none_ready()]
        if len(places) == 1 or one:
            return [await self._shared(order, places[0], deadline)]
        return list(await asyncio.gather(*(self._shared(order, place, deadline) for place in places)))

    async def _shared(self, order: Order, place: Place, deadline: float) -> Result:
        """A probe of this endpoint by this module that is under way, or a new one."""
        key = (order.target.text, order.name, id(order.module), place, order.hostname)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._probe(order, place, deadline))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
            task.waiting = 0  # type: ignore[attr-defined]
        shared: Any = task
        shared.waiting += 1
        try:
            async with asyncio.timeout_at(deadline + 1.0):
                return await asyncio.shield(task)
        except TimeoutError:
            attempt = Attempt(self._environment, place.candidates, b"/", deadline)
            attempt.failed("the time is up: another probe of the same endpoint is under way")
            attempt.samples.set("probe_success", 0.0)
            return _result(attempt, place, success=False)
        finally:
            shared.waiting -= 1
            if not shared.waiting and not task.done():  # nobody is left who wants to know
                task.cancel()

    async def _probe(self, order: Order, place: Place, deadline: float) -> Result:
        candidates, path, module, thresholds, verdict = (
            place.candidates,
            order.target.path,
            order.module,
            (1, 1),
            None,
        )
        if module is None:
            told = declared(self._places.pod(order.target, place), candidates[0])
            module, path, thresholds, verdict = (
                told.module,
                told.path,
                (told.failures, told.successes),
                is_good,
            )
            candidates = (told.endpoint,)
            if module.timeout > 0:
                deadline = min(deadline, asyncio.get_running_loop().time() + module.timeout)
        attempt = Attempt(self._environment, _for(module, candidates), path, deadline, order.hostname)
        if order.module is not None:
            attempt.may_follow = partial(self._places.same_right, order.target)
        attempt.samples.set("probe_timeout_seconds", max(attempt.left, 0.0))
        async with self._all:
            success = await probe(attempt, module, verdict)
        return _result(attempt, place, success=success, thresholds=thresholds)


def _for(module: Module, candidates: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """A tcp, grpc or dns module says itself whether TLS is spoken."""
    if module.prober == "http":
        return candidates
    return tuple(Endpoint(one.address, one.port) for one in candidates)


def _result(attempt: Attempt, place: Place, *, success: bool, thresholds: tuple[int, int] = (1, 1)) -> Result:
    if attempt.broken:
        attempt.samples.set("bastion_probe_broken", 1.0)
    failures, successes = thresholds
    return Result(
        place=place,
        success=success,
        samples=attempt.samples,
        log=tuple(attempt.log),
        reason=attempt.reason,
        broken=attempt.broken,
        failures=failures,
        successes=successes,
    )


def _none_ready() -> Result:
    samples = Samples()
    samples.set("probe_success", 0.0)
    samples.set("probe_duration_seconds", 0.0)
    return Result(None, False, samples, ("msg=no endpoint is ready",), "no endpoint is ready")
