"""May another client connect?"""

from __future__ import annotations

import pytest

from bastion.server.door import RESERVED, Door


def door(descriptors: int = RESERVED + 4000, per_address: int = 0) -> Door:
    return Door(descriptors, per_address, lambda address: address == "trusted")


@pytest.mark.parametrize(
    ("descriptors", "total"), [(RESERVED + 4000, 2000), (1024, 448), (RESERVED, 16), (0, 16)]
)
def test_the_total_leaves_room_for_as_many_backends(descriptors: int, total: int) -> None:
    assert door(descriptors).total == total


def test_an_address_has_its_limit_and_others_and_trusted_ones_do_not_count() -> None:
    some = door(per_address=2)
    assert [some.enter("a") for _ in range(3)] == [True, True, False]
    assert some.enter("b")
    assert all(some.enter("trusted") for _ in range(9))
    assert (some.inside, some.turned_away) == (12, 1)
    some.leave("a")
    assert some.enter("a")
    some.leave("trusted")
    assert some.inside == 11


def test_an_ipv6_client_is_its_64() -> None:
    some = door(per_address=2)
    assert [some.enter(f"2001:db8:0:1::{n}") for n in range(3)] == [True, True, False]
    assert some.enter("2001:db8:0:2::1")
    some.leave("2001:db8:0:1::1")
    assert some.enter("2001:db8:0:1:ffff::")


def test_with_few_descriptors_nobody_fills_it_alone() -> None:
    some = door(RESERVED + 40, per_address=512)
    assert [some.enter("a") for _ in range(11)] == [True] * 10 + [False]
    assert [some.enter("b") for _ in range(8)] == [True] * 6 + [False] * 2
    assert some.enter("c")
    assert not some.full


def test_it_is_crowded_before_it_is_full() -> None:
    some = door(RESERVED + 40)
    seen = []
    for _ in range(20):
        seen.append((some.is_crowded(), some.full))
        some.enter("a")
    assert seen == [(False, False)] * 18 + [(True, False)] * 2
    assert some.is_crowded() and some.full
