"""When do health checks take an endpoint out, and put it back?"""

from __future__ import annotations

import pytest

from bastion.balance.health import Health, is_success, observe


@pytest.mark.parametrize(
    ("checks", "ill"),
    [
        ("", False),
        ("--", False),
        ("---", True),
        ("--+--", False),
        ("---+", True),
        ("---++", False),
        ("---+-+", True),
        ("---++--", False),
        ("---++---", True),
    ],
)
def test_three_failures_take_it_out_and_two_successes_put_it_back(checks: str, ill: bool) -> None:
    health = Health()
    for check in checks:
        health = observe(health, well=check == "+")
    assert health.ill is ill


def test_what_is_a_success() -> None:
    assert [is_success(status) for status in (199, 200, 302, 399, 400, 503)] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
