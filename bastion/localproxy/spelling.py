"""· What might a path mean to the server that reads it next?

A filter judges what it sees; a gateway in front of an API server may resolve dot segments, decode slashes,
merge double ones or cut off parameters behind a semicolon, and then serve another path.  So each spelling is
judged, and what hides a dot segment or a control character is not passed on at all: `%0A` in a name would
otherwise end what `.` in a pattern matches.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ILLEGAL = re.compile(rb'[\x00-\x20"#<>\\^`{|}\x7f-\xff]')
_SEPARATOR = re.compile(rb"[/\\]")
_SLASHES = re.compile(r"/{2,}")
_PARAMETERS = re.compile(r";[^/]*")
_DOTS = frozenset((b".", b".."))


def is_well_formed(path: bytes) -> bool:
    """Whether each percent sign begins an escape."""
    return b"%" not in path or _BAD_PERCENT.search(path) is None


def escaped(path: bytes) -> bytes:
    """What no URI may hold (RFC 3986, 2) is escaped, as by kubectl: the next server may be strict."""
    if _ILLEGAL.search(path) is None:
        return path
    return _ILLEGAL.sub(lambda match: b"%%%02X" % ord(match[0]), path)


def decoded(path: bytes) -> str:
    """Once; what is no UTF-8 becomes U+FFFD, as Go's regular expressions see it."""
    return (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace")


def spellings(path: str) -> tuple[str, ...]:
    """Of a decoded path: itself first, then what servers are known to make of it."""
    if "//" not in path and ";" not in path and "\\" not in path:
        return (path,)
    slashed = path.replace("\\", "/")
    merged = _SLASHES.sub("/", slashed)
    bare = _SLASHES.sub("/", _PARAMETERS.sub("", slashed))
    return tuple(dict.fromkeys((path, slashed, merged, bare)))


def hazard(path: bytes) -> str:
    """Why nothing may be decided about this path; empty where there is no reason.

    Literal dot segments are the router's affair: it sends the client to the path without them.
    """
    once = unquote_to_bytes(path) if b"%" in path else path
    if _CONTROL.search(once):
        return "the path holds a control character"
    if b"#" in path:
        return "the path holds a '#', where another server might end it"
    if b"." not in once and b"%" not in once:
        return ""
    for text in (once, unquote_to_bytes(once)):
        for segment in _SEPARATOR.split(text):
            if segment.partition(b";")[0] in _DOTS:
                return "the path hides a dot segment ('.' or '..'), which another server might resolve"
    return ""


def cleaned(path: bytes) -> bytes | None:
    """The path without literal dot segments and without a second slash at its beginning; None where it has
    neither.

    `//host/…` would be read as another host by whatever takes it for a relative reference (RFC 3986, 4.2).
    """
    if not path.startswith(b"//") and b"/." not in path:
        return None
    kept: list[bytes] = []
    segments = path.lstrip(b"/").split(b"/")
    for index, segment in enumerate(segments):
        if segment not in _DOTS:
            kept.append(segment)
            continue
        if segment == b".." and kept:
            kept.pop()
        if index == len(segments) - 1:
            kept.append(b"")
    # an empty segment may have come to the front again
    clean = b"/" + b"/".join(kept).lstrip(b"/")
    return clean if clean != path else None
