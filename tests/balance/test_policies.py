"""Which endpoint is next?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.balance.group import Slot
from bastion.balance.policies import ALL, by_chance, least_requests, rank, round_robin
from bastion.kube.endpoint import Endpoint


def slots(*active: int) -> list[Slot]:
    found = []
    for number, count in enumerate(active):
        slot = Slot(Endpoint(f"10.0.0.{number}", 80))
        slot.active = count
        found.append(slot)
    return found


def zero(below: int) -> int:
    return 0


@pytest.mark.parametrize(
    ("active", "turn", "chosen"),
    [
        ((0, 0, 0), 0, 0),
        ((0, 0, 0), 1, 1),
        ((0, 0, 0), 5, 2),
        ((1, 0, 0), 0, 1),
        ((1, 0, 0), 2, 2),
        ((3, 2, 4), 0, 1),
        ((2, 2, 3), 0, 0),
        ((2, 2, 3), 1, 1),
        ((7,), 9, 0),
    ],
)
def test_the_fewest_requests_and_ties_in_turn(active: tuple[int, ...], turn: int, chosen: int) -> None:
    some = slots(*active)
    assert least_requests(some, turn, zero) is some[chosen]


def test_up_to_sixteen_are_all_compared_and_of_more_two() -> None:
    some = slots(*[1] * (ALL - 1), 0)
    assert least_requests(some, 0, zero) is some[-1]
    many = slots(*[1] * ALL, 0)
    asked: list[int] = []

    def chance(below: int) -> int:
        asked.append(below)
        return (3, ALL)[len(asked) - 1]

    assert least_requests(many, 0, chance) is many[ALL]
    assert asked == [ALL + 1, ALL + 1]


@given(st.integers(1, 30), st.integers(1, 5))
def test_in_turn_each_is_chosen_equally_often(count: int, rounds: int) -> None:
    some = slots(*[0] * count)
    chosen = Counter(id(round_robin(some, turn, zero)) for turn in range(rounds * count))
    assert sorted(chosen.values()) == [rounds] * count


def test_by_chance() -> None:
    some = slots(9, 0, 0)
    assert by_chance(some, 0, zero) is some[0]
    assert by_chance(some, 0, lambda below: below - 1) is some[2]


def home(client: str, endpoints: Sequence[str]) -> str:
    return max(endpoints, key=lambda endpoint: rank(client, endpoint))


def test_where_an_endpoint_goes_only_its_own_clients_move_each_to_one_other() -> None:
    endpoints = [f"10.0.0.{number}:80" for number in range(5)]
    clients = [f"192.0.2.{number}" for number in range(250)]
    before = {client: home(client, endpoints) for client in clients}
    after = {client: home(client, endpoints[1:]) for client in clients}
    assert {client for client in clients if before[client] != after[client]} == {
        client for client in clients if before[client] == endpoints[0]
    }
    parts = Counter(before.values())
    assert min(parts.values()) > 25
    assert len({after[client] for client in clients if before[client] == endpoints[0]}) == 4
