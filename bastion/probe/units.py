"""· Durations and sizes as Go programs write them."""

from __future__ import annotations

import re

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|us|µs|μs|ns|m|s)")
_SIZE = re.compile(r"([+-]?[0-9]+\.?[0-9]*)\s*([KMGTPE]?)(?:i?B|)", re.IGNORECASE)
_POWERS = " KMGTPE"


def seconds(text: str) -> float:
    """Of `1m30s`, as time.ParseDuration reads it.  Raises ValueError."""
    sign, rest = (-1.0 if text[:1] == "-" else 1.0), text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    total, at = 0.0, 0
    for part in _PART.finditer(rest):
        if part.start() != at:
            break
        total += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    if not rest or at != len(rest):
        raise ValueError(f"{text!r} is not a duration such as 500ms or 1m30s")
    return sign * total


def size(text: str) -> int:
    """Of `10MB`: bytes, in powers of 1024 with or without the i.  Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or (text.strip()[-1:] not in "bB" and text.strip() != "0"):
        raise ValueError(f"{text!r} is not a size with a unit, such as 512KB or 10MB")
    return int(float(found[1]) * 1024 ** _POWERS.index(found[2].upper() or " "))


def shown_duration(value: float) -> str:
    return f"{value:g}s"
