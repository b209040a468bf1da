"""Does everybody get a turn, and does somebody stand by for each?"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.balance.policies import RoundRobin
from bastion.balance.pool import MAX_POOLS, Balancer


@pytest.mark.parametrize("endpoints", [(), ("a",)], ids=["none", "one"])
def test_where_there_is_no_choice_nothing_is_chosen(endpoints: Any) -> None:
    policy = RoundRobin()
    assert [policy.order(endpoints) for _ in range(3)] == [endpoints] * 3


def test_each_in_turn() -> None:
    policy = RoundRobin()
    assert ["".join(policy.order("abc")) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


@pytest.mark.parametrize(("start", "first"), [(0, "a"), (1, "b"), (2, "c"), (3, "a"), (7, "b")])
def test_the_first_turn_is_an_argument(start: Any, first: Any) -> None:
    assert RoundRobin(start).order("abc")[0] == first


@given(st.lists(st.integers(), min_size=2, unique=True, max_size=30), st.integers(1, 5))
def test_all_are_first_equally_often(endpoints: Any, rounds: Any) -> None:
    policy = RoundRobin()
    firsts = Counter(policy.order(endpoints)[0] for _ in range(rounds * len(endpoints)))
    assert firsts == dict.fromkeys(endpoints, rounds)


@given(st.lists(st.lists(st.integers(), unique=True, max_size=8), max_size=20))
def test_however_the_endpoints_change_all_of_them_are_tried(changes: Any) -> None:
    policy = RoundRobin()
    for endpoints in changes:
        order = list(policy.order(endpoints))
        assert sorted(order) == sorted(endpoints)
        if order:
            at = endpoints.index(order[0])
            assert order == endpoints[at:] + endpoints[:at]


def test_a_service_that_shrinks_and_grows_starves_nobody() -> None:
    policy = RoundRobin()
    for _ in range(5):
        policy.order("abcdef")
    policy.order("ab")
    assert {policy.order("abcdef")[0] for _ in range(6)} == set("abcdef")


def test_turns_are_kept_per_key() -> None:
    balancer = Balancer(RoundRobin)
    assert [balancer.order("x", "ab")[0] for _ in range(3)] == ["a", "b", "a"]
    assert balancer.order("y", "ab")[0] == "a"
    assert balancer.order("x", "ab")[0] == "b"


def test_turns_are_bounded() -> None:
    balancer = Balancer(RoundRobin)
    for key in range(MAX_POOLS + 1):
        balancer.order(key, "ab")
    assert balancer.order(0, "ab")[0] == "a"  # its turn was forgotten, not its endpoints
    assert len(balancer._pools) <= MAX_POOLS
