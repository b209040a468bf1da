"""Tells the access log and the metrics that an exchange has ended, or has become a long one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from bastion.http.fields import Field
from bastion.message.tracecontext import Trace
from bastion.observe.audit.auditor import Audit
from bastion.observe.record import Record, Trail


class Sink(Protocol):
    def observe(self, record: Record) -> None:
        """The exchange has ended."""
        ...

    def lasts(self, record: Record) -> None:
        """The exchange has become a long one, and goes on."""
        ...


class Asked(Protocol):
    """An exchange: who answers it tells `trail` of the response."""

    target: bytes
    client: str
    trail: Trail | None

    @property
    def fields(self) -> list[Field]: ...


Traces = Callable[[Asked], Trace]


class Observer:
    """`audit` is one of the sinks, None where nothing is audited; `traces` begins an exchange's trace, None
    where nothing is traced.
    """

    def __init__(
        self, sinks: Sequence[Sink], audit: Audit | None = None, traces: Traces | None = None
    ) -> None:
        self._sinks = (*sinks, audit) if audit is not None else tuple(sinks)
        self.audit = audit
        self._traces = traces

    def begin(
        self,
        record: Record,
        exchange: Asked,
        sources: Sequence[str] = (),
        *,
        secret_query: bool = False,
    ) -> None:
        """Before anything is decided about it.

        `sources`: the addresses that it came over, where these are more than the record's client.
        `secret_query`: what the query holds is not for the log.
        """
        if self._traces is not None:
            record.trace = self._traces(exchange)
        if self.audit is not None:
            uri = exchange.target.partition(b"?")[0] if secret_query else exchange.target
            record.trail = exchange.trail = self.audit.begin(record, uri, sources)

    def observe(self, record: Record, code: int, bytes_in: int, bytes_out: int) -> None:
        """`code` is 0 where no response began; the bytes are those of the bodies."""
        record.measure(code, bytes_in, bytes_out)
        for sink in self._sinks:
            sink.observe(record)

    def lasts(self, record: Record, code: int, bytes_in: int, bytes_out: int) -> None:
        """As `observe`, for an exchange that has become a long one and ends later."""
        record.measure(code, bytes_in, bytes_out)
        for sink in self._sinks:
            sink.lasts(record)
