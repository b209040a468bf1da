"""Does an informer know since when it has heard nothing, and whether that is the network's doing or a
right's?
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bastion.cluster.errors import ApiError
from bastion.discovery.catalog import Catalog
from bastion.discovery.informer import STALE, Informer
from bastion.runtime.turns import Asker
from tests.fakes import ClockLoop, pass_time, run, settle

PAGE = json.dumps({"metadata": {"resourceVersion": "1"}, "items": []}).encode()


class Lists:
    """`lists` and `watches` are what is raised, None where it goes well; a watch goes on until `cut`."""

    def __init__(self) -> None:
        self.lists: Exception | None = None
        self.watches: Exception | None = None
        self.cut = asyncio.Event()

    async def list(self, path: Any, query: Any) -> Any:
        if self.lists is not None:
            raise self.lists
        return PAGE

    async def get(self, path: Any, query: Any, asker: Asker) -> Any:
        return PAGE

    async def watch(self, path: Any, query: Any) -> AsyncIterator[Any]:
        if self.watches is not None:
            raise self.watches
        yield b""
        await self.cut.wait()
        self.cut.clear()


@contextlib.asynccontextmanager
async def informed(api: Any) -> AsyncIterator[Any]:
    catalog = Catalog()
    informer = Informer("pods", api, catalog)
    task = asyncio.create_task(informer.run())
    await settle()
    try:
        yield informer, catalog
    finally:
        task.cancel()


def test_it_is_not_ready_before_the_first_list_and_after_a_minute_of_silence() -> None:
    async def main() -> None:
        api = Lists()
        api.lists = ApiError("connection refused")
        async with informed(api) as (informer, _):
            assert (informer.age, informer.why_not_ready()) == (None, "not yet read from the API server")
            api.lists = None
            await pass_time(1)
            assert informer.why_not_ready() is None
            await pass_time(STALE - 1)
            assert informer.why_not_ready() is None
            await pass_time(2)
            assert informer.why_not_ready() == f"nothing heard from the API server for {STALE + 1:.0f} s"
            api.cut.set()  # it has ended, and another one begins
            await settle()
            assert informer.why_not_ready() is None
            assert informer.age < 1

    run(main(), ClockLoop)


@pytest.mark.parametrize(("status", "ready"), [(403, True), (401, True), (500, False), (0, False)])
def test_a_right_that_is_lost_is_no_silence(status: Any, ready: Any) -> None:
    async def main() -> None:
        api = Lists()
        async with informed(api) as (informer, _):
            api.watches = ApiError("x", status)
            api.cut.set()
            for _ in range(8):
                await pass_time(10)
            assert informer.age > STALE
            assert (informer.why_not_ready() is None) is ready

    run(main(), ClockLoop)


def test_the_catalog_knows_what_may_not_be_listed_until_it_may() -> None:
    async def main() -> None:
        api = Lists()
        api.lists = ApiError("the API server answered 403", 403)
        async with informed(api) as (_, catalog):
            assert catalog.refused == {"pods"}
            api.lists = ApiError("connection refused")
            await pass_time(10)
            assert catalog.refused == set()
            api.lists = ApiError("the API server answered 403", 403)
            await pass_time(10)
            assert catalog.refused == {"pods"}
            api.lists = None
            await pass_time(10)
            assert catalog.refused == set()
            assert catalog.synced["pods"]

    run(main(), ClockLoop)
