"""An API server's state, as its probes go."""

from __future__ import annotations

import pytest

from bastion.balance.readiness import Health, Outcome, State, doubted, observe

WELL, UNWELL, STRANGE = Outcome.WELL, Outcome.UNWELL, Outcome.STRANGE
SILENT, REFUSED, UNTRUSTED = Outcome.SILENT, Outcome.REFUSED, Outcome.UNTRUSTED


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([WELL], State.READY),  # of a server that was there before us
        ([STRANGE], State.STARTING),
        ([STRANGE, WELL], State.STARTING),
        ([STRANGE, WELL, WELL], State.READY),
        ([STRANGE, WELL, STRANGE, WELL], State.STARTING),
        ([WELL, UNWELL], State.DRAINING),
        ([WELL, UNWELL, WELL], State.READY),
        ([WELL, UNWELL, REFUSED, STRANGE, WELL], State.STARTING),
        ([WELL, STRANGE], State.STARTING),  # another process answers: what it forbids may be false
        ([WELL, SILENT], State.READY),
        ([WELL, SILENT, WELL, SILENT], State.READY),
        ([WELL, SILENT, SILENT], State.DEAD),
        ([WELL, UNWELL, SILENT], State.DRAINING),
        ([WELL, REFUSED], State.DEAD),
        ([WELL, REFUSED, WELL], State.STARTING),
        ([WELL, REFUSED, WELL, WELL], State.READY),
        ([WELL, REFUSED, UNWELL, UNWELL], State.STARTING),
        ([WELL, REFUSED, WELL, SILENT, WELL], State.STARTING),
        ([SILENT, SILENT], State.DEAD),
        ([WELL, UNTRUSTED], State.IMPOSTOR),
        ([UNTRUSTED, WELL], State.STARTING),
        ([UNTRUSTED, WELL, WELL], State.READY),
    ],
    ids=lambda value: " ".join(one.name for one in value) if isinstance(value, list) else value.name,
)
def test_states(outcomes: list[Outcome], state: State) -> None:
    health = Health()
    for outcome in outcomes:
        health = observe(health, outcome)
    assert health.state is state


def test_a_broken_connection_makes_it_the_second_choice_until_the_next_probe() -> None:
    ready = observe(Health(), WELL)
    assert ready.sure
    assert not doubted(ready).sure
    assert doubted(ready).state is State.READY
    assert observe(doubted(ready), WELL).sure
    assert observe(doubted(ready), SILENT).state is State.DEAD


def test_what_is_away_cannot_be_doubted() -> None:
    away = observe(Health(), REFUSED)
    assert doubted(away) is away
