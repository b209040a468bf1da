"""Time in a log: RFC 3339 in UTC, to the millisecond or the microsecond."""

from __future__ import annotations

import functools
import time


def rfc3339(seconds: float) -> str:
    """`seconds` since the epoch."""
    return _millisecond(int(seconds * 1000))


def micro_time(seconds: float) -> bytes:
    """As Kubernetes' MicroTime: always six digits."""
    second, rest = divmod(round(seconds * 1000000), 1000000)
    return b"%b.%06dZ" % (second_bytes(second), rest)


@functools.lru_cache(64)
def _millisecond(milliseconds: int) -> str:
    """Cached: under load several lines are written in one."""
    second, rest = divmod(milliseconds, 1000)
    return f"{_second(second)}.{rest:03d}Z"


@functools.lru_cache(8)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@functools.lru_cache(8)
def second_bytes(second: int) -> bytes:
    return _second(second).encode()
