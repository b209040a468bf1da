"""· Which trace does a request belong to (W3C Trace Context), and what is its backend told of it?"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from bastion.http.fields import Field, values

PARENT, STATE = b"traceparent", b"tracestate"
LONGEST_STATE = 512  # bytes; W3C 3.3.1.5 asks for no more
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(rb"[\x20-\x7e]*")
_SAMPLED = 1


class Trace(msgspec.Struct, kw_only=True):
    """Of one exchange: `span` is its own, `upstream` the one that its backend continues, `parent` 0 for none.

    `stages` are names with their begin and end, by the record's clock; `began` in nanoseconds of the
    epoch.
    """

    trace: int
    span: int
    upstream: int
    parent: int
    sampled: bool
    state: bytes
    began: int
    stages: list[tuple[str, float, float]] = msgspec.field(default_factory=list)

    def lines(self) -> bytes:
        """For the backend."""
        parent = b"traceparent: 00-%032x-%016x-%02x\r\n" % (self.trace, self.upstream, self.sampled)
        return parent + (b"tracestate: %b\r\n" % self.state if self.state else b"")


def begin(
    fields: list[Field], *, trusted: bool, ratio: float, random_bytes: Callable[[int], bytes], began: int
) -> Trace:
    """`trusted`: what the request says of its trace counts.  `ratio` of the others are sampled."""
    parent = _parent(fields) if trusted else None
    span, upstream = _identifier(random_bytes, 8), _identifier(random_bytes, 8)
    if parent is None:
        trace = _identifier(random_bytes, 16)
        # as OpenTelemetry's TraceIdRatioBased: all who see the trace decide alike
        sampled = trace & (2**64 - 1) < ratio * 2**64
        return Trace(
            trace=trace, span=span, upstream=upstream, parent=0, sampled=sampled, state=b"", began=began
        )
    trace, above, sampled = parent
    return Trace(
        trace=trace,
        span=span,
        upstream=upstream,
        parent=above,
        sampled=sampled,
        state=_state(fields),
        began=began,
    )


def _parent(fields: list[Field]) -> tuple[int, int, bool] | None:
    """None where it is not there, or is to be ignored (3.2.2)."""
    said = values(fields, PARENT)
    found = _PARENT.fullmatch(said[0]) if len(said) == 1 else None
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    return (trace, span, bool(int(found[4], 16) & _SAMPLED)) if trace and span else None


def _state(fields: list[Field]) -> bytes:
    said = b",".join(values(fields, STATE))
    return said if len(said) <= LONGEST_STATE and _STATE.fullmatch(said) else b""


def _identifier(random_bytes: Callable[[int], bytes], count: int) -> int:
    return int.from_bytes(random_bytes(count)) or 1
