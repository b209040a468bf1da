"""Whose turn is it?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.runtime.turns import (
    ADDRESS,
    BACKGROUND,
    MOST_WAITING,
    STREAM,
    USER,
    Key,
    RoundRobinQueues,
    SharedAsker,
    TurnQueues,
)

A, B, C = ((USER, name) for name in "abc")
X, Y = ((ADDRESS, name) for name in "xy")

# who lines up, and in which order they are served
ROWS: dict[str, tuple[list[Key], list[Key]]] = {
    "nobody": ([], []),
    "one after the other": ([A, A, A], [A, A, A]),
    "who wants one thing beside who wants many": ([A, A, A, A, B], [A, B, A, A, A]),
    "all alike": ([A, B, C, A, B, C], [A, B, C, A, B, C]),
    "many of one kind beside one of another": ([A, B, C, X], [A, X, B, C]),
    "two kinds": ([A, A, A, X, X, X], [A, X, A, X, A, X]),
    "turns within kinds": ([A, A, B, X, X, Y], [A, X, B, Y, A, X]),
    "the background": ([BACKGROUND, BACKGROUND, A, A], [BACKGROUND, A, BACKGROUND, A]),
    "streams of who asks for much": ([A, A, A, (STREAM, "a")], [A, (STREAM, "a"), A, A]),
}


@pytest.mark.parametrize(("coming", "served"), ROWS.values(), ids=ROWS)
def test_turns(coming: list[Key], served: list[Key]) -> None:
    lines: TurnQueues[tuple[Key, int]] = TurnQueues()
    for number, key in enumerate(coming):
        assert lines.add(key, (key, number))
    assert len(lines) == len(coming)
    taken = [item for _ in coming if (item := lines.next()) is not None]
    assert [key for key, _ in taken] == served
    for key in served:
        mine = [number for one, number in taken if one == key]
        assert mine == sorted(mine), "whoever of them came first"
    assert lines.next() is None and not lines and len(lines) == 0


@pytest.mark.parametrize("kind", MOST_WAITING)
def test_a_line_is_bounded_and_others_are_not_shorter_for_it(kind: str) -> None:
    lines: TurnQueues[int] = TurnQueues()
    assert [lines.add((kind, "a"), n) for n in range(MOST_WAITING[kind] + 1)] == [True] * MOST_WAITING[
        kind
    ] + [False]
    assert lines.add((kind, "b"), 1)
    lines.discard((kind, "a"), 0)
    assert lines.add((kind, "a"), 1000)


@pytest.mark.parametrize("key", [BACKGROUND, (STREAM, "a")], ids=str)
def test_what_nobody_can_ask_for_is_not_bounded(key: Key) -> None:
    lines: TurnQueues[int] = TurnQueues()
    assert all(lines.add(key, n) for n in range(1000))


def test_what_has_left_takes_no_turn() -> None:
    lines: TurnQueues[int] = TurnQueues()
    for key, item in ((A, 1), (A, 2), (B, 3)):
        lines.add(key, item)
    lines.discard(A, 1)
    lines.discard(A, 1)
    lines.discard(C, 1)
    lines.discard(X, 1)
    assert [lines.next() for _ in range(3)] == [2, 3, None]


@given(st.lists(st.tuples(st.sampled_from([A, B, C, X, Y]), st.booleans()), max_size=80))
def test_nobody_is_passed_over_twice_by_the_same_one(steps: list[tuple[Key, bool]]) -> None:
    """Between two turns of one line every other one of its kind that waited had one."""
    lines: TurnQueues[int] = TurnQueues()
    waiting: dict[int, Key] = {}
    since: dict[Key, list[Key]] = {}  # of who waits: whose turns came meanwhile
    for number, (key, serve) in enumerate(steps):
        if key not in waiting.values():
            since[key] = []
        lines.add(key, number)
        waiting[number] = key
        if serve:
            served = lines.next()
            assert served is not None
            owner = waiting.pop(served)
            for other in set(waiting.values()) - {owner}:
                if other[0] == owner[0]:
                    assert owner not in since[other]
                since[other].append(owner)
            since[owner] = []


def test_what_several_ask_has_a_place_in_the_line_of_each() -> None:
    shared, told = SharedAsker(A), list[Key]()
    shared.join(A)
    shared.join(B)
    assert shared.keys == [A, B]
    shared.waits(told.append)
    shared.join(B)
    shared.join(SharedAsker(C))
    shared.waits(None)
    shared.join(X)
    assert (told, shared.keys) == ([C], [A, B, C, X])


def test_one_of_each_key_in_a_round_and_within_a_key_in_order() -> None:
    rounds: RoundRobinQueues[object] = RoundRobinQueues()
    for key, one in (("mallory", 1), ("mallory", 2), ("mallory", 3), ("alice", 4), ("bob", 5)):
        rounds.add(key, one)
    assert rounds.round(8) == [("mallory", 1), ("alice", 4), ("bob", 5)]
    assert rounds.round(8) == [("mallory", 2)]
    assert (rounds.round(8), rounds.round(8), len(rounds)) == ([("mallory", 3)], [], 0)


def test_a_line_that_was_served_stands_behind_all_others() -> None:
    rounds: RoundRobinQueues[object] = RoundRobinQueues()
    for n in range(3):
        for key in ("a", "b", "c"):
            rounds.add(key, n)
    assert [key for _ in range(4) for key, _ in rounds.round(2)] == ["a", "b", "c", "a", "b", "c", "a", "b"]
