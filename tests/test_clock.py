"""Is whoever waits too long told so, once, and nobody else?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.runtime.deadlines import INTERVAL, Deadlines
from tests.fakes import ClockLoop, pass_time, run


class Waiter:
    def __init__(self, deadline: Any = None, then: Any = lambda: None) -> None:
        self.deadline = deadline
        self.then = then
        self.told = 0

    def expired(self) -> None:
        self.told += 1
        self.then()


def sweeping(steps: Any) -> None:
    """`steps(deadlines, now)` with the clock in hand; `now` is the time at the start."""

    async def main() -> None:
        async with Deadlines() as deadlines:
            await steps(deadlines, asyncio.get_running_loop().time())

    run(main(), ClockLoop)


@pytest.mark.parametrize(
    ("due", "after", "told"), [(10, 9, 0), (10, 11, 1), (0, 1, 1), (-5, 1, 1), (None, 1000, 0)]
)
def test_a_waiter_is_told_once_its_deadline_has_passed(due: Any, after: Any, told: Any) -> None:
    async def steps(deadlines: Any, now: Any) -> None:
        waiter = Waiter(None if due is None else now + due)
        deadlines.add(waiter)
        await pass_time(after)
        assert waiter.told == told
        await pass_time(after)
        assert waiter.told == (1 if due is not None else 0)
        if told:
            assert waiter.deadline is None

    sweeping(steps)


def test_it_is_late_by_one_sweep_at_most() -> None:
    async def steps(deadlines: Any, now: Any) -> None:
        waiter = Waiter(now + 10)
        deadlines.add(waiter)
        for _ in range(int(10 / INTERVAL) + 1):
            await pass_time(INTERVAL)
        assert waiter.told == 1

    sweeping(steps)


def test_a_deadline_may_be_moved_lifted_and_set_again() -> None:
    async def steps(deadlines: Any, now: Any) -> None:
        moved, lifted, again = Waiter(now + 1), Waiter(now + 1), Waiter()
        for waiter in (moved, lifted, again):
            deadlines.add(waiter)
        moved.deadline = now + 100
        lifted.deadline = None
        await pass_time(2)
        again.deadline = now + 3
        await pass_time(2)
        assert (moved.told, lifted.told, again.told) == (0, 0, 1)
        again.deadline = now + 5
        await pass_time(2)
        assert again.told == 2

    sweeping(steps)


def test_who_has_left_is_not_told() -> None:
    async def steps(deadlines: Any, now: Any) -> None:
        left, stays = Waiter(now + 1), Waiter(now + 1)
        deadlines.add(left)
        deadlines.add(stays)
        deadlines.discard(left)
        deadlines.discard(Waiter())  # who never came may leave
        assert len(deadlines) == 1
        await pass_time(2)
        assert (left.told, stays.told) == (0, 1)

    sweeping(steps)


@pytest.mark.parametrize("order", [1, -1])
def test_who_is_told_may_send_others_away_or_bring_them(order: Any) -> None:
    async def steps(deadlines: Any, now: Any) -> None:
        one, two = Waiter(now + 1), Waiter(now + 1)
        one.then, two.then = (lambda: deadlines.discard(two)), (lambda: deadlines.discard(one))
        for waiter in (one, two)[::order]:
            deadlines.add(waiter)
        deadlines.add(Waiter(now + 1, lambda: deadlines.add(Waiter())))
        await pass_time(2)
        assert one.told + two.told == 1  # whoever was first sent the other away
        assert len(deadlines) == 3

    sweeping(steps)


def test_who_is_told_may_lift_anothers_deadline() -> None:
    async def steps(deadlines: Any, now: Any) -> None:
        one, two = Waiter(now + 1), Waiter(now + 1)

        def lift(other: Any) -> Any:
            def act() -> None:
                other.deadline = None

            return act

        one.then, two.then = lift(two), lift(one)
        deadlines.add(one)
        deadlines.add(two)
        await pass_time(2)
        assert one.told + two.told == 1

    sweeping(steps)


def test_one_that_fails_does_not_end_the_sweeping_for_all() -> None:
    async def steps(deadlines: Any, now: Any) -> None:
        def fail() -> None:
            raise RuntimeError

        later = Waiter(now + 5)
        deadlines.add(Waiter(now + 1, fail))
        deadlines.add(later)
        await pass_time(2)
        await pass_time(5)
        assert later.told == 1

    sweeping(steps)


def test_after_the_end_nobody_is_told() -> None:
    async def main() -> None:
        waiter = Waiter(asyncio.get_running_loop().time() + 1)
        async with Deadlines() as deadlines:
            deadlines.add(waiter)
        await pass_time(5)
        assert waiter.told == 0

    run(main(), ClockLoop)
