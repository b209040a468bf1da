"""Begins the audit of an exchange, and ends it once its record is whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bastion.observe.audit.event import Subject
from bastion.observe.audit.eventlog import EventLog
from bastion.observe.audit.repeated import Repetition, Template, filled, template
from bastion.observe.audit.trail import AuditTrail
from bastion.observe.moments import micro_time
from bastion.observe.record import MOST_KEPT, Record, Repeated

GATHERED, GATHER_SECONDS = 64, 0.1  # repetitions, and for how long
LOOK_SECONDS = 1.0  # between looks at the clock of the machine, which may be set


class Audit:
    """Implements `observe.observer.Sink`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._looked = float("-inf")
        self._zero = 0.0
        self._gathered: list[Record] = []  # repetitions
        self._most = GATHERED if log.gathers else 1
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, record: Record, uri: bytes, sources: Sequence[str] = ()) -> AuditTrail:
        """`uri` as it came; `sources`: the addresses that it came over."""
        return AuditTrail(self._log, record, uri, sources=sources)

    # --- requests that repeat

    def announces(self, record: Record) -> bool:
        """Whether such a request has an event before its response."""
        repeated = record.repeated
        return repeated is not None and repeated.audited is not None and repeated.audited.verdict.received

    def again(self, record: Record, uri: bytes) -> AuditTrail | None:
        """For a repetition, from where it is more than that."""
        if record.repeated is None or record.repeated.audited is None:
            return None
        subject = record.repeated.audited
        received = micro_time(self._since(record) + record.started)
        record.trail = trail = AuditTrail(self._log, record, uri, subject=subject, received=received)
        self._log.count(subject.verdict.level)
        trail.receive()
        return trail

    def observe(self, record: Record) -> None:
        if record.trail is not None:
            record.trail.complete()
        elif (repeated := record.repeated) is not None and repeated.audited is not None:
            if record.outcome:
                self._cut_short(record)
            else:
                self._gathered.append(record)
                if len(self._gathered) >= self._most:
                    self.flush()
                elif self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what is gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        repetitions = [one for record in gathered if (one := self._repetition(record)) is not None]
        if repetitions:
            self._log.emit(filled(repetitions)[:-1], sum(one.template.count for one in repetitions))

    def _repetition(self, record: Record) -> Repetition | None:
        """None where the policy wants nothing of it."""
        repeated = record.repeated
        if repeated is None or repeated.audited is None:
            return None
        key, subject = (record.code, record.endpoint), repeated.audited
        self._log.count(subject.verdict.level)
        template = repeated.events.get(key) or self._added(repeated, subject, key)
        if not template.count:
            return None
        at = self._since(record) + record.started
        return Repetition(template, record.audit_id, at, record.seconds, record.bytes_out)

    def _since(self, record: Record) -> float:
        """The moment from which the clock of records counts, in seconds of the epoch."""
        if record.started > self._looked + LOOK_SECONDS:
            self._looked = time.perf_counter()
            self._zero = self._log.wall() - self._looked
        return self._zero

    def _added(self, repeated: Repeated, subject: Subject, key: tuple[int, str]) -> Template:
        if len(repeated.events) >= MOST_KEPT:
            repeated.events.clear()
        code, endpoint = key
        made = repeated.events[key] = template(subject, code, endpoint, self._log.pod_at(endpoint))
        return made

    def _cut_short(self, record: Record) -> None:
        trail = self.again(record, b"")
        if trail is not None:
            trail.complete()

    def lasts(self, record: Record) -> None:
        """Its response has begun long ago."""
