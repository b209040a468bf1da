"""How is a moment written in a log?  RFC 3339 in UTC, to the millisecond."""

from __future__ import annotations

import functools
import time

_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))


def rfc3339(seconds: float) -> str:
    """`seconds` since the epoch."""
    whole = int(seconds)
    return _second(whole) + _MILLISECONDS[int((seconds - whole) * 1000)]


@functools.lru_cache(8)
def _second(second: int) -> str:
    """One in which thousands of lines are written is worked out once."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
