"""Begins the audit of an exchange, and ends it once its record is whole."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.observe.audit.event import Subject
from bastion.observe.audit.eventlog import EventLog
from bastion.observe.audit.trail import AuditTrail
from bastion.observe.record import Record


class Audit:
    """Implements `observe.observer.Sink`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def begin(self, record: Record, uri: bytes, sources: Sequence[str] = ()) -> AuditTrail:
        """`uri` as it came; `sources`: the addresses that it came over."""
        return AuditTrail(self._log, record, uri, sources)

    def holds(self, subject: object) -> bool:
        """Whether what `AuditTrail.subject` said of a request still does, and nothing is waited for."""
        log = self._log
        return log.awaited is None and isinstance(subject, Subject) and subject.policy is log.policy()

    def again(self, record: Record, uri: bytes, subject: object) -> AuditTrail:
        """For a repetition of a request, whose subject holds."""
        assert isinstance(subject, Subject)
        trail = AuditTrail(self._log, record, uri, (), subject)
        self._log.count(subject.verdict.level)
        trail.receive()
        return trail

    def observe(self, record: Record) -> None:
        if record.trail is not None:
            record.trail.complete()

    def lasts(self, record: Record) -> None:
        """Its response has begun long ago."""
