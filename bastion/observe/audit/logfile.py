"""A log file of whole lines, that is rotated, and that several processes may write.

Each write holds the file's lock (flock), so that no line is torn and no file grows too large, whoever writes:
the kernel gives the lock back where a process is killed.  A process that finds the file renamed, by another
or by logrotate, goes on with the new one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bastion.observe.audit.rotation import GZIP, Old, Rotation, old_files, old_name, to_remove
from bastion.runtime.errors import StartError

MODE = 0o600  # it names who reads what
MILLISECOND = 0.001
AT_ONCE = 512  # pieces of a write, each with the end of its line: the kernel takes 1024 (IOV_MAX)

_log = logging.getLogger("bastion.audit")


def cause_of(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def write_whole(descriptor: int, lines: Sequence[bytes]) -> None:
    """Each with the end of its line.  Raises OSError."""
    pieces = [piece for line in lines for piece in (line, b"\n")]
    left = sum(map(len, pieces)) - os.writev(descriptor, pieces)
    if left:
        view = memoryview(b"".join(pieces))[-left:]
        while view:
            view = view[os.write(descriptor, view) :]


class Written(NamedTuple):
    """How many of the lines; why not all, empty where all; whether there is an old file more."""

    lines: int
    cause: str = ""
    rotated: bool = False


class LogFile:
    def __init__(self, path: Path, rotation: Rotation, now: Callable[[], float] = time.time) -> None:
        """Raises StartError."""
        self._path = path
        self._rotation = rotation
        self._now = now
        self._turn = threading.Lock()
        self._tidying = threading.Lock()
        self._end = -1  # where this process wrote last
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._opened()
        except OSError as error:
            raise StartError(f"--audit-log-path: {path}: {cause_of(error)}") from error

    def close(self) -> None:
        os.close(self._descriptor)

    def write(self, lines: Sequence[bytes]) -> Written:
        """Without the ends of lines; several in one stay together."""
        at, rotated = 0, False
        try:
            with self._turn, self._locked():
                while at < len(lines):
                    size = self._size()
                    count = self._fitting(lines, at, size)
                    if count:
                        self._append(lines[at : at + count], size)
                        at += count
                    else:
                        self._rotate()
                        rotated = True
        except OSError as error:
            return Written(at, cause_of(error), rotated)
        return Written(at, rotated=rotated)

    # --- in the lock

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Of the file that has the name now."""
        while True:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._is_current():
                break
            os.close(self._descriptor)
            self._descriptor = self._opened()
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _is_current(self) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev)

    def _opened(self) -> int:
        self._end = -1
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)

    def _size(self) -> int:
        """A line that another process left torn, when it was killed, ends here."""
        size = os.fstat(self._descriptor).st_size
        if size and size != self._end and os.pread(self._descriptor, 1, size - 1) != b"\n":
            self._append((b"",), size)
            size += 1
        return size

    def _fitting(self, lines: Sequence[bytes], at: int, size: int) -> int:
        """How many more lines the file may have: at least one where it is empty."""
        most = self._rotation.max_size
        if not most:
            return len(lines) - at
        count, room = 0, most - size
        for line in lines[at:]:
            room -= len(line) + 1
            if room < 0:
                break
            count += 1
        return count if count or size else 1

    def _append(self, lines: Sequence[bytes], size: int) -> None:
        """Not joined first: under load that is a copy of megabytes."""
        try:
            for at in range(0, len(lines), AT_ONCE):
                write_whole(self._descriptor, lines[at : at + AT_ONCE])
        except OSError:
            # a full disk takes the first part of a line: no half one stays
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise
        self._end = size + sum(map(len, lines)) + len(lines)

    def _rotate(self) -> None:
        """The lock is that of the old file until the new one's is held: what waits for it finds a new one."""
        at = self._now()
        while (old := self._path.with_name(old_name(self._path, at))).exists() or Path(
            f"{old}{GZIP}"
        ).exists():
            at += MILLISECOND
        self._path.rename(old)
        before, self._descriptor = self._descriptor, self._opened()
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.close(before)

    # --- what becomes of old files

    def tidy(self) -> None:
        """Removes and compresses; blocking."""
        with self._tidying:
            try:
                self._remove()
                if self._rotation.compress:
                    for one in self._old():
                        if not one.name.endswith(GZIP):
                            self._compress(self._path.with_name(one.name))
            except OSError as error:
                _log.error("old audit logs cannot be tidied: %s", error)

    def _old(self) -> list[Old]:
        return old_files(self._path, [one.name for one in self._path.parent.iterdir()])

    def _remove(self) -> None:
        for name in to_remove(self._old(), self._rotation, self._now()):
            self._path.with_name(name).unlink(missing_ok=True)

    def _compress(self, old: Path) -> None:
        """Under its lock: several processes may tidy."""
        whole, part = Path(f"{old}{GZIP}"), old.with_name(f".{old.name}{GZIP}")
        try:
            with old.open("rb") as source:
                fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not old.exists():
                    return
                part.touch(MODE)
                with gzip.open(part, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                part.rename(whole)
                old.unlink()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EWOULDBLOCK):
                part.unlink(missing_ok=True)
                raise


class StandardOutput:
    """The same, for a descriptor that is nobody's file here."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, lines: Sequence[bytes]) -> Written:
        view = memoryview(b"\n".join((*lines, b"")))
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError as error:
                return Written(len(lines) - bytes(view).count(b"\n"), cause_of(error))
        return Written(len(lines))

    def tidy(self) -> None:
        """There are no old ones."""

    def close(self) -> None:
        """It is not ours."""
