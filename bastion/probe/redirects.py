"""· Does a redirect stay at the endpoint, and what is the next request?  And which cookies go along?"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from bastion.http.fields import Field, values

FOLLOWED = (301, 302, 303, 307, 308)
MOST = 10
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORTS = {"http": 80, "https": 443}


class BadLocation(ValueError):
    """To Go this is an error of the whole exchange."""


def next_path(location: bytes, scheme: str, path: bytes, authorities: set[str]) -> bytes | None:
    """Path and query; None where it leads elsewhere.

    `authorities`: what the endpoint is called, as host:port or as the Host that was sent.

    Raises BadLocation.
    """
    text = location.decode("latin-1")
    if any(char <= " " or char == "\x7f" for char in text):
        raise BadLocation("a control character or a blank")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadLocation(str(error)) from error
    if _BAD_ESCAPE.search(text.partition("?")[0]) or "%" in parts.netloc:
        raise BadLocation("a bad escape")
    if parts.scheme and parts.scheme.lower() != scheme:
        return None
    if parts.netloc:
        host = (parts.hostname or "").lower()
        host = f"[{host}]" if ":" in host else host
        named = {parts.netloc.lower(), f"{host}:{port or _PORTS[scheme]}"}
        if "@" in parts.netloc or not named & authorities:
            return None
    elif parts.scheme:
        return None  # `http:something` names no host
    if parts.netloc:
        joined = text.split(parts.netloc, 1)[1]
    elif text.startswith("/"):
        joined = text
    else:
        base = f"{scheme}://endpoint{path.decode('latin-1')}"
        joined = urljoin(base, text).removeprefix(f"{scheme}://endpoint")
    joined = joined.partition("#")[0]
    if not joined.startswith("/"):
        joined = f"/{joined}"
    return joined.encode("latin-1")


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
