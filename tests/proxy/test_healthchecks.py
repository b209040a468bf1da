"""Are the endpoints of services asked for their health, and do those that are ill get nothing?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec import structs

from bastion.balance.pool import Balancer
from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import Endpoint
from bastion.kube.target import Target
from bastion.proxy.healthchecks import USED, HealthChecks
from bastion.proxy.router import Route
from tests.fakes import SOMEBODY, Backend, run, until, wire
from tests.proxy.routes import route_to

POLICY = EndpointPolicy(health_path="/healthz?x", health_interval=0.05)


class Server(Backend):
    def __init__(self) -> None:
        super().__init__(self._play)
        self.status = 200

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.read_request(reader)
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % self.status)


class House:
    def __init__(self, route: Route, checks: HealthChecks, balancer: Balancer, now: list[float]) -> None:
        self.route, self.checks, self.balancer, self.now = route, checks, balancer, now

    def chosen(self) -> set[Endpoint]:
        found = set()
        for _ in range(6):
            slot = self.balancer.choose(self.route, SOMEBODY, 1.0)
            self.balancer.leave(slot)
            found.add(slot.endpoint)
        return found


@contextlib.asynccontextmanager
async def house(*servers: Server, gone: bool = False) -> AsyncIterator[House]:
    there = tuple(server.endpoint() for server in servers)
    asked: list[Target] = []

    def leads_to(target: Target) -> tuple[Endpoint, ...]:
        asked.append(target)
        assert (target.resource, target.namespace, target.name, target.port) == (
            "services",
            "ns",
            "web",
            "80",
        )
        return () if gone else there

    async with wire() as (transport, _):
        balancer, now = Balancer(), [1.0]
        checks = HealthChecks(balancer, transport, leads_to, lambda: 0.5)
        clock = asyncio.get_running_loop().time
        began = clock()
        checks._now = lambda: now[0] + clock() - began
        task = asyncio.create_task(checks.keep())
        try:
            route = structs.replace(route_to(*there), policy=POLICY)
            yield House(route, checks, balancer, now)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_what_fails_gets_nothing_until_it_is_well_again() -> None:
    async def main() -> None:
        one, other = Server(), Server()
        async with one, other, house(one, other) as h:
            assert h.chosen() == {one.endpoint(), other.endpoint()}
            await until(lambda: bool(one.heads and other.heads))
            head = one.heads[0].decode()
            assert head.startswith("GET /healthz?x HTTP/1.1\r\nHost: web.ns.svc\r\n")
            assert "Authorization" not in head
            one.status = 503
            await until(lambda: h.chosen() == {other.endpoint()})
            assert h.balancer.statistics()[0].ill == 1
            one.status = 302
            await until(lambda: len(h.chosen()) == 2)
            assert one.connections < 3, "connections are kept"

    run(main())


def test_what_nobody_uses_is_not_asked_any_more_and_is_not_ill() -> None:
    async def main() -> None:
        one, other = Server(), Server()
        async with one, other, house(one, other) as h:
            one.status = 500
            h.chosen()
            await until(lambda: h.chosen() == {other.endpoint()})
            h.now[0] += USED + 1
            await until(lambda: not any(slot.ill for slot in h.balancer.groups[h.route.key].slots))
            count = len(one.heads)
            await asyncio.sleep(0.2)
            assert len(one.heads) == count

    run(main())


def test_an_address_that_the_service_leads_to_no_more_is_not_asked() -> None:
    async def main() -> None:
        one = Server()
        async with one, house(one, gone=True) as h:
            h.chosen()
            await asyncio.sleep(0.3)
            assert (one.heads, h.chosen()) == ([], {one.endpoint()})

    run(main())
