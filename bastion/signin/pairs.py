"""· A cookie of the main host that records which nonce identifies this browser at each application's host.

An application's service worker sees every URL of its host, and could send the main host what another browser
got there.  It cannot read or set this cookie or that of the nonce, and it can exist only after this browser
has signed in there: so the nonce of the first time is the only one accepted.  Pure.  Nothing is removed from
a full cookie: else an attacker could fill it to make another nonce acceptable.
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


class BrowserMatch(enum.Enum):
    """Whether a browser at a host is the one in the cookie."""

    SAME = "same"
    NEW = "new"  # nothing, and there is room
    OTHER = "other"  # another browser, or this one without the cookie that it had there
    NO_ROOM = "no room"


def paired(cookie: bytes, host: str, browser: bytes) -> BrowserMatch:
    """`browser` is the digest of the nonce there."""
    entries, entry = _entries(cookie), _entry(host, browser)
    if entry in entries:
        return BrowserMatch.SAME
    if any(known[:8] == entry[:8] for known in entries):
        return BrowserMatch.OTHER
    return BrowserMatch.NEW if len(entries) < MOST_PAIRS else BrowserMatch.NO_ROOM


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
