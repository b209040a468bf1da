"""How many workers can this machine carry?

The scarcest of memory, processors and descriptors, with its figures.

More workers would not serve more: they starve each other, and take as long to stop as to start.
"""

from __future__ import annotations

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

MEMORY = 96 << 20  # bytes of a worker before it holds a single object
# a worker is one busy loop: beyond a few for each processor they only wait for each other
PER_PROCESSOR = 16
DESCRIPTORS, RESERVED = 4, 64  # of the supervisor: for each worker, and for itself

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Machine:
    """What is free of it: bytes of memory, processors, descriptors that one process may open."""

    memory: int
    processors: int
    descriptors: int


def too_many(workers: int, machine: Machine) -> str | None:
    """The reason, None where they are not too many.  One worker is always allowed."""
    limits = (
        (
            machine.memory // MEMORY,
            f"{machine.memory >> 20} MiB of memory are free, and each takes {MEMORY >> 20} MiB or more",
        ),
        (
            machine.processors * PER_PROCESSOR,
            f"there are {machine.processors} processors, and each carries {PER_PROCESSOR} at most",
        ),
        (
            (machine.descriptors - RESERVED) // DESCRIPTORS,
            f"the supervisor may open {machine.descriptors} files (ulimit -n)",
        ),
    )
    most, reason = min(limits)
    return (
        f"--workers {workers}: this machine carries {max(most, 1)}: {reason}"
        if workers > max(most, 1)
        else None
    )


def this_machine(proc: Path = PROC, cgroup: Path = CGROUP) -> Machine:
    """In a container: what its control group allows."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", _text(proc / "meminfo"))
    free = [int(found[1]) << 10] if found else []
    limit = _text(cgroup / "memory.max").strip()
    if limit.isdigit():
        # reclaimed when memory is needed
        files = re.search(r"^inactive_file (\d+)$", _text(cgroup / "memory.stat"), re.MULTILINE)
        used = int(_text(cgroup / "memory.current").strip() or 0) - (int(files[1]) if files else 0)
        free.append(int(limit) - used)
    processors = len(os.sched_getaffinity(0))
    quota, _, period = _text(cgroup / "cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        processors = min(processors, max(1, -(-int(quota) // int(period))))
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        min(free, default=1 << 40),
        processors,
        descriptors if descriptors != resource.RLIM_INFINITY else 1 << 20,
    )


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
