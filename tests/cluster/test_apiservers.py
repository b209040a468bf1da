"""Which API server is asked, and how soon is one left that is not well?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from bastion.cluster.apiservers import ApiServer, ApiServers
from tests.fakes import ClockLoop, pass_time, run, settle
from tests.present import present

URLS = ["https://a", "https://b", "https://c"]


def first(servers: Sequence[ApiServer]) -> ApiServer:
    return servers[0]


class Health:
    """What `/readyz` says of each; None: nothing, ever."""

    def __init__(self) -> None:
        self.well = dict.fromkeys(URLS, True)
        self.probes = 0

    async def probe(self, url: str) -> Any:
        self.probes += 1
        if self.well[url] is None:
            await asyncio.Event().wait()
        return bool(self.well[url])


@contextlib.asynccontextmanager
async def watched(servers: Any, health: Any) -> AsyncIterator[Any]:
    task = asyncio.create_task(servers.watch(health.probe))
    await settle()
    try:
        yield
    finally:
        assert not task.done(), task
        task.cancel()


def on_a_clock(scene: Callable[..., Any]) -> None:
    run(scene(), loop=ClockLoop)


async def pass_seconds(seconds: Any) -> None:
    """In steps, so that what waits for a part of it does."""
    for _ in range(round(seconds / 0.1)):
        await pass_time(0.1)


@pytest.mark.parametrize("state", [False, None], ids=["says-no", "is-silent"])
def test_one_that_is_not_well_is_left_within_two_seconds(state: bool | None) -> None:
    async def scene() -> None:
        health, servers = Health(), ApiServers(URLS, first)
        async with watched(servers, health):
            await pass_seconds(5)
            assert servers.current.url == "https://a"
            health.well["https://a"] = state  # type: ignore[assignment]
            await pass_seconds(2)
            assert servers.current.url == "https://b"

    on_a_clock(scene)


def test_it_stays_where_it_is_as_long_as_that_is_well() -> None:
    async def scene() -> None:
        health, servers = Health(), ApiServers(URLS, first)
        async with watched(servers, health):
            health.well["https://a"] = False
            await pass_seconds(3)
            health.well["https://a"] = True
            await pass_seconds(10)
            assert servers.current.url == "https://b"

    on_a_clock(scene)


def test_one_that_comes_back_has_to_be_well_twice() -> None:
    async def scene() -> None:
        health, servers = Health(), ApiServers(URLS, first)
        async with watched(servers, health):
            for url in URLS:
                health.well[url] = False
            await pass_seconds(3)
            assert servers.current.url == "https://a", "with none that is well there is nowhere to go"
            health.well["https://c"] = True
            await pass_seconds(1)
            assert servers.current.url == "https://a"
            await pass_seconds(1.5)
            assert servers.current.url == "https://c"

    on_a_clock(scene)


def test_a_refused_connection_is_proof_enough() -> None:
    async def scene() -> None:
        servers = ApiServers(URLS, first)
        servers.refused(servers.current)
        assert servers.current.url == "https://b"

    on_a_clock(scene)


def test_calls_under_way_at_one_that_is_left_are_ended() -> None:
    async def scene() -> None:
        health, servers = Health(), ApiServers(URLS, first)
        left = servers.current

        async def call() -> None:
            async with left.call(None):
                await asyncio.Event().wait()

        async with watched(servers, health):
            waiting = [asyncio.create_task(call()) for _ in range(3)]
            health.well["https://a"] = None  # type: ignore[assignment]
            await pass_seconds(2)
            done = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(error) for error in done] == [TimeoutError] * 3

    on_a_clock(scene)


def test_calls_that_fail_make_a_probe_due_but_not_a_storm_of_them() -> None:
    async def scene() -> None:
        health, servers = Health(), ApiServers(URLS, first)
        async with watched(servers, health):
            before = health.probes
            health.well["https://a"] = False
            servers.doubt()
            await pass_seconds(0.2)
            assert servers.current.url == "https://b"
            for _ in range(1000):
                servers.doubt()
            await pass_seconds(1)
            assert health.probes - before <= 12 * len(URLS)

    on_a_clock(scene)


def test_another_one_is_the_current_one_where_that_is_well() -> None:
    async def scene() -> None:
        servers = ApiServers(URLS, first)
        a = servers.current
        assert present(servers.other_than(a)).url == "https://b"
        servers.refused(a)
        assert servers.other_than(a) is servers.current
        assert present(ApiServers(URLS[:1]).other_than(a)).url == "https://a"
        only = ApiServers(URLS[:1])
        assert only.other_than(only.current) is None

    on_a_clock(scene)


def test_each_program_begins_with_one_by_chance() -> None:
    async def scene() -> None:
        assert {ApiServers(URLS).current.url for _ in range(200)} == set(URLS)

    on_a_clock(scene)
