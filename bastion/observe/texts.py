"""· What must not be in a log: secrets, ends of lines, and control sequences of terminals."""

from __future__ import annotations

import functools
import re

MAX_AGENT = 128  # characters of a User-Agent

# What a credential looks like wherever it might slip into a message, and whatever a URL has behind its `?`.
_SECRET = re.compile(
    r"(?is)\b(?:bearer|basic)\s+[^\s\"']+"
    r"|eyJ[\w-]{8,}\.[\w.-]+"
    r"|base64url\.bearer\.authorization\.k8s\.io\.[\w-]+"
    r"|(?:token|password|secret|api_key)[\"']?\s*[=:]\s*[\"']?[^&#\s\"'}]+"
    r"|(?<=://)[^/\s@]+(?=@)"
    r"|(?<=[\w/%.~-]\?)(?=[^\s\"'<>]*\w)[^\s\"'<>]+"  # not the `?` of a question
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redact(text: str) -> str:
    return _SECRET.sub("[redacted]", text)


def inert(text: str) -> str:
    """On one line, and nothing that a terminal obeys (CVE-2003-0063 and its kin: a log is read there)."""
    return (
        text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)
    )


def _escaped(one: str) -> str:
    return one.encode("unicode_escape", "replace").decode()


@functools.lru_cache(512)
def agent(value: bytes) -> str:
    """A User-Agent for the log: of bounded length, on one line, and without what looks like a secret.

    There are few different ones.
    """
    return inert(redact(value[: 4 * MAX_AGENT].decode("utf-8", "replace")))[:MAX_AGENT]
