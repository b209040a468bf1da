"""Tells the access log and the metrics that an exchange has ended, or has become a long one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bastion.observe.record import Record


class Sink(Protocol):
    def observe(self, record: Record) -> None:
        """The exchange has ended."""
        ...

    def lasts(self, record: Record) -> None:
        """The exchange has become a long one, and goes on."""
        ...


class Observer:
    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

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
