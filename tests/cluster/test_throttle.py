"""Who may call when?  On a clock that is put forward."""

from __future__ import annotations

import asyncio
from _asyncio import Task
from collections.abc import Callable
from typing import Any

import pytest

from bastion.cluster.throttle import Throttle
from bastion.runtime.turns import BACKGROUND
from tests.fakes import SOMEBODY, ClockLoop, pass_time, run, settle


def on_a_clock(scene: Callable[..., Any]) -> None:
    run(scene(), loop=ClockLoop)


def calls(throttle: Throttle, *kinds: Any) -> tuple[list[Any], list[Task[Any]]]:
    """Calls made one after the other; the list fills as they may begin."""
    begun = []

    async def call(number: Any, background: Any) -> None:
        await throttle.turn(BACKGROUND if background else SOMEBODY)
        begun.append((number, "read" if background else "review"))

    tasks = [asyncio.create_task(call(i, kind == "read")) for i, kind in enumerate(kinds)]
    return begun, tasks


def test_without_a_limit_nobody_waits() -> None:
    async def scene() -> None:
        begun, _ = calls(Throttle(), *["review"] * 1000)
        await settle()
        assert len(begun) == 1000

    on_a_clock(scene)


def test_a_burst_at_once_and_then_so_many_a_second() -> None:
    async def scene() -> None:
        throttle = Throttle(10, 5)
        begun, _ = calls(throttle, *["review"] * 20)
        await settle()
        assert len(begun) == 5
        assert len(throttle) == 15
        for expected in (6, 7, 8):
            await pass_time(0.1001)
            assert len(begun) == expected
        for _ in range(12):
            await pass_time(0.1001)
        assert [number for number, _ in begun] == list(range(20)), "whoever came first"

    on_a_clock(scene)


@pytest.mark.parametrize("first", ["read", "review"])
def test_neither_kind_starves_behind_the_other(first: str) -> None:
    other = "review" if first == "read" else "read"

    async def scene() -> None:
        throttle = Throttle(10, 1)
        begun, _ = calls(throttle, first, *[first] * 50, *[other] * 5)
        for _ in range(10):
            await pass_time(0.1001)
        assert [kind for _, kind in begun].count(other) == 5, "every second turn is the other's"

    on_a_clock(scene)


def test_who_leaves_takes_no_turn() -> None:
    async def scene() -> None:
        throttle = Throttle(10, 1)
        begun, tasks = calls(throttle, *["review"] * 4)
        await settle()
        tasks[1].cancel()
        tasks[2].cancel()
        await pass_time(0.1001)
        assert [number for number, _ in begun] == [0, 3]

    on_a_clock(scene)


def test_what_was_not_used_is_kept_up_to_the_burst() -> None:
    async def scene() -> None:
        throttle = Throttle(10, 3)
        await pass_time(3600)
        begun, _ = calls(throttle, *["review"] * 5)
        await settle()
        assert len(begun) == 3

    on_a_clock(scene)
