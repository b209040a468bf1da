"""Programs that the bench starts end with it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from bench.processes import NotRunning, Processes

CORE = min(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(
    not (shutil.which("taskset") and shutil.which("setpriv")), reason="needs util-linux"
)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_everything_has_ended_whatever_happened(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Processes(tmp_path) as processes:
        pids = [processes.start(name, ["sleep", "60"], CORE).process.pid for name in ("one", "two")]
        assert all(map(running, pids))
        _ = 1 / 0
    assert not any(map(running, pids))


def test_a_program_that_has_ended_leaves_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        program = processes.start("short", ["sh", "-c", "echo no such thing >&2; exit 3"], CORE)
        program.process.wait(10)
        with pytest.raises(NotRunning, match=r"short has ended with status 3:\nno such thing"):
            program.require()


def test_a_program_works_on_its_core_and_its_use_is_known(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        program = processes.start("busy", ["sh", "-c", "while :; do :; done"], CORE)
        deadline = time.monotonic() + 20
        while program.cpu_seconds < 0.05 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert program.cpu_seconds >= 0.05
        assert program.rss_mib > 0.1
        assert os.sched_getaffinity(program.process.pid) == {CORE}
