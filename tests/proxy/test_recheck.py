"""Are those who hold a stream open still allowed to?"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import structs

from bastion.authn.authenticator import Credentials
from bastion.authz.authorizer import Decision
from bastion.kube.accesspolicy import AccessPolicy
from bastion.kube.attributes import Attributes
from bastion.kube.pathgroups import parse_path_groups
from bastion.kube.user import User
from bastion.proxy.access import StreamAccess
from bastion.proxy.recheck import OVERTIME, RETRY_SECONDS, Recheck
from tests import fakes
from tests.authn.provider import assemble
from tests.fakes import ClockLoop, Decides, Knows, pass_time, unavailable
from tests.proxy.routes import admitted

INTERVAL, GRACE = 60.0, 300.0
EXPIRED, REVOKED, UNCHECKED = "access expired", "access revoked", "access could not be checked again"


def run(work: Coroutine[Any, Any, None]) -> None:
    fakes.run(work, ClockLoop)


class Question:
    """Answers as it is told: True, False, or an exception to raise.  `asked` holds when."""

    def __init__(self) -> None:
        self.answer: bool | Exception = True
        self.asked: list[float] = []

    async def __call__(self) -> bool:
        self.asked.append(asyncio.get_running_loop().time())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def live(seconds: float, step: float = 1.0) -> None:
    """Time passes in steps, so that what is due happens when it is due."""
    for _ in range(round(seconds / step)):
        await pass_time(step)


NO_ANSWER = unavailable("the API server did not answer")


def test_asked_once_per_interval_or_a_little_sooner() -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        began = asyncio.get_running_loop().time()
        recheck.watch("key", question, ended.append)
        await live(0.9 * INTERVAL - 1)
        assert not question.asked  # it was allowed just now
        await live(20 * INTERVAL)
        times = [began, *question.asked]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        # a second of this clock's steps
        assert all(0.9 * INTERVAL - 1 <= gap <= INTERVAL + 2 for gap in gaps), gaps
        assert len(set(gaps)) > 1, "no jitter"
        assert not ended

    run(main())


@pytest.mark.parametrize("ago", [10.0, INTERVAL, 10 * INTERVAL])
def test_a_yes_of_some_time_ago_is_asked_about_sooner(ago: float) -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append, ago=ago)
        await live(max(0.0, 0.9 * INTERVAL - ago - 1))
        assert not question.asked or ago > 0.9 * INTERVAL
        await live(min(0.1 * INTERVAL + 3, INTERVAL - 1))
        assert len(question.asked) == 1
        await live(0.9 * INTERVAL - 10)
        assert len(question.asked) == 1
        await live(0.1 * INTERVAL + 10)
        assert len(question.asked) == 2

    run(main())


def test_asked_once_for_all_who_share_a_question() -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        leaves = [
            recheck.watch("key", question, lambda reason, n=n: ended.append(f"{n}: {reason}"))  # type: ignore[misc]
            for n in range(200)
        ]
        assert recheck.statistics().questions == 1
        await live(INTERVAL * 3)
        assert 3 <= len(question.asked) <= 4
        question.answer = False
        await live(INTERVAL)
        assert sorted(ended) == sorted(f"{n}: {REVOKED}" for n in range(200))
        for leave in leaves:
            leave()
        assert recheck.statistics().questions == 0

    run(main())


def test_distinct_questions_are_asked_each() -> None:
    async def main() -> None:
        recheck, ended = Recheck(INTERVAL, GRACE), list[str]()
        first, second = Question(), Question()
        recheck.watch("first", first, lambda reason: ended.append("first"))
        recheck.watch("second", second, lambda reason: ended.append("second"))
        assert recheck.statistics().questions == 2
        second.answer = False
        await live(INTERVAL)
        assert (len(first.asked), len(second.asked), ended) == (1, 1, ["second"])

    run(main())


def test_who_comes_later_waits_for_no_longer_than_an_interval() -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, lambda reason: None)
        await live(INTERVAL / 2)
        recheck.watch("key", question, ended.append)
        question.answer = False
        await live(INTERVAL / 2)
        assert ended == [REVOKED]

    run(main())


def test_nothing_is_asked_once_nobody_watches() -> None:
    async def main() -> None:
        recheck, question = Recheck(INTERVAL, GRACE), Question()
        leave, leave_too = (recheck.watch("key", question, list[str]().append) for _ in range(2))
        leave()
        assert recheck.statistics().questions == 1
        leave_too()
        leave_too()  # twice is as good as once
        assert recheck.statistics().questions == 0
        await live(2 * INTERVAL)
        assert not question.asked
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_who_leaves_while_the_question_is_asked_hears_nothing() -> None:
    async def main() -> None:
        recheck, ended, asking = Recheck(INTERVAL, GRACE), list[str](), asyncio.Event()

        async def never() -> bool:
            asking.set()
            await asyncio.Event().wait()
            return False

        leave = recheck.watch("key", never, ended.append)
        await live(INTERVAL)
        assert asking.is_set()
        leave()
        await live(INTERVAL)
        assert (recheck.statistics().questions, ended) == (0, [])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_an_interval_of_0_asks_nothing() -> None:
    async def main() -> None:
        recheck, question = Recheck(0.0, GRACE), Question()
        recheck.watch("key", question, lambda reason: None)()
        recheck.watch("key", question, lambda reason: None)
        await live(1000)
        assert (recheck.statistics().questions, question.asked) == (0, [])

    run(main())


# --- a lookup that fails is not a refusal


def test_a_failing_lookup_ends_nothing_within_the_grace() -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append)
        question.answer = NO_ANSWER
        await live(GRACE)
        assert not ended
        gaps = [after - before for before, after in zip(question.asked, question.asked[1:], strict=False)]
        assert gaps
        assert all(RETRY_SECONDS <= gap <= RETRY_SECONDS + 2 for gap in gaps)
        question.answer = True
        await live(2 * INTERVAL)
        assert not ended
        question.answer = NO_ANSWER  # and the grace begins anew
        await live(GRACE)
        assert not ended
        question.answer = False
        await live(RETRY_SECONDS + 2)
        assert ended == [REVOKED]

    run(main())


def test_after_the_grace_it_ends() -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append)
        question.answer = NO_ANSWER
        await live(INTERVAL + GRACE - RETRY_SECONDS)
        assert not ended
        await live(2 * RETRY_SECONDS + 2)
        assert ended == [UNCHECKED]

    run(main())


def test_a_grace_of_0_is_one_attempt() -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, 0.0), Question(), list[str]()
        recheck.watch("key", question, ended.append)
        question.answer = NO_ANSWER
        await live(INTERVAL + RETRY_SECONDS + 2)
        assert ended == [UNCHECKED]

    run(main())


def test_a_short_interval_is_the_pause_between_attempts_too() -> None:
    async def main() -> None:
        recheck, question = Recheck(1.0, 10.0), Question()
        recheck.watch("key", question, lambda reason: None)
        question.answer = NO_ANSWER
        await live(8, 0.1)
        assert len(question.asked) >= 7

    run(main())


def test_a_fault_of_our_own_is_never_an_allow(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append)
        question.answer = ZeroDivisionError()
        await live(INTERVAL)
        assert ended == [UNCHECKED]

    with caplog.at_level(logging.ERROR, "bastion.proxy"):
        run(main())
    assert "ZeroDivisionError" in caplog.text


# --- a yes that is meant to last for a while only


@pytest.mark.parametrize("good_for", [10.0, 90.0, 1000.0])
def test_when_it_is_over_it_is_asked_about_at_once(good_for: float) -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append, good_for)
        began = asyncio.get_running_loop().time()
        await live(good_for - 1)
        assert not ended
        question.answer = False
        await live(2)
        assert ended == [EXPIRED]
        assert good_for <= question.asked[-1] - began <= good_for + 1

    run(main())


def test_after_its_end_it_is_asked_about_more_often() -> None:
    """Who decides may allow for clocks that differ, by half a minute or a whole one."""

    async def main() -> None:
        recheck, question, ended = Recheck(10 * INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append, 10.0)
        await live(10 + 3 * OVERTIME + 5)
        assert (len(question.asked), ended) == (4, [])

    run(main())


@pytest.mark.parametrize("good_for", [-5.0, 10.0, 200.0])
def test_after_its_end_there_is_no_grace(good_for: float) -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append, good_for)
        question.answer = NO_ANSWER
        if good_for > 0:
            await live(good_for - 1)
            assert not ended
        await live(2 if good_for > 0 else OVERTIME + 1)
        assert ended == [UNCHECKED]

    run(main())


def test_before_its_end_there_is() -> None:
    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        recheck.watch("key", question, ended.append, 200.0)
        question.answer = NO_ANSWER
        await live(190)
        question.answer = True
        await live(20)
        assert not ended

    run(main())


# --- the end of a question


@pytest.mark.parametrize("answer", [False, ZeroDivisionError()], ids=["refused", "failed"])
def test_who_comes_after_the_answer_was_no_is_asked_about_anew(answer: bool | Exception) -> None:
    """Those who were refused may still be leaving: a stream that came meanwhile must not wait for a question
    that is over.
    """

    async def main() -> None:
        recheck, question, ended = Recheck(INTERVAL, GRACE), Question(), list[str]()
        leave = recheck.watch("key", question, lambda reason: None)
        question.answer = answer
        await live(INTERVAL)
        recheck.watch("key", question, ended.append)
        leave()
        assert recheck.statistics().questions == 1
        await live(INTERVAL)
        assert len(ended) == 1

    run(main())


@pytest.mark.parametrize("failing", [1, 2, 200])
def test_all_are_told_even_where_telling_some_fails(failing: int) -> None:
    """A stream that is not told goes on for hours."""

    async def main() -> None:
        recheck, question, told = Recheck(INTERVAL, GRACE), Question(), set[int]()

        def tell(number: int) -> Callable[[str], None]:
            def refused(reason: str) -> None:
                first = number not in told
                told.add(number)
                if first and number < failing:
                    raise RuntimeError("the connection is in a state of its own")

            return refused

        for number in range(200):
            recheck.watch("key", question, tell(number))
        question.answer = False
        await live(INTERVAL)
        assert len(told) == 200

    run(main())


# --- what a stream's access stands on

ALICE, BOB = User("alice", "1", ("devs", "system:authenticated")), User("bob", "2")
GET = Attributes("get", namespace="shop", resource="services", subresource="proxy", name="chat")
CREATE = Attributes("create", namespace="shop", resource="services", subresource="proxy", name="chat")
IMPERSONATE = Attributes("impersonate", resource="users", name="bob")
TOKEN = Credentials("token")
NOW = 1_800_000_000.0


class Access:
    """A StreamAccess whose answers can be changed; `ended` are the reasons that its streams were given."""

    def __init__(self) -> None:
        self.knows = Knows({"token": ALICE, "other": ALICE})
        self.may: Callable[[User, Attributes], bool | Decision] = lambda user, attributes: True
        self.decides = Decides(lambda user, attributes: self.may(user, attributes))
        self.recheck = Recheck(INTERVAL, GRACE)
        self.counts = True
        self.access = StreamAccess(
            self.recheck, self.knows, self.decides, lambda: NOW, lambda info, asked: self.counts
        )
        self.ended: list[str] = []

    def open(
        self,
        credentials: Credentials = TOKEN,
        user: User = ALICE,
        acting_as: User | None = None,
        required: tuple[Attributes, ...] = (GET,),
        questions: tuple[tuple[User, Attributes], ...] = (),
    ) -> Callable[[], None]:
        asked = [*questions, *((acting_as or user, attributes) for attributes in required)]
        return self.access.watch(admitted(credentials, user, asked), self.ended.append)


def test_a_stream_stands_on_its_token_and_on_what_its_user_may() -> None:
    async def main() -> None:
        access = Access()
        close = access.open(required=(GET, CREATE))
        assert access.recheck.statistics().questions == 3
        await live(INTERVAL)
        assert access.knows.asked == ["token"]
        assert {attributes.verb for attributes in access.decides.asked} == {"get", "create"}
        assert not access.ended
        close()
        assert access.recheck.statistics().questions == 0

    run(main())


def test_streams_that_stand_on_the_same_share_every_question() -> None:
    async def main() -> None:
        access = Access()
        closes = [access.open() for _ in range(50)]
        assert access.recheck.statistics().questions == 2
        await live(INTERVAL)
        assert (access.knows.asked, access.decides.asked) == (["token"], [GET])
        for close in closes:
            close()
        assert access.recheck.statistics().questions == 0

    run(main())


def without_the_token(access: Access) -> None:
    access.knows.users = {}


def with_the_token_somebody_elses(access: Access) -> None:
    access.knows.users = {"token": BOB}


def with_other_groups(access: Access) -> None:
    access.knows.users = {"token": User("alice", "1", ("system:authenticated",))}


def as_a_namesake(access: Access) -> None:
    access.knows.users = {"token": User("alice", "9", ALICE.groups)}


def with_another_extra(access: Access) -> None:
    access.knows.users = {"token": structs.replace(ALICE, extra=(("scopes", ("read", "write")),))}


def without_one_of_the_rights(access: Access) -> None:
    access.may = lambda user, attributes: attributes.verb != "create"


@pytest.mark.parametrize(
    "changed",
    [
        without_the_token,
        with_the_token_somebody_elses,
        with_other_groups,
        as_a_namesake,
        with_another_extra,
        without_one_of_the_rights,
    ],
)
def test_it_ends_when_one_of_them_falls(changed: Callable[[Access], None]) -> None:
    async def main() -> None:
        access = Access()
        access.open(required=(GET, CREATE))
        changed(access)
        await live(INTERVAL)
        assert access.ended == [REVOKED]

    run(main())


def test_in_which_order_groups_and_extras_are_told_says_nothing() -> None:
    async def main() -> None:
        access, user = (
            Access(),
            structs.replace(ALICE, groups=("a", "b"), extra=(("x", ("1", "2")), ("y", ()))),
        )
        access.open(user=user)
        access.may = lambda who, attributes: True
        access.knows.users = {
            "token": structs.replace(user, groups=("b", "a"), extra=(("y", ()), ("x", ("2", "1"))))
        }
        await live(2 * INTERVAL)
        assert not access.ended

    run(main())


def test_whoever_acts_as_somebody_must_still_be_allowed_to() -> None:
    async def main() -> None:
        access = Access()
        access.open(acting_as=BOB, questions=((ALICE, IMPERSONATE),))
        assert access.recheck.statistics().questions == 3
        await live(INTERVAL)
        assert not access.ended
        access.may = lambda user, attributes: attributes.verb != "impersonate" or user != ALICE
        await live(INTERVAL)
        assert access.ended == [REVOKED]

    run(main())


def test_what_is_asked_is_what_the_assumed_user_may() -> None:
    async def main() -> None:
        access = Access()
        access.may = lambda user, attributes: user == (ALICE if attributes.verb == "impersonate" else BOB)
        access.open(acting_as=BOB, questions=((ALICE, IMPERSONATE),))
        await live(2 * INTERVAL)
        assert not access.ended

    run(main())


def test_a_stream_opened_under_a_new_identity_is_not_ended_for_the_old_one() -> None:
    """The groups of a token's user changed between two streams: the first one ends, the second is as it
    should be.
    """

    async def main() -> None:
        access = Access()
        access.open()
        renewed = User("alice", "1", ("devs", "ops", "system:authenticated"))
        access.knows.users = {"token": renewed}
        later = list[str]()
        access.access.watch(admitted(TOKEN, renewed, [(renewed, GET)]), later.append)
        await live(2 * INTERVAL)
        assert access.ended == [REVOKED]
        assert later == []

    run(main())


def token_until(expires: object) -> str:
    return assemble({"alg": "none"}, {"iss": "x", "exp": expires})


@pytest.mark.parametrize(("expires", "asked"), [(NOW + 5, 1), (NOW + 1000, 0), ("soon", 0), (None, 0)])
def test_a_token_that_ends_sooner_is_asked_about_sooner(expires: object, asked: int) -> None:
    async def main() -> None:
        access, token = Access(), token_until(expires)
        access.knows.users = {token: ALICE}
        access.open(Credentials(token))
        await live(4)
        assert not access.knows.asked
        await live(4)
        assert len(access.knows.asked) == asked
        assert not access.ended
        assert not access.decides.asked, "what its user may is not asked sooner"

    run(main())


def test_a_right_to_a_group_of_paths_ends_when_the_path_is_of_another() -> None:
    async def main() -> None:
        access = Access()
        made = structs.replace(
            admitted(TOKEN, ALICE, [(ALICE, GET)]), policy=AccessPolicy(parse_path_groups("a=/*"))
        )
        access.access.watch(made, access.ended.append)
        await live(INTERVAL)
        assert not access.ended
        access.counts = False
        await live(INTERVAL)
        assert access.ended == [REVOKED]

    run(main())
