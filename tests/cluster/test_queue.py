"""Does who wants much wait behind himself alone?  At the API server's budget, and for its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bastion.cluster.queue import Gate, Queue
from bastion.cluster.throttle import Throttle
from bastion.runtime.cache import Cache
from bastion.runtime.turns import ADDRESS, BACKGROUND, MOST_WAITING, STREAM, USER, Asker, Key
from tests.fakes import ClockLoop, pass_time, refused, run, settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ALICE, MALLORY = (USER, "alice"), (USER, "mallory")
MOST = MOST_WAITING[USER]


def on_a_clock(scene: Callable[[], Awaitable[None]]) -> None:
    run(scene(), loop=ClockLoop)  # type: ignore[arg-type]


class Calls:
    """Calls under way; `begun` are those who had their turn, in order."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self.begun: list[Asker] = []
        self.tasks: list[asyncio.Task[None]] = []

    def by(self, asker: Asker, count: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._call(asker)) for _ in range(count)]

    async def _call(self, asker: Asker) -> None:
        await self._throttle.turn(asker)
        self.begun.append(asker)


@pytest.mark.parametrize("other", [ALICE, (ADDRESS, "192.0.2.1"), (STREAM, "mallory"), BACKGROUND], ids=str)
def test_one_question_waits_for_one_turn_of_who_asks_many(other: Key) -> None:
    async def scene() -> None:
        calls = Calls(Throttle(10, 1))
        calls.by(MALLORY, 60)
        await settle()
        calls.by(other)
        for _ in range(2):
            await pass_time(0.1001)
        assert other in calls.begun and len(calls.begun) == 3

    on_a_clock(scene)


def test_three_users_who_flood_leave_a_fourth_his_share() -> None:
    async def scene() -> None:
        calls = Calls(Throttle(100, 1))
        for number in range(3):
            calls.by((USER, f"mallory{number}"), MOST)
        await settle()
        for _ in range(10):
            calls.by(ALICE)
            for _ in range(4):
                await pass_time(0.01001)
        assert calls.begun.count(ALICE) == 10

    on_a_clock(scene)


def test_beyond_what_one_may_have_waiting_is_a_429_and_nobody_elses() -> None:
    async def scene() -> None:
        calls = Calls(Throttle(0.1, 1))
        calls.by(MALLORY, 1 + MOST + 1)
        calls.by(ALICE)
        await settle()
        [done] = [task for task in calls.tasks if task.done() and task.exception() is not None]
        with refused(429, "try again shortly"):
            await done
        assert calls.begun == [MALLORY]
        await pass_time(20)
        await pass_time(20)
        assert ALICE in calls.begun

    on_a_clock(scene)


def test_a_turn_that_comes_to_somebody_who_leaves_goes_to_the_next() -> None:
    async def scene() -> None:
        passed_on: list[int] = []
        queue = Queue(lambda: passed_on.append(1))
        first, second = (asyncio.create_task(queue.wait(asker)) for asker in (MALLORY, ALICE))
        await settle()
        assert queue.wake()
        first.cancel()  # before it has noticed
        await settle()
        assert (first.cancelled(), passed_on, len(queue)) == (True, [1], 1)
        assert queue.wake()
        await second
        assert not queue.wake() and not queue

    on_a_clock(scene)


def test_a_gate_lets_so_many_in_and_the_others_by_turns() -> None:
    async def scene() -> None:
        gate, inside, leave = Gate(2), list[Asker](), asyncio.Semaphore(0)

        async def visit(asker: Asker) -> None:
            async with gate.inside(asker):
                inside.append(asker)
                await leave.acquire()

        tasks = [asyncio.create_task(visit(asker)) for asker in [MALLORY] * 10 + [ALICE]]
        await settle()
        assert (inside, len(gate)) == ([MALLORY] * 2, 9)
        tasks[2].cancel()
        await settle()
        for _ in range(2):
            leave.release()
        await settle()
        assert inside[2:] == [MALLORY, ALICE]
        for _ in range(8):
            leave.release()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (len(inside), len(gate)) == (10, 0)
        async with asyncio.timeout(1), gate.inside(ALICE), gate.inside(ALICE):
            pass

    on_a_clock(scene)


def test_a_question_that_two_ask_does_not_wait_for_what_else_the_first_one_asked() -> None:
    async def scene() -> None:
        throttle, cache = Throttle(10, 1), Cache[str](lambda value: 10.0)

        async def look_up(asker: Asker) -> str:
            await throttle.turn(asker)
            return "found"

        many = [asyncio.create_task(cache.find(n, look_up, MALLORY)) for n in range(50)]
        await settle()
        both = asyncio.create_task(cache.find(49, look_up, ALICE))
        await settle()
        assert len(throttle) == 50, "one question, in two lines"
        for _ in range(2):
            await pass_time(0.1001)
        assert both.done() and many[49].done()
        assert sum(task.done() for task in many) <= 4
        for task in many:
            task.cancel()

    on_a_clock(scene)
