"""· What may the text of an option or an annotation be?  Text in, a value out; each raises ValueError."""

from __future__ import annotations

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)(?:([kKMGT])(i?)B?)?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def quoted(text: str) -> str:
    """As it is where it is plain, else so that blanks and control characters can be seen."""
    return text if text and re.fullmatch(r"[!-&(-~]+", text) else repr(text)


def boolean(text: str) -> bool:
    """As Go's strconv.ParseBool, in any case."""
    if text.lower() in ("true", "1", "t"):
        return True
    if text.lower() in ("false", "0", "f"):
        return False
    raise ValueError(f"{quoted(text)} is neither true nor false")


def duration(text: str) -> float:
    """Seconds, from Go's notation: 300ms, 1.5h, 2h45m; 0 needs no unit."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a duration such as 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def show_duration(seconds: float) -> str:
    left, parts = round(seconds * 1000), []
    for unit, length in _UNITS.items():
        count, left = divmod(left, round(length * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def size(text: str) -> int:
    """Bytes, as a resource.Quantity writes them (64Ki, 10Mi, 5M) or with a B behind; 0 needs no unit."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is not a size such as 64Ki, 10Mi or 5M")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** _POWERS[found[2] or ""])


def show_size(count: int) -> str:
    for unit, power in (("Gi", 3), ("Mi", 2), ("Ki", 1)):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{unit}"
    return str(count)


def is_number(text: str) -> bool:
    """Not what Python's `int` takes besides: 5_0, +5, ٥."""
    return text.isascii() and text.isdigit() and len(text) < 19


def one_of(words: tuple[str, ...], text: str) -> str:
    if text not in words:
        raise ValueError(f"{quoted(text)} is not one of {', '.join(words)}")
    return text
