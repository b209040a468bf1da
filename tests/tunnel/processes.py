"""What a running bastion holds: descriptors, memory, and what it counts itself."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.harness import Bastion

PATIENCE = 20.0  # seconds after which what was waited for does not come
HELD = (
    "requests_in_flight",
    "client_connections",
    "streams",
    "stream_access_questions",
    "backend_connections",
    "backend_connections_idle",
)

_GAUGE = re.compile(r"^bastion_(\w+) (\S+)$", re.MULTILINE)


def gauges(bastion: Bastion) -> dict[str, float]:
    """Those that count what is held just now; the connection that asks is one of them."""
    found = {name: float(value) for name, value in _GAUGE.findall(bastion.get("/metrics").text)}
    return {name: found[name] for name in HELD}


def descriptors(bastion: Bastion) -> int:
    return len(os.listdir(f"/proc/{bastion.program.process.pid}/fd"))


def resident(bastion: Bastion) -> int:
    """Bytes."""
    with open(f"/proc/{bastion.program.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def eventually(look: Callable[[], Any], *, within: float = PATIENCE) -> Any:
    """What `look` returns once it is true.  It may block."""
    until = time.monotonic() + within
    while not (seen := await asyncio.to_thread(look)):
        assert time.monotonic() < until, f"not within {within:g} s"
        await asyncio.sleep(0.05)
    return seen


async def as_before(look: Callable[[], Any], before: Any) -> None:
    """Returns once `look` sees what was there before (or less of it)."""
    until = time.monotonic() + PATIENCE
    while (seen := await asyncio.to_thread(look)) != before and not (isinstance(seen, int) and seen < before):
        assert time.monotonic() < until, f"{seen} is left, {before} was before"
        await asyncio.sleep(0.05)
