"""How many at once, and how often?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.runtime.limits import MAX_KEYS, Concurrency, Rate, RetryAllowance, Shares


def test_each_key_has_its_own_number_at_once() -> None:
    limit = Concurrency(2)
    assert [limit.enter("a"), limit.enter("a"), limit.enter("a"), limit.enter("b")] == [
        True,
        True,
        False,
        True,
    ]
    limit.leave("a")
    assert limit.enter("a")
    for key in ("a", "a", "b"):
        limit.leave(key)
    assert len(limit) == 0, "nothing is remembered of who has left"


def test_0_is_no_limit() -> None:
    assert all(Concurrency(0).enter("a") for _ in range(1000))
    rate = Rate(0, 1)
    for _ in range(10):
        rate.spend("a", 0.0)
    assert not rate.exhausted("a", 0.0)


def test_a_burst_and_then_so_many_per_second() -> None:
    rate = Rate(2, 3)
    for _ in range(3):
        assert not rate.exhausted("a", 10.0)
        rate.spend("a", 10.0)
    assert rate.exhausted("a", 10.0)
    assert not rate.exhausted("b", 10.0)
    assert rate.exhausted("a", 10.4)
    assert not rate.exhausted("a", 10.5)
    rate.spend("a", 10.5)
    assert rate.exhausted("a", 10.9)
    assert not rate.exhausted("a", 1000.0)
    for _ in range(3):
        rate.spend("a", 1000.0)
    assert rate.exhausted("a", 1000.0), "who waits for long has no more than the burst"


def test_it_holds_no_more_keys_than_it_may() -> None:
    rate = Rate(1, 2)
    for number in range(MAX_KEYS + 10):
        rate.spend(number, number / 1000)
    assert len(rate) <= MAX_KEYS


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_never_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    rate, now, taken = Rate(2, 5), 0.0, 0
    for pause in pauses:
        now += pause
        if not rate.exhausted("a", now):
            rate.spend("a", now)
            taken += 1
    assert taken <= 5 + 2 * now + 1e-6


def test_who_spent_lately_is_not_forgotten_for_those_who_come() -> None:
    rate = Rate(0.001, 1)
    rate.spend("old", 0.0)
    for number in range(MAX_KEYS - 2):
        rate.spend(number, 0.0)
    rate.spend("old", 0.0)
    for number in range(MAX_KEYS - 2):
        rate.spend(-number - 1, 0.0)
    assert rate.exhausted("old", 0.0)


# --- shares

# most, who comes in this order, and who of them gets a place
SHARES: dict[str, tuple[int, str, str]] = {
    "one user has them all": (3, "aaaa", "yyyn"),
    "beside one who has all, another has half": (4, "aaaabbb", "yyyyyyn"),
    "a third": (6, "aaaaaabbbbccc", "yyyyyyyyynyyn"),
    "one place": (1, "aab", "yny"),
    "more users than places": (2, "aabcd", "yyyyy"),
    "no limit": (0, "a" * 50, "y" * 50),
    "who has a share already": (4, "aabba", "yyyyn"),
}


@pytest.mark.parametrize(("most", "users", "got"), SHARES.values(), ids=SHARES)
def test_no_user_has_more_than_a_share_while_others_want_some(most: int, users: str, got: str) -> None:
    shares = Shares(most)
    assert "".join("y" if shares.enter("t", user) else "n" for user in users) == got
    assert shares.enter("another target", "a")


def test_nothing_is_remembered_of_those_who_left() -> None:
    shares = Shares(2)
    for user in "aab":
        assert shares.enter("t", user)
    shares.take("t", "c")
    for user in "acba":
        shares.leave("t", user)
    assert len(shares) == 0
    assert [shares.enter("t", "a") for _ in range(3)] == [True, True, False]


# --- second tries


def test_what_comes_a_second_time_has_one_chance() -> None:
    tries = RetryAllowance()
    assert [tries.due("x"), tries.due("x"), tries.due("x")] == [False, True, True], "until it is used"
    tries.use("x")
    assert not tries.due("x")
    tries.forget("x")
    assert [tries.due("x"), tries.due("x")] == [False, True]


def test_the_newest_are_remembered() -> None:
    tries = RetryAllowance(3)
    for item in "abcd":
        assert not tries.due(item)
    assert len(tries) == 3
    assert [tries.due(item) for item in "bcd"] == [True] * 3
    assert not tries.due("a")
