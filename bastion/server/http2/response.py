"""· As which fields does a response of ours leave over HTTP/2?

Names in lower case, nothing that is for one connection alone (RFC 9113, 8.2).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from bastion.http.fields import HOP_BY_HOP, Field
from bastion.message.lines import may_carry_a_secret
from bastion.runtime.remembered import FairTable

MOST, LONGEST = 1024, 1024  # heads that are remembered, and bytes of one
STRANGE, ONE_OF = 64, 16  # after so many that had not come before, one of so many is kept

Pair = tuple[bytes, bytes]
# What only asks for a proxy's credentials stays: it is this proxy that asks, and a backend's is gone by now.
_OF_THE_HOP = HOP_BY_HOP - {b"proxy-authenticate"}
# What an upgrade's response says to HTTP/1.1 alone; a key of ours was asked with (RFC 8441, 5).
_OF_UPGRADES = HOP_BY_HOP | {b"sec-websocket-accept"}


def head(status: int, fields: Sequence[Field], date: bytes, audit_id: str) -> list[Pair]:
    """`date` is a whole line, for a response that has none."""
    pairs = [(b":status", b"%d" % status)]
    dated = False
    for lower, name, value in fields:
        lower = lower or name.lower()
        if lower not in _OF_THE_HOP:
            pairs.append((lower, value))
            if lower == b"date":
                dated = True
    if not dated:
        pairs.append(pair_of(date))
    if audit_id:
        pairs.append((b"audit-id", audit_id.encode()))
    return pairs


def interim(status: int, fields: Sequence[Field]) -> list[Pair]:
    return [(b":status", b"%d" % status), *trailers(fields)]


def accepted(fields: Sequence[Field], date: bytes, audit_id: str) -> list[Pair]:
    """Of a WebSocket: HTTP/2 has no 101."""
    return head(200, [field for field in fields if field[0] not in _OF_UPGRADES], date, audit_id)


def trailers(fields: Sequence[Field]) -> list[Pair]:
    return [(lower, value) for lower, _, value in fields if lower not in HOP_BY_HOP]


def pair_of(line: bytes) -> Pair:
    """Of a line with its end."""
    name, _, value = line.partition(b":")
    return name.lower(), value.strip()


class Written:
    """What heads that were written for HTTP/1.1 are as fields: the same few come again and again.

    Shared by all connections of a server.
    """

    def __init__(self) -> None:
        self._heads: FairTable[bytes, tuple[Pair, ...]] = FairTable(MOST)
        self._date = b""  # the line of Date that was there last,
        self._dated: Pair = (b"date", b"")  # and what it is as a field
        self._strange = 0  # heads in a row that had not come before

    def date(self, line: bytes) -> Pair:
        if line is not self._date:
            self._date, self._dated = line, pair_of(line)
        return self._dated

    def pairs(self, lines: bytes, owner: Hashable) -> list[Pair]:
        """`lines`: a status line with further lines, each with its end."""
        known = self._heads.get(lines)
        if known is not None:
            self._strange = 0
            return list(known)
        status, *others = lines.removesuffix(b"\r\n").split(b"\r\n")
        pairs = [(b":status", status[9:12]), *map(pair_of, others)]
        self._strange += 1
        if (
            len(lines) <= LONGEST
            and (self._strange <= STRANGE or self._strange % ONE_OF == 0)
            and not any(may_carry_a_secret(name) for name, _ in pairs)
        ):
            self._heads.put(lines, tuple(pairs), owner)
        return pairs
