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
    """What stands between id, time of receipt, time of the stage and, at the end, the bytes sent.

    `count` events are written: the first four pieces are ResponseStarted's, with a line end behind it, and
    the others ResponseComplete's; each may be all that there is.
    """

    pieces: tuple[bytes, ...]
    count: int


def template(subject: Subject, code: int, endpoint: str, pod: str) -> Template:
    """For responses without a body of the request, from a backend."""
    status = code_json(code)
    started = response_event(subject, _GAP, STARTED.encode(), status, (_GAP, _GAP))
    own = b"%b,%b" % (place_json(endpoint, pod), bytes_json(0, SENT).replace(b"%d" % SENT, _GAP))
    complete = response_event(subject, _GAP, COMPLETE.encode(), status, (_GAP, _GAP), own)
    verdict = subject.verdict
    if verdict.started and verdict.complete:
        first, second = started.split(_GAP), complete.split(_GAP)
        # the end of the first and the beginning of the second have no gap between them
        return Template((*first[:-1], b"%b\n%b" % (first[-1], second[0]), *second[1:]), 2)
    one = started if verdict.started else complete if verdict.complete else b""
    return Template(tuple(one.split(_GAP)) if one else (), int(bool(one)))


def filled(of: Template, audit_id: bytes, received: bytes, now: bytes, sent: int) -> bytes:
    """The events, in their order, with a line end between them."""
    match of.pieces:
        case (a, b, c, d, e, f, g, h):
            return b"".join(
                (a, audit_id, b, received, c, now, d, audit_id, e, received, f, now, g, b"%d" % sent, h)
            )
        case (a, b, c, d, e):
            return b"".join((a, audit_id, b, received, c, now, d, b"%d" % sent, e))
        case (a, b, c, d):
            return b"".join((a, audit_id, b, received, c, now, d))
    return b""
