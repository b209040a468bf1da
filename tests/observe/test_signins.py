"""Is it recorded that somebody tried to sign in?"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bastion.observe.record import Record
from bastion.observe.signins import FAILURES, LINES_PER_SECOND, Outcome, SignIns


class Clock:
    now = 100.0

    def __call__(self) -> Any:
        return self.now


@pytest.fixture
def clock() -> Any:
    return Clock()


def tried(sign_ins: Any, outcome: Any, client: str = "192.0.2.1") -> None:
    record = Record("POST", b"/login", client, "the-audit-id")
    record.outcome = outcome
    sign_ins.observe(record)


def counts(sign_ins: Any) -> Any:
    (family,) = sign_ins.families()
    return {outcome: count for (outcome,), count in family.samples.items()}


def test_every_outcome_is_there_before_it_happens(clock: Any) -> None:
    assert counts(SignIns(clock)) == dict.fromkeys(map(str, Outcome), 0)


@pytest.mark.parametrize("outcome", Outcome)
def test_it_is_counted_and_a_failure_has_a_line(
    clock: Any, caplog: pytest.LogCaptureFixture, outcome: Any
) -> None:
    sign_ins = SignIns(clock)
    with caplog.at_level(logging.WARNING, "bastion"):
        tried(sign_ins, outcome)
    assert counts(sign_ins)[outcome] == 1
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (outcome in FAILURES)
    assert all("192.0.2.1" in line and "the-audit-id" in line for line in lines)
    assert (outcome in FAILURES) is (
        outcome not in ("signed-in", "signed-out", "handed-off", "ended-by-provider")
    )


@pytest.mark.parametrize("outcome", ["", "client-left"])
def test_what_is_no_attempt_is_not_counted(clock: Any, outcome: Any) -> None:
    sign_ins = SignIns(clock)
    tried(sign_ins, outcome)
    assert not any(counts(sign_ins).values())


def test_nobody_fills_the_log_by_failing(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    sign_ins = SignIns(clock)
    for _ in range(100):
        tried(sign_ins, Outcome.CROSS_SITE)
    assert len(caplog.records) == LINES_PER_SECOND
    clock.now += 1
    tried(sign_ins, Outcome.CROSS_SITE)
    assert f"{100 - LINES_PER_SECOND} more" in caplog.records[-1].getMessage()
    assert counts(sign_ins)["cross-site"] == 101
