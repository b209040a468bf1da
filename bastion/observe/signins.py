"""Outcomes of signing in: counted, and a line for each failure; never what was typed.

Implements `observe.observer.Sink` for the exchanges of the pages that people sign in and out with.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

from bastion.observe.families import Family, counter
from bastion.observe.record import Record


class Outcome(enum.StrEnum):
    """As in the access log and the metric."""

    SIGNED_IN = "signed-in"
    SIGNED_OUT = "signed-out"
    HANDED_OFF = "handed-off"  # signed in at an application's host
    NOT_ACCEPTED = "not-accepted"
    TOO_MANY_FAILURES = "too-many-failures"
    UNAVAILABLE = "unavailable"
    UNUSABLE = "unusable"
    CROSS_SITE = "cross-site"
    HAND_OFF_REFUSED = "hand-off-refused"
    NOT_BEGUN_HERE = "not-begun-here"
    PROVIDER_REFUSED = "provider-refused"
    ENDED_BY_PROVIDER = "ended-by-provider"  # back-channel logout


FAILURES: dict[str, str] = {
    Outcome.NOT_ACCEPTED: "the cluster does not accept the token",
    Outcome.TOO_MANY_FAILURES: "too many attempts from that address failed",
    Outcome.UNAVAILABLE: "the token could not be reviewed",
    Outcome.UNUSABLE: "there was no form with a token that can be used",
    Outcome.CROSS_SITE: "another site's page sent the form",
    Outcome.HAND_OFF_REFUSED: "the code is used up or too old, or began in another browser",
    Outcome.NOT_BEGUN_HERE: "no such sign-in is under way in that browser",
    Outcome.PROVIDER_REFUSED: "the provider said no, or what it sent is not believed",
}

LINES_PER_SECOND = 10  # so that failures cannot fill the log

_log = logging.getLogger("bastion.signin")


class SignIns:
    """`clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # there from the start: a rate needs a value before the first
        self._counts = dict.fromkeys(map(str, Outcome), 0)
        self._second = 0.0
        self._said = self._unsaid = 0

    def observe(self, record: Record) -> None:
        if record.outcome in self._counts:
            self._counts[record.outcome] += 1
        if record.outcome in FAILURES:
            self._say(record)

    def families(self) -> list[Family]:
        counts = {(outcome,): float(count) for outcome, count in self._counts.items()}
        return [counter("bastion_sign_ins", "What came of signing in and out.", ("outcome",), counts)]

    def lasts(self, record: Record) -> None:
        """None does."""

    def _say(self, record: Record) -> None:
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._said = now, 0
        if self._said >= LINES_PER_SECOND:
            self._unsaid += 1
            return
        self._said += 1
        more, self._unsaid = f", and {self._unsaid} more failed before it" if self._unsaid else "", 0
        _log.warning(
            "a sign-in from %s failed: %s (audit id %s)%s",
            record.client,
            FAILURES[record.outcome],
            record.audit_id,
            more,
        )
