"""Does one user's long work leave the turns of the loop to the others?"""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any

from bastion.proxy.turns import USERS, Turns
from tests.fakes import run


async def loop_turns(count: Any) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def worked(*workers: Any, steps: int = 6) -> Any:
    """Steps by turn of the loop: a list of users for each."""

    async def main() -> Any:
        turns, done, turn = Turns(), [], 0

        async def work(user: Any) -> None:
            for _ in range(steps):
                await turns.take(user)
                done.append((turn, user))

        tasks = [asyncio.ensure_future(work(user)) for user in workers]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            turn += 1
        assert len(turns) == 0
        return [[user for _, user in some] for _, some in groupby(done, key=lambda one: one[0])]

    return run(main())


def test_many_exchanges_of_one_user_do_one_step_in_a_turn() -> None:
    assert [len(users) for users in worked(*["mallory"] * 20)] == [1] * 120


def test_each_user_has_a_step_in_a_turn() -> None:
    by_turn = worked(*["mallory"] * 20, "alice", "bob")
    assert max(users.count(user) for users in by_turn for user in users) == 1
    assert sum("alice" in users for users in by_turn[:8]) == 6  # as if nobody else were there


def test_the_steps_of_a_turn_are_bounded_however_many_users_there_are() -> None:
    users = [f"user-{n}" for n in range(5 * USERS)]
    by_turn = worked(*users)
    assert max(map(len, by_turn)) == USERS
    assert {user for some in by_turn[:7] for user in some} == set(users)


def test_whoever_left_is_not_waited_for() -> None:
    async def main() -> None:
        turns = Turns()
        await turns.take("a")
        gone = asyncio.ensure_future(turns.take("a"))
        kept = asyncio.ensure_future(turns.take("a"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(kept, 5)
        await loop_turns(3)
        assert len(turns) == 0

    run(main())


def test_nobody_waits_for_a_first_step() -> None:
    async def main() -> None:
        turns = Turns()
        taking = turns.take("a")
        try:
            taking.send(None)
        except StopIteration:
            return
        raise AssertionError("it was made to wait")

    run(main())
