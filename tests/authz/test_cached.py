"""Is a decision remembered for as long as it may be, for the very question it answers?"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs

from bastion.authz.authorizer import Decision
from bastion.authz.cached import CachedAuthorizer
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.runtime.turns import Asker
from bastion.settings.sections import Lifetimes
from tests.fakes import SOMEBODY, ClockLoop, Decides, pass_time, refused, run, settle, unavailable

JANE = User("jane", "1", ("devs",), (("scopes", ("a", "b")),))
GET = Attributes("get", namespace="ns", resource="pods", subresource="proxy", name="foo:80")


def conversation(
    steps: Callable[..., Any], decide: Callable[..., Any] = lambda user, attributes: True, **options: Any
) -> Any:
    async def main() -> Any:
        inner = Decides(decide)
        return await steps(CachedAuthorizer(inner, Lifetimes(**options)), inner)

    return run(main(), ClockLoop)


@pytest.mark.parametrize(
    ("allowed", "lasts"), [(True, 20), (False, 5)], ids=["C-SR-10-allow", "C-SR-13-deny"]
)
def test_each_decision_has_its_own_lifetime(allowed: bool, lasts: int) -> None:
    async def steps(cached: Any, inner: Any) -> None:
        for after, asked in ((0, 1), (lasts - 0.5, 1), (1, 2), (0, 2)):
            await pass_time(after)
            assert await cached.authorize(JANE, GET, SOMEBODY) == Decision(allowed, "why")
            assert len(inner.asked) == asked

    conversation(
        steps, lambda user, attributes: Decision(allowed, "why"), authorized_ttl=20, unauthorized_ttl=5
    )


def test_a_remembered_decision_serves_until_it_lapses_then_503_and_never_an_allow() -> None:
    async def steps(cached: Any, inner: Any) -> None:
        await cached.authorize(JANE, GET, SOMEBODY)
        inner.failing = unavailable("down")
        assert (await cached.authorize(JANE, GET, SOMEBODY)).allowed
        await pass_time(11)
        for _ in range(2):
            with refused(503):
                await cached.authorize(JANE, GET, SOMEBODY)
        inner.failing = None
        assert (await cached.authorize(JANE, GET, SOMEBODY)).allowed

    conversation(steps)


OTHERS = [
    (msgspec.structs.replace(JANE, name="joe"), GET),
    (msgspec.structs.replace(JANE, uid="2"), GET),
    (msgspec.structs.replace(JANE, groups=()), GET),
    (msgspec.structs.replace(JANE, groups=("de", "vs")), GET),
    (msgspec.structs.replace(JANE, extra=()), GET),
    (msgspec.structs.replace(JANE, extra=(("scopes", ("a",)), ("b", ()))), GET),
    (JANE, msgspec.structs.replace(GET, verb="")),
    (JANE, msgspec.structs.replace(GET, namespace="n", resource="spods")),
    (JANE, msgspec.structs.replace(GET, name="foo:8")),
    (JANE, msgspec.structs.replace(GET, name="http:foo:80")),
    (JANE, msgspec.structs.replace(GET, subresource="")),
    (JANE, msgspec.structs.replace(GET, group="v1", version="")),
    (JANE, msgspec.structs.replace(GET, path="/x")),
]


@pytest.mark.parametrize(("user", "attributes"), OTHERS)
def test_no_two_questions_share_an_answer(user: User, attributes: Attributes) -> None:
    async def steps(cached: Any, inner: Any) -> None:
        assert (await cached.authorize(JANE, GET, SOMEBODY)).allowed
        assert not (await cached.authorize(user, attributes, SOMEBODY)).allowed
        assert (await cached.authorize(JANE, GET, SOMEBODY)).allowed

    conversation(steps, lambda u, a: (u, a) == (JANE, GET))


@pytest.mark.parametrize("allowed", [True, False], ids=["C-SR-16", "C-SR-14"])
@pytest.mark.parametrize(("length", "asked"), [(9998, 2), (9997, 1)], ids=["ten-thousand", "one-less"])
def test_a_question_of_ten_thousand_bytes_is_not_remembered(allowed: bool, length: int, asked: int) -> None:
    # else whoever asks with long names fills the memory.
    long = Attributes("", name="x" * length)  # and the version, v1

    async def steps(cached: Any, inner: Any) -> None:
        await cached.authorize(JANE, long, SOMEBODY)
        await cached.authorize(JANE, long, SOMEBODY)
        assert len(inner.asked) == asked

    conversation(steps, lambda user, attributes: allowed)


def test_many_who_ask_at_once_are_one_question() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        class Slow(Decides):
            async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Any:
                self.asked.append(attributes)
                await gate.wait()
                return Decision(True)

        inner = Slow(lambda user, attributes: True)
        cached = CachedAuthorizer(inner, Lifetimes())
        first, *others = (asyncio.ensure_future(cached.authorize(JANE, GET, SOMEBODY)) for _ in range(10))
        await settle()
        first.cancel()
        await settle()
        gate.set()
        assert await asyncio.gather(*others) == [Decision(True)] * 9
        assert len(inner.asked) == 1

    run(main())


def test_a_decision_that_never_comes_is_a_503() -> None:
    async def main() -> None:
        class Silent(Decides):
            async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Any:
                await asyncio.Event().wait()

        cached = CachedAuthorizer(Silent(lambda user, attributes: True), Lifetimes())
        asking = asyncio.ensure_future(cached.authorize(JANE, GET, SOMEBODY))
        await pass_time(60)
        with refused(503, "cannot authorize"):
            await asking

    run(main(), ClockLoop)


@pytest.mark.parametrize(("allowed", "lasts"), [(True, 20), (False, 5)])
def test_a_decision_is_known_until_it_lapses(allowed: bool, lasts: float) -> None:
    async def steps(cached: Any, inner: Any) -> None:
        assert cached.known(JANE, GET) is None
        until = asyncio.get_running_loop().time() + lasts
        await cached.authorize(JANE, GET, SOMEBODY)
        await pass_time(1)
        known = cached.known(JANE, GET)
        assert known.value == Decision(allowed, "why")
        assert (known.validity.until, known.validity.expires) == (pytest.approx(until), math.inf)
        assert cached.known(JANE, structs.replace(GET, verb="create")) is None
        assert cached.statistics() == (0, 1)
        await pass_time(lasts)
        assert cached.known(JANE, GET) is None

    conversation(
        steps, lambda user, attributes: Decision(allowed, "why"), authorized_ttl=20, unauthorized_ttl=5
    )
