"""· What is a header field, what does a list of them say, and which are for one connection alone?

RFC 9110, 7.6.1 (hop-by-hop).
"""

from __future__ import annotations

from collections.abc import Iterable

from bastion.kube.errors import unreadable

Field = tuple[bytes, bytes, bytes]  # (lower-case name, name as written, value)

_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding"))
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)


# RFC 9110, 5.6.2: token = 1*tchar
_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# RFC 9110, 5.5: field values are visible characters, SP, HTAB and obs-text.
_LEGAL = bytes(b for b in range(256) if b == 0x09 or (b >= 0x20 and b != 0x7F))


def field_of(line: bytes) -> Field:
    """The field that a line of a head is, without its CRLF.

    RFC 9112, 5.1 and 5.2: no whitespace between name and colon, no line folding.  Raises ValueError.
    """
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, _TOKEN) or line.translate(None, _LEGAL):
        raise ValueError("not a header field")
    return name.lower(), name, value.strip(b" \t")


def nominated(fields: Iterable[Field]) -> frozenset[bytes]:
    """The lower-case names in `Connection`.

    Raises StatusError 400 where it names a field that the message needs.
    """
    names = frozenset(
        token
        for lower, _, value in fields
        if lower == b"connection"
        for part in value.split(b",")
        if (token := part.strip(b" \t").lower())
    )
    if names & _FRAMING:
        raise unreadable("the Connection header names Host, Content-Length or Transfer-Encoding", close=True)
    return names


def first_value(fields: Iterable[Field], name: bytes) -> bytes:
    """The value of the first field of a lower-case name; empty where there is none."""
    for lower, _, value in fields:
        if lower == name:
            return value
    return b""


def values(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """The values of the fields of a lower-case name, in order."""
    return [value for lower, _, value in fields if lower == name]
