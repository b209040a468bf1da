"""Begins the audit of an exchange, and ends it once its record is whole."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from bastion.observe.audit.eventlog import EventLog
from bastion.observe.audit.repeated import Template, filled, template
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
        self._gathered: list[tuple[Template, Record]] = []  # repetitions
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
        received = micro_time(self._zero_of(record) + record.started)
        record.trail = trail = AuditTrail(self._log, record, uri, subject=subject, received=received)
        self._log.count(subject.verdict.level)
        trail.receive()
        return trail

    def observe(self, record: Record) -> None:
        repeated = record.repeated
        if record.trail is not None:
            record.trail.complete()
        elif repeated is not None and repeated.audited is not None:
            if record.outcome or record.tried > 1:
                self._alone(record)
                return
            key = (record.code, record.endpoint)
            self._gathered.append((repeated.events.get(key) or self._added(repeated, key), record))
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
        events = 0
        for made, times in Counter(made for made, _ in gathered).items():
            self._log.count(made.level, times)
            events += made.count * times
        if events:
            self._log.emit(filled(gathered, self._zero_of(gathered[-1][1])), events)

    def _zero_of(self, record: Record) -> float:
        """The moment from which the clock of records counts, in seconds of the epoch."""
        if record.started > self._looked + LOOK_SECONDS:
            self._looked = time.perf_counter()
            self._zero = self._log.wall() - self._looked
        return self._zero

    def _added(self, repeated: Repeated, key: tuple[int, str]) -> Template:
        if len(repeated.events) >= MOST_KEPT:
            repeated.events.clear()
        code, endpoint = key
        assert repeated.audited is not None
        made = template(repeated.audited, code, endpoint, self._log.pod_at(endpoint))
        repeated.events[key] = made
        return made

    def _alone(self, record: Record) -> None:
        trail = self.again(record, b"")
        if trail is not None:
            trail.complete()

    def lasts(self, record: Record) -> None:
        """Its response has begun long ago."""
