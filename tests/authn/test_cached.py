"""Is an answer about a token remembered for as long as it may be, and a failure not at all?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bastion.authn.authenticator import NOBODY, Credentials
from bastion.authn.cached import CachedAuthenticator
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.turns import Asker
from tests.fakes import SOMEBODY, ClockLoop, Knows, pass_time, refused, run, settle, unavailable
from tests.present import present

JANE = User("jane")
GOOD, BAD = Credentials("good"), Credentials("bad")


def conversation(steps: Callable[..., Any], inner: None = None, **options: Any) -> Any:
    """Run `steps(cached, inner)` with the clock in hand."""

    async def main() -> Any:
        asked = inner or Knows({"good": JANE})
        return await steps(CachedAuthenticator(asked, **{"ttl": 10.0, **options}), asked)

    return run(main(), ClockLoop)


@pytest.mark.parametrize(("credentials", "user"), [(GOOD, JANE), (BAD, None)], ids=["yes", "no"])
def test_an_answer_is_remembered_until_it_lapses(credentials: Credentials, user: User | None) -> None:
    async def steps(cached: Any, inner: Any) -> None:
        for after, asked in ((0, 1), (9, 1), (0.9, 1), (0.2, 2), (9, 2)):
            await pass_time(after)
            assert await cached.authenticate(credentials, SOMEBODY) == user
            assert len(inner.asked) == asked

    conversation(steps, ttl=10)  # C-TC-2, C-TC-3


def test_a_yes_outlives_the_server_that_said_it_and_no_longer_than_its_time() -> None:
    async def steps(cached: Any, inner: Any) -> None:
        await cached.authenticate(GOOD, SOMEBODY)
        inner.failing = unavailable("down")
        assert await cached.authenticate(GOOD, SOMEBODY) == JANE
        await pass_time(11)
        with refused(503):
            await cached.authenticate(GOOD, SOMEBODY)

    conversation(steps)


def test_a_failure_is_never_remembered() -> None:
    async def steps(cached: Any, inner: Any) -> None:
        inner.failing = unavailable("down")
        for _ in range(2):
            with refused(503):
                await cached.authenticate(GOOD, SOMEBODY)
        inner.failing = None
        assert await cached.authenticate(GOOD, SOMEBODY) == JANE
        assert len(inner.asked) == 3

    conversation(steps)


def test_tokens_do_not_share_an_answer() -> None:
    async def steps(cached: Any, inner: None) -> None:
        assert await cached.authenticate(GOOD, SOMEBODY) == JANE
        assert await cached.authenticate(BAD, SOMEBODY) is None
        assert await cached.authenticate(Credentials("goo"), SOMEBODY) is None
        assert await cached.authenticate(Credentials("good", explicit=True), SOMEBODY) == JANE

    conversation(steps)


def test_no_credentials_are_asked_about_every_time() -> None:
    async def steps(cached: Any, inner: Any) -> None:
        await cached.authenticate(Credentials(), SOMEBODY)
        await cached.authenticate(Credentials(), SOMEBODY)
        assert inner.asked == [None, None]

    conversation(steps)


class Slow(Knows):
    def __init__(self, users: dict[str, User]) -> None:
        super().__init__(users)
        self.gate = asyncio.Event()

    async def authenticate(self, credentials: Credentials, asker: Asker) -> Any:
        self.asked.append(credentials.token)
        await self.gate.wait()
        return self.users.get(present(credentials.token))


def test_many_who_ask_at_once_are_one_question() -> None:
    async def main() -> None:
        inner = Slow({"good": JANE})
        cached = CachedAuthenticator(inner, 10.0)
        waiting = [asyncio.ensure_future(cached.authenticate(GOOD, SOMEBODY)) for _ in range(10)]
        await settle()
        inner.gate.set()
        assert await asyncio.gather(*waiting) == [JANE] * 10
        assert len(inner.asked) == 1  # C-TC-5

    run(main())


def test_the_first_who_asks_may_leave() -> None:
    async def main() -> None:
        inner = Slow({"good": JANE})
        cached = CachedAuthenticator(inner, 10.0)
        first, second = (asyncio.ensure_future(cached.authenticate(GOOD, SOMEBODY)) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        inner.gate.set()
        assert await second == JANE  # C-TC-6
        assert first.cancelled()
        assert len(inner.asked) == 1

    run(main())


def test_an_answer_that_never_comes_is_a_503() -> None:
    async def main() -> None:
        cached = CachedAuthenticator(Slow({}), 10.0)
        asking = asyncio.ensure_future(cached.authenticate(GOOD, SOMEBODY))
        await pass_time(60)
        with pytest.raises(StatusError) as caught:
            await asking
        assert (caught.value.code, caught.value.headers) == (503, ((b"Retry-After", b"2"),))

    run(main(), ClockLoop)


def test_it_can_be_asked_who_is_remembered_without_asking_anybody() -> None:
    async def steps(cached: Any, inner: Any) -> None:
        credentials = (GOOD, BAD, Credentials())
        assert [cached.known(each) for each in credentials] == [None, None, NOBODY]
        for each in credentials:
            await cached.authenticate(each, SOMEBODY)
        assert [cached.known(each).value for each in credentials] == [JANE, None, None]
        await pass_time(11)
        assert [cached.known(each) for each in credentials] == [None, None, NOBODY]
        assert len(inner.asked) == 3

    conversation(steps)


def test_no_token_is_kept_in_the_clear() -> None:
    async def steps(cached: Any, inner: None) -> None:
        await cached.authenticate(Credentials("hunter2"), SOMEBODY)
        assert len(cached._cache) == 1
        assert "hunter2" not in repr(vars(cached._cache))

    conversation(steps)
