"""Are as many workers refused as the machine cannot carry, with the figure that says so?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bastion.server.capacity import MEMORY, PER_PROCESSOR, Machine, this_machine, too_many

BIG = Machine(64 << 30, 8, 1 << 20)
REFUSED = [
    pytest.param(500, BIG, "carries 128: there are 8 processors", id="processors"),
    pytest.param(9, Machine(8 * MEMORY, 8, 1 << 20), "carries 8: 768 MiB of memory are free", id="memory"),
    pytest.param(
        9, Machine(64 << 30, 8, 96), "carries 8: the supervisor may open 96 files", id="descriptors"
    ),
    pytest.param(
        2, Machine(1 << 20, 1, 1024), "carries 1: 1 MiB of memory are free", id="one-can-always-be-tried"
    ),
    pytest.param(2, Machine(-(1 << 20), 1, 1024), "carries 1: ", id="more-used-than-there-is"),
]


@pytest.mark.parametrize(("workers", "machine", "reason"), REFUSED)
def test_too_many_are_refused_with_the_reason(workers: Any, machine: Any, reason: Any) -> None:
    assert f"--workers {workers}: this machine {reason}" in (too_many(workers, machine) or "")
    assert too_many(1, machine) is None


def test_what_it_carries_is_not_refused() -> None:
    assert too_many(8 * PER_PROCESSOR, BIG) is None


def test_a_container_has_what_its_control_group_has(tmp_path: Path) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    proc.mkdir()
    cgroup.mkdir()
    (proc / "meminfo").write_text("MemTotal:  9 kB\nMemAvailable:   4194304 kB\n")
    assert this_machine(proc, cgroup).memory == 4 << 30
    (cgroup / "memory.max").write_text("max\n")
    assert this_machine(proc, cgroup).memory == 4 << 30
    for name, text in (
        ("memory.max", "1073741824"),
        ("memory.current", "805306368"),
        ("memory.stat", "anon 1\ninactive_file 268435456\n"),
    ):
        (cgroup / name).write_text(text)
    assert this_machine(proc, cgroup).memory == 512 << 20
    (cgroup / "cpu.max").write_text("50000 100000\n")
    assert this_machine(proc, cgroup).processors == 1
    (cgroup / "cpu.max").write_text("max 100000\n")
    assert this_machine(proc, cgroup).processors >= 1
