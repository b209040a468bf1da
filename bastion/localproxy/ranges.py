"""· Which part of a file is asked for, and only if what?  RFC 9110, 13 and 14, with dates alone."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from bastion.http.fields import Field, first_value

PIECE = 131072  # bytes of a file read at once
MOST = 64  # ranges in one request
# as senders write them today, RFC 850, asctime
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
_SPEC = re.compile(rb"([0-9]{0,18})[ \t]*-[ \t]*([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Range:
    """In bytes."""

    start: int
    length: int


def ranges(value: bytes, size: int) -> tuple[Range, ...] | None:
    """Empty where the whole is asked for; None where nothing of it can be given (416)."""
    if not value:
        return ()
    unit, equals, text = value.partition(b"=")
    if not equals or unit.strip() != b"bytes":
        return None
    specs = [spec.strip(b" \t") for spec in text.split(b",") if spec.strip(b" \t")]
    found = []
    for spec in specs[: MOST + 1]:
        match = _SPEC.fullmatch(spec)
        if (
            match is None
            or not (match[1] or match[2])
            or (match[1] and match[2] and int(match[2]) < int(match[1]))
        ):
            return None
        if match[1]:
            start, end = int(match[1]), int(match[2]) if match[2] else size - 1
        else:
            start, end = max(0, size - int(match[2])), size - 1
        if start < size and end >= start:
            found.append(Range(start, min(end, size - 1) - start + 1))
    if not found:
        # some clients always send a Range, of an empty file too
        return () if size == 0 or not specs else None
    # more than the whole, or very many: an attack on the server (CVE-2011-3192), answered with the whole
    return tuple(found) if len(found) <= MOST and sum(one.length for one in found) <= size else ()


def content_range(one: Range, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (one.start, one.start + one.length - 1, size)


def is_unmodified(fields: list[Field], modified: float) -> bool:
    """If-Modified-Since says so (RFC 9110, 13.1.3), or `If-None-Match: *`; there is no ETag to name."""
    match = first_value(fields, b"if-none-match")
    if match:
        return match.startswith(b"*")
    since = _seconds(first_value(fields, b"if-modified-since"))
    return since is not None and int(modified) <= since


def precondition_fails(fields: list[Field], modified: float, *, reads: bool) -> bool:
    """If-Match, for which there is no ETag, or If-Unmodified-Since (RFC 9110, 13.1.4), or, unless the method
    `reads`, If-None-Match.
    """
    match = first_value(fields, b"if-match")
    if match and not match.startswith(b"*"):
        return True
    since = None if match else _seconds(first_value(fields, b"if-unmodified-since"))
    if since is not None and int(modified) > since:
        return True
    return not reads and first_value(fields, b"if-none-match").startswith(b"*")


def applies(fields: list[Field], modified: float, *, reads: bool) -> bool:
    """Whether Range counts: If-Range names the date that the file has (RFC 9110, 13.1.5)."""
    condition = first_value(fields, b"if-range")
    return not condition or not reads or _seconds(condition) == int(modified)


def _seconds(value: bytes) -> float | None:
    """Of a date in one of HTTP's three forms (RFC 9110, 5.6.7)."""
    text = value.decode("latin-1")
    for form in _DATES:
        try:
            return datetime.datetime.strptime(text, form).replace(tzinfo=datetime.UTC).timestamp()
        except ValueError:
            continue
    return None
