"""Tells everybody who wants to know that an exchange is over: the access log and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bastion.observe.record import Record


class Sink(Protocol):
    def observe(self, record: Record) -> None: ...


class Observer:
    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def observe(self, record: Record, code: int, bytes_in: int, bytes_out: int) -> None:
        """`code` is 0 where no answer began; the bytes are those of the bodies."""
        record.code, record.bytes_in, record.bytes_out = code, bytes_in + record.stream_in, bytes_out + record.stream_out
        record.ended()
        for sink in self._sinks:
            sink.observe(record)
