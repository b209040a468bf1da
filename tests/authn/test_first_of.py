"""Several authenticators as one: a failure stops nobody, and is told only where nobody knew."""

from __future__ import annotations

from typing import Any

import pytest

from bastion.authn.anonymous import AnonymousAuthenticator
from bastion.authn.authenticator import Credentials, FirstOf
from bastion.kube.user import User, anonymous
from tests.fakes import SOMEBODY, Knows, refused, run, unavailable

ONE, OTHER = User("one"), User("other")
DOWN = unavailable("down", retry_after=2)


def knows(user: User) -> Knows:
    return Knows({"t": user})


def fails() -> Knows:
    return Knows(failing=DOWN)


UNION = [
    pytest.param(lambda: [Knows(), knows(ONE)], ONE, id="C-UN-1-second-passes"),
    pytest.param(lambda: [knows(ONE), knows(OTHER)], ONE, id="C-UN-2-first-passes"),
    pytest.param(lambda: [fails(), knows(ONE)], ONE, id="C-UN-3-failure-suppressed"),
    pytest.param(list, None, id="C-UN-4-nobody"),
    pytest.param(lambda: [Knows(), Knows()], None, id="C-UN-5-nobody-knows"),
]


@pytest.mark.parametrize(("authenticators", "user"), UNION)
def test_the_first_that_knows_answers(authenticators: Any, user: User | None) -> None:
    assert run(FirstOf(authenticators()).authenticate(Credentials("t"), SOMEBODY)) == user


@pytest.mark.parametrize(
    "authenticators",
    [[fails()], [fails(), fails()], [fails(), Knows()], [Knows(), fails()]],
    ids=["one", "C-UN-6", "first", "last"],
)
def test_a_failure_is_told_where_nobody_knew(authenticators: list[Knows]) -> None:
    with refused(503, "down"):
        run(FirstOf(authenticators).authenticate(Credentials("t"), SOMEBODY))


def test_nobody_is_asked_after_the_first_that_knows() -> None:
    last = knows(OTHER)
    run(FirstOf([knows(ONE), last]).authenticate(Credentials("t"), SOMEBODY))
    assert last.asked == []


def test_a_bad_token_is_not_anonymous() -> None:
    authenticators = FirstOf([knows(ONE), AnonymousAuthenticator()])
    assert run(authenticators.authenticate(Credentials("bad"), SOMEBODY)) is None
    assert run(authenticators.authenticate(Credentials(), SOMEBODY)) == anonymous()


def test_what_could_not_be_found_out_is_not_anonymous_either() -> None:
    with refused(503):
        run(FirstOf([fails(), AnonymousAuthenticator()]).authenticate(Credentials("t"), SOMEBODY))


def test_what_is_no_answer_at_all_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        run(
            FirstOf([Knows(failing=ZeroDivisionError()), knows(ONE)]).authenticate(Credentials("t"), SOMEBODY)
        )
