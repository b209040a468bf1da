"""The audit id of a request, in its response and in the log.

Ours have a form that is not accepted from clients.
"""

from __future__ import annotations

import uuid

_DASHES = slice(8, 24, 5)


def new_audit_id() -> str:
    """A UUID of version 8 (RFC 9562, 5.8): no generator makes it by default."""
    text = str(uuid.uuid4())
    return f"{text[:14]}8{text[15:]}"


def is_ours(audit_id: str) -> bool:
    """Whether it has the form of ours, in upper or lower case."""
    return len(audit_id) == 36 and audit_id[14] == "8" and audit_id[_DASHES] == "----"


class AuditIds:
    """Random for this process, then counted, so that making one costs next to nothing."""

    def __init__(self) -> None:
        text = new_audit_id()
        self._prefix = text[:24]
        self._count = int(text[24:], 16)

    def __call__(self) -> str:
        self._count = (self._count + 1) & 0xFFFFFFFFFFFF
        return f"{self._prefix}{self._count:012x}"
