"""Is what many remember in one place bounded, and can none push out the others'?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.runtime.remembered import FairTable


def filled(size: int, *entries: tuple[str, str]) -> FairTable[str, int]:
    """`entries`: (owner, key)."""
    remembered: FairTable[str, int] = FairTable(size)
    for number, (owner, key) in enumerate(entries):
        remembered.put(key, number, owner)
    return remembered


def test_what_was_put_is_got_until_it_is_forgotten() -> None:
    remembered = filled(3, ("a", "x"), ("b", "y"))
    assert (remembered.get("x"), remembered.get("y"), remembered.get("z")) == (0, 1, None)
    remembered.put("x", 7, "a")
    assert (remembered.get("x"), len(remembered)) == (7, 2)
    remembered.forget("x")
    remembered.forget("x")
    assert (remembered.get("x"), len(remembered), remembered.owned("a")) == (None, 1, 0)


def test_who_brings_what_is_there_does_not_pay_for_it() -> None:
    remembered = filled(3, ("a", "x"), ("b", "x"))
    assert (remembered.owned("a"), remembered.owned("b")) == (1, 0)


def test_none_is_a_value() -> None:
    remembered: FairTable[str, None] = FairTable(1)
    for key in "xy":
        remembered.put(key, None, "a")
    assert (remembered.get("x", "not there"), remembered.get("y", "not there")) == ("not there", None)
    remembered.forget("y")
    assert len(remembered) == 0


# what is put into three places, what is there then
ROOM: dict[str, tuple[list[tuple[str, str]], set[str]]] = {
    "one alone loses the oldest": ([("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")], {"2", "3", "4"}),
    "the one with most makes room": ([("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")], {"2", "3", "4"}),
    "who floods pushes out their own": (
        [("b", "x"), *(("a", f"{n}") for n in range(9))],
        {"x", "7", "8"},
    ),
    "also who comes first": ([*(("a", f"{n}") for n in range(9)), ("b", "x")], {"7", "8", "x"}),
    "where all have as many one makes room": (
        [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
        {"2", "3", "4"},
    ),
}


@pytest.mark.parametrize(("entries", "left"), ROOM.values(), ids=ROOM)
def test_who_makes_room(entries: list[tuple[str, str]], left: set[str]) -> None:
    remembered = filled(3, *entries)
    assert {key for _, key in entries if remembered.get(key) is not None} == left
    assert len(remembered) == 3


def test_a_hundred_thousand_of_one_push_out_nothing_of_another() -> None:
    remembered: FairTable[int, int] = FairTable(4096)
    for number in range(50):
        remembered.put(-number - 1, 0, "quiet")
    for number in range(100_000):
        remembered.put(number, 0, "loud")
    assert (remembered.owned("quiet"), len(remembered)) == (50, 4096)
    assert all(remembered.get(-number - 1) == 0 for number in range(50))


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30), st.booleans()), max_size=120),
)
def test_an_even_share_is_never_taken_from(size: int, steps: list[tuple[str, int, bool]]) -> None:
    """Whatever the others do: who has fewer than an even share of the places loses none."""
    remembered: FairTable[int, int] = FairTable(size)
    model: dict[int, str] = {}
    for owner, key, put in steps:
        before = {one: remembered.owned(one) for one in "abcd"}
        if not put:
            remembered.forget(key)
            model.pop(key, None)
            continue
        remembered.put(key, key, owner)
        model.setdefault(key, owner)
        model = {one: whose for one, whose in model.items() if remembered.get(one) is not None}
        assert remembered.get(key) == key
        assert len(remembered) == len(model) <= size
        owners = [one for one in "abcd" if before[one] or one == owner]
        for one in owners:
            assert remembered.owned(one) == sum(whose == one for whose in model.values())
            if one != owner and remembered.owned(one) < before[one]:
                assert before[one] == max(before.values()) >= size // len(owners)
