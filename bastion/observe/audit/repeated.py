"""The events of requests that repeat: all but ids and times is encoded once for all of them.

Two events of a kilobyte each are written of most requests.  Many are put together at once, in one loop: one
by one, between all else that a request needs, they cost three times as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from bastion.observe.audit.event import Subject, bytes_json, code_json, json_text, place_json, response_event
from bastion.observe.audit.policy import COMPLETE, STARTED
from bastion.observe.moments import micro_time, second_bytes

# A control character is escaped in JSON, so none is in what stands around it.
_GAP = b"\0"
SENT = 987654321987654321  # bytes; a number that stands for the gap in front of it is taken out


class Template(msgspec.Struct, eq=False, gc=False):
    """What stands between id, time of receipt, time of the stage and, at the end, the bytes sent; the last
    piece ends the line.

    `level` is that of the policy.  `count` events are written: the first four pieces are ResponseStarted's,
    and the others ResponseComplete's; each may be all that there is.
    """

    level: str
    pieces: tuple[bytes, ...]
    count: int


class Ended(Protocol):
    """The record of one request: `started` by the clock of records, `seconds` from there to its end,
    `bytes_out` of its response's body.
    """

    audit_id: str
    started: float
    seconds: float
    bytes_out: int


def template(subject: Subject, code: int, endpoint: str, pod: str) -> Template:
    """For responses without a body of the request, from a backend."""
    status = code_json(code)
    started = response_event(subject, _GAP, STARTED.encode(), status, (_GAP, _GAP)) + b"\n"
    own = bytes_json(0, SENT).replace(b"%d" % SENT, _GAP)
    if place := place_json(endpoint, pod):
        own = b"%b,%b" % (place, own)
    complete = response_event(subject, _GAP, COMPLETE.encode(), status, (_GAP, _GAP), own) + b"\n"
    verdict = subject.verdict
    if verdict.started and verdict.complete:
        first, second = started.split(_GAP), complete.split(_GAP)
        # the end of the first and the beginning of the second have no gap between them
        return Template(verdict.level, (*first[:-1], first[-1] + second[0], *second[1:]), 2)
    one = started if verdict.started else complete if verdict.complete else b""
    return Template(verdict.level, tuple(one.split(_GAP)) if one else (), int(bool(one)))


def filled(ended: Iterable[tuple[Template, Ended]], zero: float) -> bytes:
    """Their events, with line ends between them.

    `zero`: the moment from which the clock of records counts, in seconds of the epoch.
    """
    pieces: list[bytes] = []
    known, text = -1, b""
    for template, one in ended:
        name = json_text(one.audit_id)
        second, rest = divmod(int((zero + one.started) * 1000000 + 0.5), 1000000)
        if second != known:
            known, text = second, second_bytes(second)
        received = now = b"%b.%06dZ" % (text, rest)
        end = rest + int(one.seconds * 1000000)
        if end != rest:
            now = b"%b.%06dZ" % (text, end) if end < 1000000 else micro_time(second + end / 1000000)
        match template.pieces:
            case (a, b, c, d, e, f, g, h):
                sent = b"%d" % one.bytes_out
                pieces += (a, name, b, received, c, now, d, name, e, received, f, now, g, sent, h)
            case (a, b, c, d, e):
                pieces += (a, name, b, received, c, now, d, b"%d" % one.bytes_out, e)
            case (a, b, c, d):
                pieces += (a, name, b, received, c, now, d)
    if pieces:
        pieces[-1] = pieces[-1][:-1]
    return b"".join(pieces)
