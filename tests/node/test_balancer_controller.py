"""The controller before an API in memory: finalizers, statuses, conflicts, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from bastion.cluster.errors import ApiError
from bastion.node.balancers.controller import Controller
from bastion.node.balancers.pools import Pool, range_of
from bastion.node.balancers.services import FINALIZER, Classes
from bastion.node.events import Events
from bastion.runtime.turns import Asker
from bastion.standalone.objects import merged

POOL = Pool("small", (range_of("192.0.2.16/31"),))
Object = dict[str, Any]


class Api:
    """Services, and the events about them."""

    def __init__(self) -> None:
        self.services: dict[str, Object] = {}
        self.events: list[Object] = []
        self.writes = 0
        self.failures: list[ApiError] = []
        self._version = 1
        self._watches: list[asyncio.Queue[bytes]] = []

    def put(self, name: str, one: Object) -> None:
        self._version += 1
        metadata = {
            "namespace": "shop",
            **one["metadata"],
            "name": name,
            "resourceVersion": str(self._version),
        }
        ended = metadata.get("deletionTimestamp") and not metadata.get("finalizers")
        kind = "DELETED" if ended else "MODIFIED" if name in self.services else "ADDED"
        self.services[name] = {**one, "metadata": metadata}
        line = json.dumps({"type": kind, "object": self.services[name]}).encode()
        if ended:
            del self.services[name]
        for queue in self._watches:
            queue.put_nowait(line)

    def make(self, name: str, created: str = "", **spec: Any) -> None:
        spec = {"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ports": [{"port": 80}], **spec}
        self.put(name, {"metadata": {"creationTimestamp": created or None}, "spec": spec})

    def change(self, name: str, patch: Object) -> None:
        self.put(name, merged(self.services[name], patch))

    def ingress(self, name: str) -> list[str]:
        status = self.services[name].get("status") or {}
        return [one["ip"] for one in (status.get("loadBalancer") or {}).get("ingress") or []]

    def finalizers(self, name: str) -> list[str]:
        return self.services[name]["metadata"].get("finalizers") or []

    async def list(self, path: str, query: dict[str, str]) -> bytes:
        items = list(self.services.values())
        return json.dumps({"metadata": {"resourceVersion": str(self._version)}, "items": items}).encode()

    async def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[bytes, None]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._watches.append(queue)
        yield b""
        while True:
            yield await queue.get()

    async def get(self, path: str, query: dict[str, str], asker: Asker) -> bytes:
        return await self.list(path, query)

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        self.events.append(json.loads(body))
        return body

    async def patch(self, path: str, body: bytes, asker: Asker) -> bytes:
        if self.failures:
            raise self.failures.pop()
        *_, name = path.removesuffix("/status").split("/")
        patch = json.loads(body)
        if patch["metadata"]["resourceVersion"] != self.services[name]["metadata"]["resourceVersion"]:
            raise ApiError("the object has been modified", 409)
        self.writes += 1
        self.change(name, patch)
        return json.dumps(self.services.get(name) or patch).encode()


@contextlib.asynccontextmanager
async def working(api: Api, **options: Any) -> AsyncIterator[None]:
    events = Events(api, "bastion-lb", "test")
    controller = Controller(api, Classes("ours", **options), [POOL], events)
    tasks = [asyncio.create_task(controller.work()), asyncio.create_task(events.keep())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def run(work: Callable[[Api], Any]) -> None:
    async def main() -> None:
        await work(Api())

    asyncio.run(main())


def test_an_address_with_a_finalizer_before_it_and_nothing_more_is_written() -> None:
    async def main(api: Api) -> None:
        api.make("web", created="2026-01-01T00:00:00Z")
        api.change("web", {"metadata": {"finalizers": ["x.example/keep"]}})
        async with working(api):
            await until(lambda: api.ingress("web") == ["192.0.2.16"])
            await until(lambda: [event["reason"] for event in api.events] == ["IPAllocated"])
        assert api.finalizers("web") == ["x.example/keep", FINALIZER]
        assert api.services["web"]["status"]["loadBalancer"]["ingress"][0]["ipMode"] == "VIP"
        writes = api.writes
        async with working(api):  # a restart
            api.make("other")
            await until(lambda: api.ingress("other") == ["192.0.2.17"])
        assert api.writes == writes + 2
        assert api.events[0]["regarding"]["namespace"] == "shop"

    run(main)


def test_what_is_given_back_others_get() -> None:
    async def main(api: Api) -> None:
        async with working(api):
            for name in ("a", "b", "c"):
                api.make(name)
                await until(lambda name=name: bool(api.ingress(name)) or bool(len(api.events) > 2))  # type: ignore[misc]
            assert api.ingress("c") == []
            assert api.events[-1]["note"] == "every IPv4 address of small is in use"
            assert api.events[-1]["type"] == "Warning"
            first = api.ingress("a")
            api.change("a", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
            await until(lambda: "a" not in api.services)
            await until(lambda: api.ingress("c") == first)
            api.change("b", {"spec": {"type": "ClusterIP"}})
            await until(lambda: api.ingress("b") == [] and api.finalizers("b") == [])

    run(main)


def test_another_address_is_asked_for() -> None:
    async def main(api: Api) -> None:
        async with working(api):
            api.make("a")
            await until(lambda: api.ingress("a") == ["192.0.2.16"])
            api.change("a", {"spec": {"loadBalancerIP": "192.0.2.17"}})
            await until(lambda: api.ingress("a") == ["192.0.2.17"])
            api.change("a", {"spec": {"loadBalancerIP": "203.0.113.1"}})
            await until(lambda: api.ingress("a") == [])
            assert api.finalizers("a") == [FINALIZER]

    run(main)


def test_a_conflict_is_settled_by_what_the_watch_brings_and_a_failure_by_time() -> None:
    async def main(api: Api) -> None:
        async with working(api):
            api.failures.append(ApiError("the object has been modified", 409))
            api.make("a")
            await until(lambda: not api.failures)
            api.change("a", {"metadata": {"labels": {"a": "b"}}})
            await until(lambda: api.ingress("a") == ["192.0.2.16"])

    run(main)


def test_of_other_classes_nothing_is_touched() -> None:
    async def main(api: Api) -> None:
        api.make("theirs", loadBalancerClass="theirs")
        api.make("nobodys")
        api.change("theirs", {"metadata": {"finalizers": [FINALIZER]}})
        async with working(api, classless=False):
            api.make("ours", loadBalancerClass="ours")
            await until(lambda: api.ingress("ours") == ["192.0.2.16"])
            api.change("theirs", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
            # cleaned up only where it is known to have been ours
            api.change("ours", {"spec": {"type": "ClusterIP", "loadBalancerClass": None}})
            await until(lambda: api.finalizers("ours") == [])
            assert api.finalizers("theirs") == [FINALIZER]
            assert api.ingress("nobodys") == []

    run(main)
