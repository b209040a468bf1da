"""An endpoint is never probed twice at once by one module, whoever asks: what is under way is shared."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes import run
from tests.probe.world import OPEN, address, backend, may, pod, response, service, world

ASKS = {
    "bastion.dev/probe": "true",
    "bastion.dev/probe-path": "/",
    "bastion.dev/probe-port": "http",
    "bastion.dev/probe-interval": "1s",
}
SUCCESS = f'probe_success{{pod="web-0",endpoint="{address(50)}:8080"}}'
MODULES = "modules: {http_2xx: {prober: http}, other: {prober: http}}"


@dataclass
class Slow:
    """`most` connections were there at once."""

    takes: float
    now: int = 0
    most: int = 0
    came: int = 0
    ends: list[float] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now, self.came = self.now + 1, self.came + 1
        self.most = max(self.most, self.now)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(self.takes)
            writer.write(response())
            await writer.drain()
        finally:
            self.now -= 1


def test_the_schedule_and_those_who_ask_share_a_probe(tmp_path: Path) -> None:
    objects = [service("web", annotations=ASKS), pod("web-0", 50)]

    async def main() -> None:
        slow = Slow(0.4)
        async with backend(50, greets=slow.serve), world(tmp_path, objects, MODULES) as bastion:
            while slow.came < 2:  # by schedule
                await asyncio.sleep(0.01)
            asks = 0
            while slow.came < 8:
                found = await asyncio.gather(*(bastion.probe("services/shop/web:http/") for _ in range(3)))
                assert {one.value(SUCCESS) for one in found} == {1}
                asks += 3
            assert asks > slow.came
            assert slow.most == 1

    run(main())


def test_another_module_or_endpoint_is_another_probe(tmp_path: Path) -> None:
    objects = [service("web"), pod("web-0", 50), pod("web-1", 51)]

    async def main() -> None:
        first, second = Slow(0.3), Slow(0.3)
        async with (
            backend(50, greets=first.serve),
            backend(51, greets=second.serve),
            world(tmp_path, objects, MODULES) as bastion,
        ):
            asks = [bastion.probe("services/shop/web:http", module) for module in ("http_2xx", "other") * 3]
            await asyncio.gather(*asks)
            assert (first.came, second.came) == (2, 2)
            assert (first.most, second.most) == (2, 2)

    run(main())


def test_a_target_slower_than_its_interval_is_down_and_never_probed_twice_at_once(tmp_path: Path) -> None:
    objects = [service("web", annotations=ASKS), pod("web-0", 50)]

    async def main() -> None:
        slow = Slow(60.0)
        async with backend(50, greets=slow.serve), world(tmp_path, objects, MODULES) as bastion:
            while slow.came < 3:
                await asyncio.sleep(0.01)
            history = (await bastion.get("/probe/history?target=services/shop/web:http/")).json
            assert history["state"] == "down"
            assert "the time is up" in history["endpoints"][0]["reason"]

    run(main())


def test_a_user_has_so_many_requests_for_probes_at_once(tmp_path: Path) -> None:
    objects = [service("web"), pod("web-0", 50), *may("other", ["get"], OPEN)]

    async def main() -> None:
        slow = Slow(0.5)
        async with (
            backend(50, greets=slow.serve),
            world(tmp_path, objects, MODULES, "--max-probes-per-user", "2") as bastion,
        ):
            asks = [asyncio.create_task(bastion.probe("pods/shop/web-0:8080")) for _ in range(2)]
            while not slow.came:
                await asyncio.sleep(0.01)
            refused = await bastion.probe("pods/shop/web-0:8080")
            assert refused.status == 429
            assert "retry-after" in refused.fields
            assert (await bastion.probe("pods/shop/web-0:8080", user="other")).status == 200
            assert [one.status for one in await asyncio.gather(*asks)] == [200, 200]

    run(main())


def test_so_many_probes_at_once_in_all(tmp_path: Path) -> None:
    pods = [pod(f"web-{n}", 50 + n) for n in range(4)]

    async def main() -> None:
        slow = Slow(0.1)
        async with contextlib.AsyncExitStack() as stack:
            for n in range(4):
                await stack.enter_async_context(backend(50 + n, greets=slow.serve))
            objects = [service("web"), *pods]
            bastion = await stack.enter_async_context(world(tmp_path, objects, MODULES, "--max-probes", "2"))
            found = await bastion.probe("services/shop/web:http")
            assert found.text.count("} 1\n") >= 4
            assert (slow.came, slow.most) == (4, 2)

    run(main())
