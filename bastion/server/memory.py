"""Memory: settings of the C library and the garbage collector.

Does nothing where the C library is not glibc.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import resource
from pathlib import Path

GROWN = 4 << 20  # free bytes that are worth the milliseconds it takes to return them
LOOK_SECONDS = 5.0

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


class _Mallinfo(ctypes.Structure):
    """mallinfo(3)."""

    _names = (
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost",
    )
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """2.33 or later."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallinfo2.restype = _Mallinfo
    except (OSError, AttributeError):
        return None
    return libc


def tune_allocator() -> None:
    """Keeps the C library from returning and fetching the same pages for every TLS read.

    uvloop allocates 256 KiB for each TLS read, and glibc maps and unmaps it every time by luck of its moving
    threshold: 31 or 44 microseconds a request.  Both thresholds are raised together; the trim threshold alone
    makes things worse.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 4 << 20)
        libc.mallopt(_M_ARENA_MAX, 2)


def settle_memory() -> None:
    """What was loaded at start is never collected, and free pages in between return to the system.

    A full collection takes 17 ms at 255 000 objects.
    """
    gc.collect()
    gc.freeze()
    give_back()


async def keep_small() -> None:
    """Runs for ever: memory that many connections held at once returns to the system when it is free again.

    glibc keeps free pages that lie between others: 2 000 handshakes left 98 MiB behind, until as many came
    again.  Python's own arenas stay at the most that was in use: 2 000 requests under way at once are 25 MiB.
    """
    settled = idle()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if await asyncio.to_thread(idle) > settled + GROWN:
            await asyncio.to_thread(give_back)
            settled = idle()


def idle() -> int:
    """Bytes of resident memory that the C library has not handed out; 0 where that is unknown."""
    if (libc := _glibc()) is None:
        return 0
    resident = int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    found = libc.mallinfo2()
    in_use: int = found.uordblks + found.hblkhd
    return resident - in_use


def give_back() -> None:
    """Free pages return to the system even between pages in use; takes some milliseconds."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)
