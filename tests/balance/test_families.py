"""When does an address family go last, and when is it tried again?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.balance.families import MAX_TRACKED, PAUSE_FIRST, Families

T = "target"


def after(*outcomes: Any, target: Any = T, family: str = "IPv6", now: float = 0.0) -> Any:
    families = Families()
    for outcome in outcomes:
        if outcome == "silent":
            families.silent(target, family, now)
        else:
            families.answered(target, family)
    return families


HISTORIES = [
    pytest.param([], False, id="nothing-known"),
    pytest.param(["silent"], False, id="once"),
    pytest.param(["silent", "silent"], True, id="twice-in-a-row"),
    pytest.param(["silent", "answered", "silent"], False, id="one-that-answers-in-between"),
    pytest.param(["silent"] * 5 + ["answered"], False, id="it-is-there-again"),
]


@pytest.mark.parametrize(("outcomes", "last"), HISTORIES)
def test_a_family_that_nobody_answers_in_goes_last(outcomes: Any, last: Any) -> None:
    assert after(*outcomes).is_last(T, "IPv6", 1.0) is last


def test_it_does_so_for_its_own_target_and_the_other_family_does_not() -> None:
    families = after("silent", "silent")
    assert not families.is_last("another", "IPv6", 1.0)
    assert not families.is_last(T, "IPv4", 1.0)


def test_now_and_then_one_request_tries_it_first_and_ever_more_rarely() -> None:
    families = after("silent", "silent")
    probes = []
    for now in range(1, 400):
        if not families.is_last(T, "IPv6", float(now)):
            probes.append(now)
            families.silent(T, "IPv6", float(now))
    assert probes == [15, 45, 105, 225]
    families.answered(T, "IPv6")
    assert not families.is_last(T, "IPv6", 400.0)


def test_what_fails_for_want_of_another_puts_off_no_probe() -> None:
    families = after("silent", "silent")
    for now in range(1, 15):
        families.silent(T, "IPv6", float(now))
    assert not families.is_last(T, "IPv6", PAUSE_FIRST)


def test_so_many_are_remembered_and_no_more() -> None:
    families = Families()
    for i in range(MAX_TRACKED + 10):
        families.silent(i, "IPv6", 0.0)
    assert len(families) == MAX_TRACKED
