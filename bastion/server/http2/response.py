"""· As which fields does a response of ours leave over HTTP/2?

Names in lower case, nothing that is for one connection alone (RFC 9113, 8.2).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from bastion.http.fields import HOP_BY_HOP, Field
from bastion.message.lines import may_carry_a_secret
from bastion.runtime.remembered import FairTable

MOST, LONGEST = 2048, 512  # lines that are remembered, and bytes of one

Pair = tuple[bytes, bytes]
# What an upgrade's response says to HTTP/1.1 alone; a key of ours was asked with (RFC 8441, 5).
_OF_UPGRADES = HOP_BY_HOP | {b"sec-websocket-accept"}


def head(status: int, fields: Sequence[Field], date: bytes, audit_id: str) -> list[Pair]:
    """`date` is a whole line, for a response that has none."""
    pairs = [(b":status", b"%d" % status)]
    dated = False
    for lower, name, value in fields:
        lower = lower or name.lower()
        if lower not in HOP_BY_HOP:
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
        self._lines: FairTable[bytes, Pair] = FairTable(MOST)

    def pairs(self, parts: Sequence[bytes], owner: Hashable) -> list[Pair]:
        """`parts`: a status line with further lines, then single lines."""
        first = parts[0]
        known = self._heads.get(first)
        if known is None:
            status, *lines = first.removesuffix(b"\r\n").split(b"\r\n")
            known = ((b":status", status[9:12]), *map(pair_of, lines))
            if len(first) <= LONGEST:
                self._heads.put(first, known, owner)
        pairs = list(known)
        for line in parts[1:]:
            pair = self._lines.get(line)
            if pair is None:
                pair = pair_of(line)
                if len(line) <= LONGEST and not may_carry_a_secret(pair[0]):
                    self._lines.put(line, pair, owner)
            pairs.append(pair)
        return pairs
