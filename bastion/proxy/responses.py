"""As which bytes does the client of a remembered request get the response's head?

What comes again is a response's head: byte for byte for as long as its Date says the same second, and later
but for that line, which is put back in.  It is remembered with the plan, so that it is nobody else's.
Another one is read line by line.
"""

from __future__ import annotations

import re

import msgspec

from bastion.message.answers import Policy, RequestContext, present
from bastion.message.mount import Mount
from bastion.network.http1.ordinary import MAX_HEAD, Beginning, Ordinary, OrdinaryReader
from bastion.proxy.exchange import ResponseHead
from bastion.proxy.plan import Plan

MOST = 4  # heads of one plan
LONGEST = 1024  # bytes of one that is kept
# RFC 9110, 5.6.7: as every server should write it
_DATE = re.compile(
    rb"\r\n(Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\r\n)"
)


class Responses:
    def __init__(self, policy: Policy) -> None:
        self._ordinary = OrdinaryReader()
        self._policy = policy

    def read(self, data: bytes, plan: Plan) -> tuple[ResponseHead, bytes] | None:
        """(head, body) of a whole response; None for what is to be read by the parser, or edited."""
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
        known = plan.heads.get(data[:end])
        if known is None and plan.undated:
            known = _later(data[:end], plan)
        if known is not None and len(data) - end == known.length:
            return known, data[end:]
        response = self._ordinary.read(data, plan.asker)
        if response is None:
            return None
        head = self._head(response, plan)
        if head is None:
            return None
        if end <= LONGEST and self._ordinary.may_be_kept(response):
            _keep(data[:end], head, plan)
        return head, response.body

    def _head(self, response: Ordinary, plan: Plan) -> ResponseHead | None:
        """None where it is a page that is edited, or has a URL of the backend's."""
        beginning = response.beginning
        shape = plan.shape
        try:
            lines = beginning.presented[shape]
        except KeyError:
            lines = beginning.presented[shape] = _presented(beginning, plan, self._policy)
        if lines is None:
            return None
        joined = b"".join((lines, *response.passed))
        return ResponseHead(beginning.status, joined, beginning.length, beginning.dated)


def _keep(came: bytes, head: ResponseHead, plan: Plan) -> None:
    if max(len(plan.heads), len(plan.undated)) >= MOST:
        plan.heads.clear()
        plan.undated.clear()
    plan.heads[came] = head
    date = _DATE.search(came)
    if date is not None and head.lines.count(date[1]) == 1:
        plan.undated[_without(came, date)] = msgspec.structs.replace(
            head, lines=head.lines.replace(date[1], _HERE)
        )


def _later(came: bytes, plan: Plan) -> ResponseHead | None:
    """What is known of a head that says another moment."""
    date = _DATE.search(came)
    undated = plan.undated.get(_without(came, date)) if date is not None else None
    if date is None or undated is None:
        return None
    head = msgspec.structs.replace(undated, lines=undated.lines.replace(_HERE, date[1]))
    plan.heads.clear()  # the moments before do not come again
    plan.heads[came] = head
    return head


_HERE = b"\0"  # where a Date was, and in no head


def _without(came: bytes, date: re.Match[bytes]) -> bytes:
    return b"%b%b%b" % (came[: date.start(1)], _HERE, came[date.end(1) :])


class _Edited(Exception):
    """What a response says depends on the URL it was asked for."""


def _presented(beginning: Beginning, plan: Plan, policy: Policy) -> bytes | None:
    """The lines that some rule reads."""

    def mount() -> Mount:
        raise _Edited

    envelope = plan.envelope
    asked = RequestContext(plan.method, [], bool(envelope.forwarded.prefix), envelope.ambient)
    if not beginning.reason:
        return None  # the server's own words are written for it
    try:
        client = present(asked, beginning.status, list(beginning.fields), beginning.length, mount, policy)
    except _Edited:
        return None
    lines = [b"%b: %b\r\n" % (name, value) for _, name, value in client.fields]
    return b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n" % (
        beginning.status,
        beginning.reason,
        b"".join(lines),
        beginning.length,
    )
