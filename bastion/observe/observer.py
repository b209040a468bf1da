"""Tells everybody who wants to know that an exchange is over, or lasts long: the access log and the
metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bastion.observe.record import Record


class Sink(Protocol):
    def observe(self, record: Record) -> None:
        """It is over."""
        ...

    def lasts(self, record: Record) -> None:
        """It is a long one, and goes on."""
        ...


class Observer:
    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def observe(self, record: Record, code: int, bytes_in: int, bytes_out: int) -> None:
        """`code` is 0 where no answer began; the bytes are those of the bodies."""
        _so_far(record, code, bytes_in, bytes_out)
        for sink in self._sinks:
            sink.observe(record)

    def lasts(self, record: Record, code: int, bytes_in: int, bytes_out: int) -> None:
        """As `observe`, of one that has become long; it ends later."""
        _so_far(record, code, bytes_in, bytes_out)
        for sink in self._sinks:
            sink.lasts(record)


def _so_far(record: Record, code: int, bytes_in: int, bytes_out: int) -> None:
    record.code, record.bytes_in, record.bytes_out = (
        code,
        bytes_in + record.stream_in,
        bytes_out + record.stream_out,
    )
    record.ended()
