"""Events that are larger than their destination takes: they lose their bodies, or are dropped and counted.

Source: apiserver `plugin/pkg/audit/truncate`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bastion.observe.audit.counts import TRUNCATE, AuditCounts
from bastion.observe.audit.eventlog import Outlet

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Truncated:
    """In front of another outlet; `largest` in bytes of an event."""

    def __init__(self, outlet: Outlet, largest: int, counts: AuditCounts) -> None:
        self._outlet = outlet
        self._largest = largest
        self._counts = counts

    def add(self, events: bytes, count: int) -> bool:
        if len(events) <= self._largest:
            return self._outlet.add(events, count)
        each = events.split(b"\n")
        shorter = [without_bodies(event) if len(event) > self._largest else event for event in each]
        fitting = [event for event in shorter if len(event) <= self._largest]
        self._counts.lost[TRUNCATE] += count - len(fitting)
        taken = self._outlet.add(b"\n".join(fitting), len(fitting)) if fitting else True
        return taken and len(fitting) == count


def without_bodies(event: bytes) -> bytes:
    value: dict[str, Any] = _decode(event)
    value.pop("requestObject", None)
    value.pop("responseObject", None)
    value["annotations"] = {**value.get("annotations", {}), "audit.k8s.io/truncated": "true"}
    return _encode(value)
