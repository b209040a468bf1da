"""Asks the endpoints of services for their health, where the services say how (`bastion.dev/health-path`).

Of those that were used in the last five minutes, each at its interval; the request is the bastion's own and
carries nobody's credentials.  What the checks find out is kept with the endpoints' group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bastion.balance.group import Group, Slot
from bastion.balance.health import Health, is_success, observe
from bastion.balance.pool import Balancer
from bastion.kube.endpoint import Endpoint
from bastion.kube.status import StatusError
from bastion.kube.target import Target
from bastion.network.errors import NetworkError
from bastion.network.transport import Request, Transport
from bastion.settings.sections import Timeouts

TICK = 0.1  # seconds
USED = 300.0  # seconds after its last request
JITTER = 0.1
AT_ONCE = 64  # checks under way
MOST = 1000  # endpoints of one group

_log = logging.getLogger("bastion.proxy")


class HealthChecks:
    """`leads_to` says where a service leads by now, or raises StatusError; `chance` is from 0 to 1."""

    def __init__(
        self,
        balancer: Balancer,
        transport: Transport,
        leads_to: Callable[[Target], tuple[Endpoint, ...]],
        chance: Callable[[], float],
    ) -> None:
        self._balancer = balancer
        self._transport = transport
        self._leads_to = leads_to
        self._chance = chance
        self._now = asyncio.get_running_loop().time
        self._due: dict[Group, float] = {}
        self._known: dict[Group, dict[Endpoint, Health]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def keep(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as checks:
            while True:
                for group in self._take_due():
                    for slot in group.slots[:MOST]:
                        await self._places.acquire()
                        checks.create_task(self._check(group, slot))
                await asyncio.sleep(TICK)

    def _take_due(self) -> list[Group]:
        now, due = self._now(), []
        checked = {
            group
            for group in self._balancer.groups.values()
            if group.rules.health_path and now - group.budget.used_at < USED
        }
        for group in self._due.keys() - checked:
            self._forget(group)
        for group in checked:
            if now >= self._due.setdefault(group, now):
                interval = group.rules.health_interval
                known = self._known.get(group, {})
                self._known[group] = {
                    slot.endpoint: known.get(slot.endpoint, Health()) for slot in group.slots[:MOST]
                }
                self._due[group] = now + interval * (1 + JITTER * (2 * self._chance() - 1))
                due.append(group)
        return due

    def _forget(self, group: Group) -> None:
        """What is no longer checked is not known to be ill."""
        del self._due[group]
        self._known.pop(group, None)
        for slot in group.slots:
            slot.ill = False
        group.judge()

    async def _check(self, group: Group, slot: Slot) -> None:
        try:
            well = await self._is_well(group, slot.endpoint)
        finally:
            self._places.release()
        known = self._known.setdefault(group, {})
        before = known.get(slot.endpoint, Health())
        after = known[slot.endpoint] = observe(before, well=well)
        if after.ill is slot.ill:
            return
        _, namespace, name, port = group.key
        how = "fails its health checks" if after.ill else "is well again"
        _log.warning("endpoint %s of service %s/%s:%d %s", slot.endpoint, namespace, name, port, how)
        slot.ill = after.ill
        if after.ill:
            group.judge()
        else:
            group.returned(slot, self._now())

    async def _is_well(self, group: Group, endpoint: Endpoint) -> bool:
        """One that the service leads to no more is not asked: its address may be another's."""
        _, namespace, name, port = group.key
        scheme = "https" if endpoint.tls is not None else "http"
        interval = group.rules.health_interval
        host = f"{name}.{namespace}.svc"
        head = f"GET {group.rules.health_path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bastion-health\r\n\r\n"
        request = Request("GET", head.encode(), timeouts=Timeouts(connect=interval, response_header=interval))
        try:
            if endpoint not in self._leads_to(Target("services", namespace, name, scheme, str(port), name)):
                return True
            async with asyncio.timeout(interval):
                return is_success(await self._ask(endpoint, request))
        except (NetworkError, StatusError, TimeoutError):
            return False

    async def _ask(self, endpoint: Endpoint, request: Request) -> int:
        """Raises NetworkError."""
        trip = await self._transport.round_trip(endpoint, request)
        clean = False
        try:
            trip.send()
            answer = await trip.answer()
            while not answer.exhausted:
                await answer.read()
            clean = True
        finally:
            trip.close(clean=clean)
        return answer.status
