"""Across any fault of the API server the catalog ends equal to the truth, without a storm of requests.

Scripts are drawn by a seed that a failure names.  30 of them by default; SOAK_ROUNDS asks for more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bastion.cluster.client import ApiClient
from bastion.discovery.catalog import Catalog
from bastion.discovery.informer import Informer
from bastion.kube.compaction import compact
from bastion.kube.objects import STRUCTS
from tests.discovery import faults
from tests.discovery.scripted_api import RESOURCES, Access, ScriptedApi
from tests.fakes import ClockLoop, backed_by, endpoints, pod, run, service

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "30"))
STEP = 0.2  # seconds of the informers' clock that pass
TURNS = 10  # of the loop for each of them: what needs no time gets done meanwhile
LONGEST = 3000  # steps


class Scene:
    """Informers of all three resources, and the API server that they copy."""

    def __init__(self, api: Any, catalog: Any, informers: Any, tasks: Any) -> None:
        self.api = api
        self.catalog = catalog
        self.informers = informers
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()

    def equal(self) -> Any:
        """Whether the catalog is what a catalog built from the truth is, its indexes included."""
        truth = Catalog()
        for resource, objects in self.api.objects.items():
            for key, raw in objects.items():
                truth.apply(resource, compact(msgspec.convert(raw, STRUCTS[resource])), key)
        ours = self.catalog
        if not all(ours.synced.get(resource) for resource in RESOURCES):
            return False
        if (ours.pods, ours.services) != (truth.pods, truth.services) or ours.keys(
            "endpointslices"
        ) != truth.keys("endpointslices"):
            return False
        names = [(key[0], of) for key in truth.services for of in ("web", "db")]
        addresses = {address for known in truth.pods.values() for address in known.addresses}
        return all(_slices(ours, *name) == _slices(truth, *name) for name in names) and all(
            ours.owner_of(address) == truth.owner_of(address) for address in addresses
        )

    async def pass_time(self, seconds: Any) -> None:
        steps = min(round(seconds / STEP), 500)
        for _ in range(steps):
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self._loop.advance(seconds / steps)  # type: ignore[attr-defined]
            assert not any(task.done() for task in self._tasks), "an informer has ended"

    async def becomes_equal(self) -> None:
        for _ in range(LONGEST):
            if self.equal():
                return
            await self.pass_time(STEP)
        raise AssertionError("the catalog is not what the API server holds")


def _slices(catalog: Any, namespace: Any, name: Any) -> Any:
    return sorted(catalog.slices_of(namespace, name).values(), key=lambda piece: piece.metadata.name)


@contextlib.asynccontextmanager
async def copying(api: Any, *, namespaces: Any = ("",)) -> AsyncIterator[Any]:
    async with api.serving(), ApiClient(Access(api.port)) as client:
        catalog = Catalog()
        informers = [
            Informer(resource, client, catalog, namespace)
            for resource in RESOURCES
            for namespace in namespaces
        ]
        tasks = [asyncio.create_task(informer.run()) for informer in informers]
        try:
            yield Scene(api, catalog, informers, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def on_a_clock(scene: Any) -> None:
    run(scene(), loop=ClockLoop)


def some_object(chance: Any) -> Any:
    """(resource, raw)"""
    name, namespace = chance.choice(["web", "db"]), chance.choice(["a", "b"])
    ip = f"10.0.0.{chance.randrange(1, 9)}"
    kind = chance.choice(RESOURCES)
    if kind == "pods":
        name = f"{name}-{chance.randrange(5)}"
        raw = pod(
            name,
            ip,
            namespace=namespace,
            uid=f"{namespace}-{name}",
            phase=chance.choice(["Running", "Running", "Failed"]),
        )
    elif kind == "services":
        raw = service(name, {"port": chance.randrange(80, 90)}, namespace=namespace)
    else:
        backing = backed_by(f"{name}-0", ip, ready=chance.random() < 0.7, namespace=namespace)
        raw = endpoints(name, {"": 80}, backing, name=f"{name}-{chance.randrange(3)}", namespace=namespace)
    return kind, raw


def change(api: Any, chance: Any) -> None:
    resource, raw = some_object(chance)
    if chance.random() < 0.3 and api.objects[resource]:
        api.remove(resource, chance.choice(sorted(api.objects[resource])))
    else:
        api.put(resource, raw)


def filled(chance: Any = None, count: int = 30) -> Any:
    api, chance = ScriptedApi(), chance or random.Random(0)
    for _ in range(count):
        change(api, chance)
    return api


# --- one fault at a time

WATCH_FAULTS = {
    "410": faults.answers(410),
    "410-as-an-event": faults.expires(),
    "500-as-an-event": faults.expires(500),
    "429-with-retry-after": faults.answers(429, fields="Retry-After: 2\r\n"),
    "500": faults.answers(500),
    "401": faults.answers(401),
    "403": faults.answers(403),
    "silent": faults.silent_after(0),
    "silent-after-an-event": faults.silent_after(1),
    "no-answer": faults.no_answer,
    "truncated-json": faults.garbled(40),
    "half-a-word": faults.garbled(5),
    "reset-at-once": faults.resets,
    "closed-at-once": faults.closes,
    "reset-in-the-event": faults.cut_at(50),
    "ended-in-the-event": faults.cut_at(50, clean=True),
    "duplicates": faults.repeats,
    "duplicates-later": faults.replays,
    "reordered": faults.reorders,
    "slow": faults.dribbles,
    "ends-at-once": faults.ends,
}
LIST_FAULTS = {
    "410": faults.answers(410),
    "429-with-retry-after": faults.answers(429, fields="Retry-After: 2\r\n"),
    "500": faults.answers(500),
    "403": faults.answers(403),
    "no-answer": faults.no_answer,
    "reset": faults.resets,
    "closed": faults.closes,
    "broken-off": faults.list_cut(0.5, whole=False),
    "truncated-json": faults.list_cut(0.5, whole=True),
    "html": faults.answers(200, b"<html>"),
    "slow": faults.slow_list(20),
    "far-too-slow": faults.slow_list(100),
}


@pytest.mark.parametrize("fault", WATCH_FAULTS.values(), ids=WATCH_FAULTS)
@pytest.mark.parametrize("times", [1, 4])
def test_a_watch_that_goes_wrong(fault: Any, times: Any) -> None:
    async def scene() -> None:
        api = filled()
        for resource in RESOURCES:
            api.faults["watch", resource].extend([fault] * times)
        async with copying(api) as copy:
            await copy.becomes_equal()
            for seed in range(10):
                for _ in range(3):
                    change(api, random.Random(seed))
                await copy.pass_time(5)
            await copy.becomes_equal()
            await copy.pass_time(600)
            assert copy.equal()
            assert not any(api.faults.values()), "all of it came to pass"
            for resource in RESOURCES:
                assert api.requests["list", resource] <= 1 + times

    on_a_clock(scene)


@pytest.mark.parametrize("fault", LIST_FAULTS.values(), ids=LIST_FAULTS)
@pytest.mark.parametrize("times", [1, 4])
def test_a_list_that_goes_wrong(fault: Any, times: Any) -> None:
    async def scene() -> None:
        api = filled()
        for resource in RESOURCES:
            api.faults["list", resource].extend([fault] * times)
        async with copying(api) as copy:
            await copy.becomes_equal()
            for resource in RESOURCES:
                assert api.requests["list", resource] <= 2 * times + 1, "a call that broke is made again once"
            change(api, random.Random(1))
            await copy.becomes_equal()

    on_a_clock(scene)


def test_a_reset_at_every_byte_of_an_event() -> None:
    async def scene() -> None:
        api = filled()
        async with copying(api) as copy:
            await copy.becomes_equal()
            lists = api.requests["list", "pods"]
            event = 400  # bytes, and more than it has
            api.faults["watch", "pods"].extend(faults.cut_at(offset) for offset in range(1, event + 1))
            api.put("pods", pod("web-0", "10.0.0.1", namespace="a"))
            while api.faults["watch", "pods"]:
                # A cut in the middle leaves the event to be sent again; one behind its end needs another
                # event.
                await copy.pass_time(10)
                if copy.equal():
                    api.put(
                        "pods",
                        pod("web-0", f"10.0.1.{len(api.faults['watch', 'pods']) % 250}", namespace="a"),
                    )
            await copy.becomes_equal()
            assert api.requests["list", "pods"] == lists, "not one of them takes a list"

    on_a_clock(scene)


def test_pages_of_a_large_list_and_a_token_that_expires_between_them() -> None:
    async def scene() -> None:
        api = ScriptedApi()
        for i in range(1700):
            api.put("pods", pod(f"p-{i:04}", f"10.0.{i // 250}.{i % 250}"))

        async def expire(api: Any, request: Any) -> None:
            assert "continue" not in request.query
            request.send(*api.page(request))
            await request.writer.drain()
            api.forget()

        api.faults["list", "pods"].append(expire)
        async with copying(api) as copy:
            await copy.becomes_equal()
            assert api.requests["list", "pods"] == 2 + 4, (
                "the first page, the expired one, and then four good ones"
            )

    on_a_clock(scene)


def test_one_expiry_is_one_list() -> None:
    async def scene() -> None:
        api = filled()
        async with copying(api) as copy:
            await copy.becomes_equal()
            before = dict(api.requests)
            change(api, random.Random(1))
            api.forget()
            await api.cut()
            change(api, random.Random(2))
            await copy.becomes_equal()
            await copy.pass_time(120)
            for resource in RESOURCES:
                assert api.requests["list", resource] - before["list", resource] == 1

    on_a_clock(scene)


def test_an_api_server_that_was_away_is_watched_again_within_ten_seconds_and_nothing_is_listed() -> None:
    async def scene() -> None:
        api = filled()
        async with copying(api) as copy:
            await copy.becomes_equal()
            for away in (5, 60, 7200):
                lists = {resource: api.requests["list", resource] for resource in RESOURCES}
                await api.leave()
                for seed in range(5):
                    change(api, random.Random(seed + away))
                await copy.pass_time(away)
                assert not copy.equal()
                await api.come()
                await copy.pass_time(10)
                assert copy.equal()
                assert lists == {resource: api.requests["list", resource] for resource in RESOURCES}

    on_a_clock(scene)


@pytest.mark.parametrize("jump", [60, 3600, 86400])
def test_a_clock_that_jumps(jump: Any) -> None:
    async def scene() -> None:
        api = filled()
        async with copying(api) as copy:
            await copy.becomes_equal()
            for seed in range(3):
                change(api, random.Random(seed))
                asyncio.get_running_loop().advance(jump)  # type: ignore[attr-defined]
                await copy.becomes_equal()

    on_a_clock(scene)


def test_a_silent_watch_costs_no_more_than_35_seconds() -> None:
    async def scene() -> None:
        api = filled()
        for resource in RESOURCES:
            api.faults["watch", resource].append(faults.silent_after(0))
        async with copying(api) as copy:
            await copy.becomes_equal()
            change(api, random.Random(5))
            await copy.pass_time(37)
            assert copy.equal()

    on_a_clock(scene)


def test_a_quiet_api_server_is_not_asked_all_the_time() -> None:
    async def scene() -> None:
        async with copying(filled()) as copy:
            await copy.becomes_equal()
            await copy.pass_time(600)
            for resource in RESOURCES:
                assert copy.api.requests["watch", resource] <= 25
                assert copy.api.requests["list", resource] == 1

    on_a_clock(scene)


def test_an_api_server_that_only_fails_is_asked_less_and_less() -> None:
    async def scene() -> None:
        api = filled()
        for resource in RESOURCES:
            api.faults["list", resource].extend([faults.answers(500)] * 1000)
        async with copying(api) as copy:
            await copy.pass_time(600)
            for resource in RESOURCES:
                assert 75 <= api.requests["list", resource] <= 160, (
                    "each eight seconds at the least, and jittered"
                )

    on_a_clock(scene)


# --- with --namespaces


def test_namespaces_are_read_one_by_one_and_others_are_not() -> None:
    async def scene() -> None:
        api = filled()
        api.put("pods", pod("web-0", "10.0.9.9", namespace="secret"))
        async with copying(api, namespaces=("a", "b")) as copy:
            kept = {key: raw for key, raw in api.objects["pods"].items() if key[0] != "secret"}
            api.objects["pods"] = kept
            await copy.becomes_equal()
            assert ("secret", "web-0") not in copy.catalog.pods
            assert api.requests["list", "pods"] == 2
            change(api, random.Random(3))
            api.forget()
            await copy.becomes_equal()

    on_a_clock(scene)


def test_until_the_last_namespace_was_read_nothing_is_ready() -> None:
    async def scene() -> None:
        api = filled()
        api.faults["list", "pods"].append(faults.no_answer)
        async with copying(api, namespaces=("a", "b")) as copy:
            await copy.pass_time(10)
            assert copy.catalog.synced == {"pods": False, "services": True, "endpointslices": True}
            await copy.becomes_equal()

    on_a_clock(scene)


# --- everything at once, by chance


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_happens_the_catalog_ends_equal_to_the_truth(seed: Any) -> None:
    chance = random.Random(f"faults {seed}")

    async def scene() -> None:
        api = filled(chance, 60)
        async with copying(api) as copy:
            for _ in range(25):
                await something(copy, chance)
                await copy.pass_time(chance.choice([0, 0.2, 1, 5, 40]))
            for queue in api.faults.values():
                queue.clear()
            await copy.becomes_equal()
            await copy.pass_time(60)
            assert copy.equal(), "and stays it"

    on_a_clock(scene)


async def something(copy: Any, chance: Any) -> None:
    api, resource = copy.api, chance.choice(RESOURCES)
    what = chance.random()
    if what < 0.5:
        for _ in range(chance.randrange(1, 6)):
            change(api, chance)
    elif what < 0.75:
        api.faults["watch", resource].append(
            chance.choice([*WATCH_FAULTS.values(), faults.cut_at(chance.randrange(600))])
        )
    elif what < 0.85:
        api.faults["list", resource].append(chance.choice(list(LIST_FAULTS.values())))
    elif what < 0.9:
        api.forget()
    elif what < 0.95:
        await api.leave()
        await copy.pass_time(chance.choice([1, 20]))
        await api.come()
    else:
        asyncio.get_running_loop().advance(chance.choice([1, 30, 3600]))  # type: ignore[attr-defined]
