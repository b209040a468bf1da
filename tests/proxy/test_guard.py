"""Whose failures are counted, and who pays for them?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bastion.authn.authenticator import Credentials
from bastion.kube.status import StatusError
from bastion.kube.user import User, anonymous
from bastion.proxy.guard import HELD_BACK, REFUSALS, SECOND_TRIES, Guard, asker_of
from bastion.runtime.turns import ADDRESS, USER, Key
from bastion.settings.sections import Limits
from tests.fakes import ClockLoop, Knows, pass_time, refused, run, settle
from tests.proxy.exchanges import Exchange

ALICE = User("alice")
BURST = 5
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Scene:
    """Alice is known, and remembered once she was looked up, until `forget`."""

    def __init__(self) -> None:
        self.knows = Knows({"alice": ALICE})
        self.remembered: set[str | None] = set()
        limits = Limits(authentication_failure_qps=1.0, authentication_failure_burst=BURST)
        self.guard = Guard(
            self.knows,
            lambda credentials: credentials.token in self.remembered,
            limits,
            lambda exchange: True,
        )

    async def ask(self, token: str | None, client: str = HERE, *, foreign: bool = False) -> int:
        """The status that comes of it."""
        try:
            user = await self.guard.identify(Credentials(token), client, Exchange() if foreign else None)
        except StatusError as error:
            return error.code
        if user is not None:
            self.remembered.add(token)
        return 200 if user is not None else 401

    async def guesses(self, count: int, client: str = HERE, *, foreign: bool = False) -> list[int]:
        return [
            await self.ask(f"guess-{len(self.knows.asked)}-{n}", client, foreign=foreign)
            for n in range(count)
        ]


def scene(play: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        await play(Scene())

    run(main(), ClockLoop)


def test_so_many_guesses_and_no_more_and_others_have_theirs() -> None:
    async def play(it: Scene) -> None:
        assert await it.guesses(BURST + 3) == [401] * BURST + [429] * 3
        assert await it.guesses(2, THERE) == [401] * 2
        await pass_time(2.1)
        assert await it.guesses(3) == [401, 401, 429]

    scene(play)


def test_limits_may_be_replaced() -> None:
    async def play(scene: Scene) -> None:
        assert await scene.guesses(BURST + 1) == [401] * BURST + [429]
        scene.guard.limit(Limits(authentication_failure_qps=1.0, authentication_failure_burst=2 * BURST))
        assert await scene.guesses(BURST + 1) == [401] * BURST + [429]
        scene.guard.limit(Limits(authentication_failure_qps=0, exchanges_per_user=1))
        assert await scene.guesses(3 * BURST) == [401] * 3 * BURST
        with scene.guard.place(asker_of(ALICE, HERE), tunnel=False), pytest.raises(StatusError):
            scene.guard.place(asker_of(ALICE, HERE), tunnel=False).__enter__()

    scene(play)


def test_an_ipv6_client_is_its_64() -> None:
    async def play(it: Scene) -> None:
        codes = [await it.ask(f"guess-{n}", f"2001:db8:0:1::{n:x}") for n in range(BURST + 2)]
        assert codes == [401] * BURST + [429] * 2
        assert await it.ask("guess", "2001:db8:0:2::1") == 401

    scene(play)


def test_who_is_known_does_not_pay_for_the_noise() -> None:
    async def play(it: Scene) -> None:
        assert await it.ask("alice") == 200
        await it.guesses(BURST + 1)
        assert await it.ask("alice") == 200

    scene(play)


def test_nor_does_who_brings_nothing_that_could_be_guessed() -> None:
    async def play(it: Scene) -> None:
        await it.guesses(BURST + 1)
        assert await it.ask(None) == 401

    scene(play)


def test_a_good_token_that_was_not_seen_has_its_chance_when_it_comes_again() -> None:
    async def play(it: Scene) -> None:
        await it.guesses(BURST + 50)
        assert await it.ask("alice") == 429
        await it.guesses(1000)
        assert await it.ask("alice") == 200
        it.remembered.clear()
        assert [await it.ask("alice"), await it.ask("alice")] == [429, 200], "and when it is forgotten again"

    scene(play)


def test_guesses_that_come_twice_are_a_few_more_a_second() -> None:
    async def play(it: Scene) -> None:
        await it.guesses(BURST)
        before = len(it.knows.asked)
        for n in range(500):
            await it.ask(f"twice-{n}")
            await it.ask(f"twice-{n}")
        assert len(it.knows.asked) - before == SECOND_TRIES

    scene(play)


def test_one_bad_token_again_and_again_takes_nobodys_chance() -> None:
    async def play(it: Scene) -> None:
        await it.guesses(BURST)
        before = len(it.knows.asked)
        for _ in range(500):
            await it.ask("expired")
        assert len(it.knows.asked) - before == 1
        assert [await it.ask("alice"), await it.ask("alice")] == [429, 200]

    scene(play)


def test_what_another_sites_page_sends_spends_nothing_of_its_visitors_and_is_limited_all_the_same() -> None:
    async def play(it: Scene) -> None:
        assert await it.guesses(BURST + 2, foreign=True) == [401] * BURST + [429] * 2
        assert await it.ask("alice") == 200
        it.remembered.clear()
        assert await it.guesses(BURST + 1) == [401] * BURST + [429]
        with refused(429, "from this address"):
            await it.guard.identify(Credentials("another"), HERE)

    scene(play)


def test_refusals_beyond_so_many_a_second_are_told_later_and_those_of_others_at_once() -> None:
    async def play(it: Scene) -> None:
        told = [asyncio.create_task(it.guard.hold_back(HERE)) for _ in range(int(REFUSALS) + 9)]
        told.append(asyncio.create_task(it.guard.hold_back(THERE)))
        await settle()
        assert [task.done() for task in told].count(False) == 9
        assert told[-1].done()
        await pass_time(HELD_BACK + 0.1)
        assert all(task.done() for task in told)

    scene(play)


# --- whose share


@pytest.mark.parametrize(
    ("user", "client", "asker"),
    [
        (ALICE, HERE, (USER, "alice")),
        (ALICE, "2001:db8::1", (USER, "alice")),
        (anonymous(), HERE, (ADDRESS, HERE)),
        (anonymous(), "2001:db8:0:1::5", (ADDRESS, "2001:db8:0:1::/64")),
    ],
)
def test_whose_share_a_request_takes(user: User, client: str, asker: Key) -> None:
    assert asker_of(user, client) == asker


def test_nobody_in_particular_is_limited_by_address() -> None:
    async def main() -> None:
        guard = Guard(
            Knows(), lambda credentials: False, Limits(exchanges_per_user=1), lambda exchange: False
        )
        with guard.place(asker_of(anonymous(), HERE), tunnel=False):
            with refused(429), guard.place(asker_of(anonymous(), HERE), tunnel=False):
                pass
            with guard.place(asker_of(anonymous(), THERE), tunnel=False):
                await asyncio.sleep(0)

    run(main())
