"""Does everybody get a turn, however many things one of them waits with?"""

from __future__ import annotations

from typing import Any

from bastion.runtime.rounds import Rounds


def test_one_of_each_key_in_a_round_and_within_a_key_in_order() -> None:
    rounds: Rounds[Any] = Rounds()
    for key, one in (("mallory", 1), ("mallory", 2), ("mallory", 3), ("alice", 4), ("bob", 5)):
        rounds.wait(key, one)
    assert rounds.next(8) == [("mallory", 1), ("alice", 4), ("bob", 5)]
    assert rounds.next(8) == [("mallory", 2)]
    assert (rounds.next(8), rounds.next(8), len(rounds)) == ([("mallory", 3)], [], 0)


def test_whoever_was_served_stands_behind_all_others() -> None:
    rounds: Rounds[Any] = Rounds()
    for n in range(3):
        for key in ("a", "b", "c"):
            rounds.wait(key, n)
    assert [key for _ in range(4) for key, _ in rounds.next(2)] == ["a", "b", "c", "a", "b", "c", "a", "b"]
