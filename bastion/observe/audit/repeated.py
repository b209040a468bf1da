"""· The events of requests that repeat: all but ids and times is encoded once for all of them.

Two events of a kilobyte each are written of most requests; put together from these pieces they cost about as
much as the line of the access log.
"""

from __future__ import annotations

import msgspec

from bastion.observe.audit.event import Subject, bytes_json, code_json, place_json, response_event
from bastion.observe.audit.policy import COMPLETE, STARTED

# A control character is escaped in JSON, so none is in what stands around it.
_GAP = b"\0"
SENT = 987654321987654321  # bytes; a number that stands for the gap in front of it is taken out


class Template(msgspec.Struct, frozen=True, gc=False):
    """What stands between id, time of receipt, time of the stage and, at the end, the bytes sent; empty where
    the event is not written.
    """

    started: tuple[bytes, ...]
    complete: tuple[bytes, ...]


def template(subject: Subject, code: int, endpoint: str, pod: str) -> Template:
    """For responses without a body of the request, from a backend."""
    status = code_json(code)
    started = response_event(subject, _GAP, STARTED.encode(), status, (_GAP, _GAP))
    own = b"%b,%b" % (place_json(endpoint, pod), bytes_json(0, SENT).replace(b"%d" % SENT, _GAP))
    complete = response_event(subject, _GAP, COMPLETE.encode(), status, (_GAP, _GAP), own)
    verdict = subject.verdict
    return Template(
        tuple(started.split(_GAP)) if verdict.started else (),
        tuple(complete.split(_GAP)) if verdict.complete else (),
    )


def filled(of: Template, audit_id: bytes, received: bytes, now: bytes, sent: int) -> tuple[bytes, ...]:
    """The events, in their order."""
    events: tuple[bytes, ...] = ()
    if of.complete:
        begin, middle, then, own, end = of.complete
        events = (b"".join((begin, audit_id, middle, received, then, now, own, b"%d" % sent, end)),)
    if of.started:
        begin, middle, then, end = of.started
        events = (b"".join((begin, audit_id, middle, received, then, now, end)), *events)
    return events
