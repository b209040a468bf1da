"""· Which encodings is a backend offered, where its response may be a page that is edited on its way to a
browser?

Those that can be decoded here.  Others are removed, and none is added: a page in one of them would pass
unedited, and each of its links would lead out of the prefix.  Requests for anything but a page, and those of
programs, pass as they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from bastion.message.page.encoding import ENCODINGS

_KNOWN = ENCODINGS | {b"identity", b""}
_USUAL = frozenset((b"gzip", b"gzip, deflate", b"identity"))
_REFUSED = re.compile(rb";[ \t]*+q=0(?:\.0*+)?[ \t]*+\Z", re.IGNORECASE)
_LONGEST = 128  # bytes of a value that is remembered
_READ = 4096  # bytes of a value that is read at all: browsers write some 40
# What a browser wants the response for (Sec-Fetch-Dest), where that may be a page, or a piece of one that a
# script inserts.
_PAGES = frozenset((b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object", b"empty"))


def offered(value: bytes, fields: Iterable[tuple[bytes, bytes, bytes]]) -> bytes:
    """An Accept-Encoding for the backend; `fields` are those of the request."""
    if value in _USUAL:
        return value
    if len(value) > _READ:
        return b"identity" if _may_show_a_page(fields) else value
    left = _decodable(value) if len(value) <= _LONGEST else _decodable.__wrapped__(value)
    return left if left == value or _may_show_a_page(fields) else value


def _may_show_a_page(fields: Iterable[tuple[bytes, bytes, bytes]]) -> bool:
    page = False
    for lower, _, said in fields:
        if lower == b"accept":
            page = page or b"html" in said.lower()
        elif lower == b"sec-fetch-dest":
            page = page or said.lower() in _PAGES
        elif lower == b"x-bastion-rewrite" and said == b"none":
            return False
    return page


@lru_cache(64)
def _decodable(value: bytes) -> bytes:
    """What is left of an Accept-Encoding."""
    items = [part.strip(b" \t") for part in value.split(b",")]
    refused = {_name(item) for item in items if _REFUSED.search(item)}
    kept = [item for item in items if _name(item) in _KNOWN | refused]
    if len(kept) == len(items):
        return value
    if refused & {b"identity", b"*"} and not {_name(item) for item in kept} - refused:
        return value  # nothing would be left to choose: better an unedited page than none
    return b", ".join(kept)  # empty: no encoding at all (RFC 9110 section 12.5.3)


def _name(item: bytes) -> bytes:
    return item.partition(b";")[0].strip(b" \t").lower()
