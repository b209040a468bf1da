"""· Which nonce identifies this browser at an application's host?  A cookie of the main host remembers it.

An application's service worker sees every URL of its host, and may pass to the main host what another browser
was given there.  It cannot read or set this cookie, nor that of the nonce, and it can only exist once this
browser has signed in there: the nonce of that first time is the one that is accepted from then on.  Pure.  A
full cookie forgets nothing, else an attacker who fills it would make room for another nonce.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import re

PAIR_SECONDS = 400 * 86400  # the longest that browsers keep a cookie (RFC 6265bis, 5.5)
MOST_PAIRS = 170  # 3400 bytes

_ENTRY = 20  # characters: base64url of
_HOST_BYTES, _BROWSER_BYTES = 6, 9
_PAIRS = re.compile(rb"(?:[A-Za-z0-9_-]{20})*")


class Pair(enum.Enum):
    """What the cookie says about a host and a browser there."""

    SAME = "same"
    NEW = "new"  # nothing, and there is room
    OTHER = "other"  # another browser, or this one without the cookie that it had there
    NO_ROOM = "no room"


def paired(cookie: bytes, host: str, browser: bytes) -> Pair:
    """`browser` is the digest of the nonce there."""
    entries, entry = _entries(cookie), _entry(host, browser)
    if entry in entries:
        return Pair.SAME
    if any(known[:8] == entry[:8] for known in entries):
        return Pair.OTHER
    return Pair.NEW if len(entries) < MOST_PAIRS else Pair.NO_ROOM


def with_pair(cookie: bytes, host: str, browser: bytes) -> bytes:
    """The cookie with this pair added."""
    entries, entry = _entries(cookie), _entry(host, browser)
    return b"".join(entries if entry in entries else [*entries, entry])


def _entries(cookie: bytes) -> list[bytes]:
    if _PAIRS.fullmatch(cookie) is None:
        return []
    return [cookie[at : at + _ENTRY] for at in range(0, len(cookie), _ENTRY)]


def _entry(host: str, browser: bytes) -> bytes:
    """The first 8 characters are the host's."""
    return base64.urlsafe_b64encode(
        hashlib.sha256(host.encode()).digest()[:_HOST_BYTES] + browser[:_BROWSER_BYTES]
    )
