"""Is a response an ordinary one, whose every line is known to say nothing that needs a parser?

A whole response in one piece: HTTP/1.1, one Content-Length and exactly so many bytes behind the head, nothing
about the connection but that it is kept.  That is what most are.  This is a second reader beside llhttp, and
two readers may differ: so it takes a strict subset of what that one takes, and leaves everything else to it
from the first byte.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

import msgspec

from bastion.http.fields import Field, field_of
from bastion.message.lines import LineTable, response_lines
from bastion.network.http1.response import framing
from bastion.runtime.remembered import FairTable

MAX_HEAD = 16384  # bytes
MAX_FIELDS = 100
MOST = 1024  # beginnings that are known
# The reason's characters: RFC 9112, 4.
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) ([\t -~\x80-\xff]*)")
_BODILESS = (204, 304)
# Of the fields that some rule reads, those that the connection is not meant by.
_ORDINARY = frozenset(
    (b"content-length", b"content-type", b"cache-control", b"x-content-type-options", b"date", b"connection")
)


class Beginning(msgspec.Struct, frozen=True, eq=False):
    """What the status line and the lines that decide say.  `length` of the body, in bytes.

    `presented`: as which bytes a client gets it, by what that depends on beside.  `dated`: one of them is
    Date.
    """

    status: int
    reason: bytes
    fields: tuple[Field, ...]
    length: int
    dated: bool
    presented: dict[int, bytes | None] = msgspec.field(default_factory=dict)


class Ordinary(msgspec.Struct, frozen=True, gc=False):
    """`passed` are the lines that no rule reads, as the client gets them; `lines` all of the head's."""

    beginning: Beginning
    passed: list[bytes]
    body: bytes
    lines: list[bytes]


class OrdinaryReader:
    """Not for a request with HEAD: its response has no body whatever it says."""

    def __init__(self, lines: LineTable | None = None) -> None:
        """`lines`: what becomes of one."""
        self._lines = lines if lines is not None else response_lines(field_of)
        self._beginnings: FairTable[tuple[bytes, ...], Beginning] = FairTable(MOST)

    def read(self, data: bytes, owner: Hashable, noted: list[Field] | None = None) -> Ordinary | None:
        """None for what is to be read by the parser.  `owner`: in whose share new lines are kept; `noted` as
        in `LineTable.sort`.
        """
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            return None
        status_line, *lines = data[:end].split(b"\r\n")
        if len(lines) > MAX_FIELDS:
            return None
        try:
            passed, deciding = self._lines.sort(lines, owner, noted)
            key = (status_line, *deciding)
            beginning = self._beginnings.get(key)
            if beginning is None:
                beginning = _beginning(status_line, [field_of(line) for line in deciding])
                if beginning is None:
                    return None
                self._beginnings.put(key, beginning, owner)
        except ValueError:
            return None
        if len(data) - end - 4 != beginning.length:
            return None
        return Ordinary(beginning, passed, data[end + 4 :], lines)

    def may_be_kept(self, response: Ordinary) -> bool:
        """Whether its head may be remembered: no line of it may carry a secret."""
        return self._lines.may_be_kept(response.lines)


def _beginning(status_line: bytes, fields: list[Field]) -> Beginning | None:
    """None where it is none of an ordinary response."""
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None or (status := int(match[1])) in _BODILESS:
        return None
    names = [lower for lower, _, _ in fields]
    if not _ORDINARY.issuperset(names) or names.count(b"content-length") != 1:
        return None
    if any(lower == b"connection" and value.lower() != b"keep-alive" for lower, _, value in fields):
        return None
    try:
        length, _ = framing(fields)
    except ValueError:
        return None
    if length is None:
        return None
    return Beginning(status, match[2], tuple(fields), length, b"date" in names)
