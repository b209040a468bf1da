"""What does the kernel say that a program has used?  /proc, for a process and all its descendants."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """User and system time, of all threads."""
    return sum(_ticks(_read(process, "stat")) for process in family(pid)) / TICKS


def rss_mib(pid: int) -> float:
    """Resident memory.  Pages that the processes of one program share are counted in each."""
    return sum(_rss_kib(_read(process, "status")) for process in family(pid)) / 1024


def family(pid: int) -> list[int]:
    parents = {
        int(entry.name): _parent(_read(int(entry.name), "stat"))
        for entry in PROC.iterdir()
        if entry.name.isdigit()
    }
    return descendants(pid, parents)


def descendants(pid: int, parents: Mapping[int, int]) -> list[int]:
    """`pid` itself first.  `parents`: process -> its parent."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent in parents.items():
        children[parent].append(child)
    found = [pid]
    for process in found:
        found += children[process]
    return found


def _read(pid: int, file: str) -> str:
    """Empty where the process has just ended."""
    try:
        return (PROC / str(pid) / file).read_text()
    except OSError:
        return ""


def _fields(stat: str) -> Sequence[str]:
    """From the third field on: the second is the name in brackets, and may hold anything (proc(5))."""
    return stat.rpartition(")")[2].split()


def _ticks(stat: str) -> int:
    return sum(map(int, _fields(stat)[11:13]))


def _parent(stat: str) -> int:
    return int(_fields(stat)[1]) if stat else 0


def _rss_kib(status: str) -> int:
    """0 for a process without memory of its own: a zombie, or one of the kernel's."""
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
