"""· Is this one authority, `host[:port]`, as a Host field or an absolute target has it?

RFC 9110, 7.2 and RFC 3986, 3.2 without userinfo, and narrower: who reads a list, an encoded character or a port beyond 65535
reads it differently than the next one does.
"""

from __future__ import annotations

import ipaddress
import re

MAX_NAME = 255  # RFC 1035, 2.3.4
MAX_PORT = b"65535"
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9_~-][A-Za-z0-9_~.-]*|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")


def is_authority(text: bytes) -> bool:
    if _AUTHORITY.fullmatch(text) is None or b".." in text:
        return False
    if text[:1] == b"[":
        literal, _, port = text[1:].partition(b"]")
        return _is_ipv6(literal) and (len(port) < 6 or port[1:] <= MAX_PORT)
    if text[-6:-5] == b":" and text[-5:] > MAX_PORT:
        return False
    return len(text) <= MAX_NAME or len(text.partition(b":")[0]) <= MAX_NAME


def _is_ipv6(literal: bytes) -> bool:
    try:
        ipaddress.IPv6Address(literal.decode())
    except ValueError:
        return False
    return True
