"""· Does a redirect stay at the endpoint, and what is the next request?  And which cookies go along?"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from bastion.http.fields import Field, values

FOLLOWED = (301, 302, 303, 307, 308)
MOST = 10
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$&'()*+,;=:@[]/%")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORTS = {"http": 80, "https": 443}


class BadLocation(ValueError):
    """To Go this is an error of the whole exchange.  `counted` among the redirects is what can be parsed."""

    def __init__(self, message: str, *, counted: bool = False) -> None:
        super().__init__(message)
        self.counted = counted


def next_path(location: bytes, scheme: str, path: bytes, authorities: set[str]) -> bytes | None:
    """Path and query; None where it leads elsewhere.

    `authorities`: what the endpoint is called, as host:port or as the Host that was sent.

    Raises BadLocation.
    """
    text = location.decode("latin-1").partition("#")[0]
    parts = _parsed(text)
    if parts.scheme and parts.scheme != scheme:
        return None
    if "%" in parts.netloc:
        raise BadLocation("an escape in the host", counted=True)
    if parts.scheme and not parts.netloc:  # `http:something` and `http:///something`
        raise BadLocation("no host", counted=True)
    if parts.netloc:
        host = (parts.hostname or "").lower()
        host = f"[{host}]" if ":" in host else host
        named = {parts.netloc.lower(), f"{host}:{parts.port or _PORTS[scheme]}"}
        if "@" in parts.netloc or not named & authorities:
            return None
    base, mark, asked = path.decode("latin-1").partition("?")
    if "?" in text:
        mark, asked = "?", parts.query.replace(" ", "%20")
    elif parts.path or parts.netloc:
        mark = asked = ""
    of = base if not parts.path and not parts.netloc else parts.path
    return f"{_escaped(_resolved(base, of))}{mark}{asked}".encode("latin-1")


def _parsed(text: str) -> SplitResult:
    """As Go's net/url does.  Raises BadLocation."""
    if any(char < " " or char == "\x7f" for char in text):
        raise BadLocation("a control character")
    rest = text[2:] if text.startswith("//") and not text[2:].partition("?")[0].partition("/")[0] else text
    if text.startswith("//") and rest is not text and rest.startswith("/"):
        rest = f"//{rest}"  # `///x` is a path, and so is what has more of them
    try:
        parts = urlsplit(rest) if not rest.startswith("///") else SplitResult("", "", *_halves(rest), "")
        parts.port  # noqa: B018 raises where it is none
    except ValueError as error:
        raise BadLocation(str(error)) from error
    if _BAD_ESCAPE.search(parts.path) or any(char in parts.netloc for char in ' "<>\\^`{|}'):
        raise BadLocation("a bad escape")
    if not parts.scheme and not parts.netloc and ":" in parts.path.partition("/")[0]:
        raise BadLocation("a colon in the first segment of the path")
    return parts


def _halves(text: str) -> tuple[str, str]:
    path, _, query = text.partition("?")
    return path, query


def _resolved(base: str, path: str) -> str:
    """Without dots, and empty segments as they are (RFC 3986, 5.2.4; Go's `resolvePath`)."""
    whole = path if not path or path.startswith("/") else base[: base.rfind("/") + 1] + path
    segments = whole.split("/")[1:] if whole.startswith("/") else whole.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _escaped(path: str) -> str:
    """As it is where it may stand in a URL, else escaped anew as Go does."""
    return (
        path
        if _PLAIN.issuperset(path)
        else quote(unquote_to_bytes(path.encode("latin-1")), safe="/$&+,:;=@~")
    )


class Cookies:
    """Of one probe: name to value and path."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], str] = {}

    def take(self, fields: list[Field], path: bytes) -> None:
        folder = path.partition(b"?")[0].decode("latin-1").rpartition("/")[0] or "/"
        for value in values(fields, b"set-cookie"):
            pair, *attributes = value.decode("latin-1").split(";")
            name, equals, content = pair.strip().partition("=")
            said = {
                key.strip().lower(): text.strip()
                for key, _, text in (one.partition("=") for one in attributes)
            }
            if not equals or not name or said.get("domain"):
                continue
            where = said["path"] if said.get("path", "").startswith("/") else folder
            if said.get("max-age", "1").lstrip("-").isdigit() and int(said.get("max-age", "1")) <= 0:
                self._kept.pop((name, where), None)
            else:
                self._kept[(name, where)] = content

    def header(self, path: bytes) -> str:
        """Empty for none."""
        there = path.partition(b"?")[0].decode("latin-1")
        return "; ".join(
            f"{name}={value}"
            for (name, where), value in self._kept.items()
            if there == where or there.startswith(where.rstrip("/") + "/")
        )
