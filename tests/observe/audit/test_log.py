"""Is every line of an audit log whole, is no event lost when the file changes, and are old files removed?"""

from __future__ import annotations

import asyncio
import gzip
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import pytest

from bastion.observe.audit.counts import AuditCounts
from bastion.observe.audit.logfile import LogFile, StandardOutput
from bastion.observe.audit.logwriter import HELD_BYTES, LogWriter
from bastion.observe.audit.rotation import Rotation, old_files, old_name, to_remove
from bastion.runtime.errors import StartError
from tests.fakes import run, until

LOG = PurePath("/logs/audit.log")
DAY = 86400
AT = 1767322985.678


def lines_of(folder: Path) -> list[bytes]:
    found = []
    for file in folder.iterdir():
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert data[-1:] in (b"", b"\n")
        found += data.splitlines()
    return found


# --- which old files there are


def test_an_old_file_has_its_moment_in_its_name() -> None:
    assert old_name(LOG, AT) == "audit-2026-01-02T03-03-05.678.log"
    assert old_name(PurePath("/logs/audit"), AT) == "audit-2026-01-02T03-03-05.678"


def test_only_files_of_this_log_are_old_ones() -> None:
    names = [
        "audit.log",
        "audit-2026-01-02T03-03-05.678.log",
        "audit-2026-01-02T03-03-06.678.log.gz",
        "audit-2026-02-31T03-03-06.678.log",
        "audit-2026-01-02T03-03-05.678.txt",
        "keep-2026-01-02T03-03-05.678.log",
        "audit-2026-01-02T03-03-05.log",
        ".audit-2026-01-02T03-03-05.678.log.gz",
    ]
    assert [one.name for one in old_files(LOG, names)] == [names[2], names[1]]
    assert old_files(LOG, names)[1].at == AT


@pytest.mark.parametrize(
    ("rotation", "removed"),
    [
        (Rotation(), []),
        (Rotation(max_backup=2), [2, 3]),
        (Rotation(max_age=2), [2, 3]),
        (Rotation(max_age=4, max_backup=3), [3]),
        (Rotation(max_age=1, max_backup=3), [1, 2, 3]),
    ],
)
def test_what_is_too_old_or_too_many_goes(rotation: Rotation, removed: list[int]) -> None:
    names = [old_name(LOG, AT - (day + 0.5) * DAY) for day in range(4)]
    # what is being compressed is there twice, and counts once
    files = old_files(LOG, [*names, names[0] + ".gz"])
    assert to_remove(files, rotation, AT) == [names[number] for number in removed]


# --- one file


def test_a_log_is_made_with_its_folder_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "audit.log"
    log = LogFile(path, Rotation())
    assert log.write([b"one", b"two"]).lines == 2
    assert path.stat().st_mode & 0o777 == 0o600
    LogFile(path, Rotation()).write([b"three"])
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"--audit-log-path: .*: is a directory"):
        LogFile(tmp_path, Rotation())


def test_no_file_grows_larger_and_no_line_is_lost(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "audit.log", Rotation(max_size=100))
    lines = [b"%02d" % number + b"x" * (number % 7) for number in range(90)]
    for start in range(0, 90, 30):
        assert log.write(lines[start : start + 30]).lines == 30
    assert sorted(lines_of(tmp_path)) == lines
    assert all(file.stat().st_size <= 100 for file in tmp_path.iterdir())


def test_a_line_that_is_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "audit.log", Rotation(max_size=10))
    assert log.write([b"a", b"b" * 50 + b"", b"c"]).lines == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_logrotate_moved_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = LogFile(path, Rotation())
    log.write([b"one"])
    path.rename(tmp_path / "audit.log.1")
    log.write([b"two"])
    assert path.read_bytes() == b"two\n"
    assert (tmp_path / "audit.log.1").read_bytes() == b"one\n"


def test_a_line_that_a_killed_process_left_torn_ends_there(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b'{"torn')
    log = LogFile(path, Rotation())
    log.write([b"one"])
    assert path.read_bytes() == b'{"torn\none\n'


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """Files of this process cannot grow larger: what a full disk does to a write."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_takes_no_half_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = LogFile(path, Rotation())
    log.write([b"one"])
    with full_at(10):
        written = log.write([b"two", b"three and more"])
    assert (written.lines, written.cause) == (0, "file too large")
    assert path.read_bytes() == b"one\n"
    assert log.write([b"four"]).lines == 1
    assert path.read_bytes() == b"one\nfour\n"


WRITER = """
import sys
from pathlib import Path
from bastion.observe.audit.logfile import LogFile
from bastion.observe.audit.rotation import Rotation
log = LogFile(Path(sys.argv[1]), Rotation(max_size=4000))
for number in range(int(sys.argv[3])):
    line = b"%s %d %s" % (sys.argv[2].encode(), number, b"x" * (number % 50))
    assert not log.write([line, line]).cause
print("done", flush=True)
"""


def test_processes_that_share_a_log_lose_nothing_of_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "audit.log")]
    writers = [subprocess.Popen([*command, name, "150"]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = [line.split()[:2] for line in lines_of(tmp_path)]
    assert sorted(found) == sorted([[name, b"%d" % n] for name in (b"a", b"b", b"c") for n in range(150)] * 2)


def test_a_killed_process_gives_the_log_back(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), "k", "100000000"], stderr=subprocess.DEVNULL
    ) as endless:
        run(until(lambda: path.exists() and path.stat().st_size > 100))
        endless.kill()
    log = LogFile(path, Rotation())
    assert log.write([b"mine"]).lines == 1
    assert path.read_bytes().endswith(b"\nmine\n")


# --- what becomes of old files


def test_old_files_are_compressed_whole_and_those_beyond_the_limit_go(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "audit.log", Rotation(max_size=20, max_backup=3, compress=True))
    log.write([b"line %03d" % number for number in range(12)])
    log.tidy()
    log.tidy()
    names = sorted(file.name for file in tmp_path.iterdir())
    assert len(names) == 4
    assert [name.endswith(".gz") for name in names] == [True, True, True, False]
    assert sorted(lines_of(tmp_path)) == [b"line %03d" % number for number in range(4, 12)]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in tmp_path.iterdir())


# --- events into it


def test_events_of_a_batch_are_written_together_and_the_rest_at_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LogWriter(LogFile(path, Rotation()), counts, batch=True) as writer:
            assert writer.add(b"one", 1)
            assert path.read_bytes() == b""
            await until(lambda: path.read_bytes() == b"one\n")
            writer.add(b"two", 1)
        assert path.read_bytes() == b"one\ntwo\n"

    path, counts = tmp_path / "audit.log", AuditCounts()
    run(scenario())


def test_without_a_batch_each_is_written_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with LogWriter(LogFile(path, Rotation()), AuditCounts(), batch=False) as writer:
            writer.add(b"one", 1)
            assert path.read_bytes() == b"one\n"

    path = tmp_path / "audit.log"
    run(scenario())


class Slow:
    """A disk that takes nothing until it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.lines: list[bytes] = []

    def write(self, lines: list[bytes]) -> object:
        self.let.wait(10)
        self.lines += lines
        return StandardOutput(os.open(os.devnull, os.O_WRONLY)).write(lines)

    def tidy(self) -> None: ...

    def close(self) -> None: ...


def test_a_disk_that_hangs_costs_events_and_no_memory() -> None:
    async def scenario() -> None:
        async with LogWriter(slow, counts, batch=True) as writer:  # type: ignore[arg-type]
            taken = sum(writer.add(b"x" * 100_000, 1) for _ in range(200))
            await asyncio.sleep(0)
            assert taken * 100_000 <= HELD_BYTES + 100_000
            assert counts.lost["buffered"] == 200 - taken > 0
            slow.let.set()
        assert len(slow.lines) == taken

    slow, counts = Slow(), AuditCounts()
    run(scenario())


def test_what_cannot_be_written_is_counted_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with LogWriter(LogFile(tmp_path / "audit.log", Rotation()), counts, batch=False) as writer:
            with full_at(0):
                assert [writer.add(b"event", 1) for _ in range(3)] == [False] * 3
            assert writer.add(b"event", 1)

    counts = AuditCounts()
    run(scenario())
    assert counts.lost["log"] == 3
    assert [record.message for record in caplog.records if record.name == "bastion.audit"] == [
        "the audit log cannot be written (file too large): events are lost, and counted"
    ]
