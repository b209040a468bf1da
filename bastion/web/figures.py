"""· Numbers and times as people read them: three digits, a unit, and never better than they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float) -> str:
    """Three significant digits; thousands apart by a thin space."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{round(value):,}".replace(",", "\u202f")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 2)}f}".rstrip("0").rstrip(".") or "0"


def size(count: float) -> str:
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{number(value)} {_UNITS[unit]}"


def milliseconds(seconds: float) -> str:
    ms = seconds * 1000
    if ms >= 10_000:
        return f"{number(seconds)} s"
    return f"{number(ms)} ms" if ms >= 1 or ms == 0 else "<1 ms"


def span(seconds: float) -> str:
    """`18 min`, `2 h 47 min`, `3 days 4 h`."""
    seconds = max(0, int(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{days} day{'s' if days > 1 else ''}" + (f" {hours % 24} h" if hours % 24 and days < 7 else "")


def percent(share: float | None, digits: int = 2) -> str:
    """Rounded down: 100 % means that nothing failed."""
    if share is None:
        return "–"
    if share >= 1:
        return "100 %"
    scale: int = 10**digits
    # a share of 0.9993 is 0.99929999… as a double: what differs by less than a millionth is the same
    return f"{math.floor(share * 100 * scale + 1e-6) / scale:.{digits}f} %"


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def stamp(at: float) -> str:
    """For `datetime=`, which the script shows in the reader's own zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%-d %B %Y, %H:%M:%S UTC")


_WORDS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def count(n: int, one: str, more: str = "") -> str:
    """`one service`, `14 services`."""
    word = _WORDS[n] if n < len(_WORDS) else number(n)
    return f"{word} {one if n == 1 else more or one + 's'}"


def listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
