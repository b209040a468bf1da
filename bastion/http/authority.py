"""· Is this one authority, `host[:port]`, as a Host field or an absolute target has it?

RFC 9110, 7.2 and RFC 3986, 3.2 without userinfo, and narrower: parsers differ on lists, encoded characters
and ports beyond 65535.
"""

from __future__ import annotations

import functools
import ipaddress
import re

MAX_NAME = 255  # RFC 1035, 2.3.4
MAX_PORT = b"65535"
MAX_KEPT = MAX_NAME + 6  # with a port
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9_~-][A-Za-z0-9_~.-]*|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")


def is_authority(text: bytes) -> bool:
    """Cached: the same few come again and again.  Values too long to be one are not cached."""
    return _is_known(text) if len(text) <= MAX_KEPT else _is_authority(text)


def _is_authority(text: bytes) -> bool:
    if _AUTHORITY.fullmatch(text) is None or b".." in text:
        return False
    if text[:1] == b"[":
        literal, _, port = text[1:].partition(b"]")
        return _is_ipv6(literal) and (len(port) < 6 or port[1:] <= MAX_PORT)
    if text[-6:-5] == b":" and text[-5:] > MAX_PORT:
        return False
    return len(text) <= MAX_NAME or len(text.partition(b":")[0]) <= MAX_NAME


_is_known = functools.lru_cache(1024)(_is_authority)


def _is_ipv6(literal: bytes) -> bool:
    try:
        ipaddress.IPv6Address(literal.decode())
    except ValueError:
        return False
    return True
