"""What do these files say now?  A value read from files, and read again when they have changed.

`read` and `fingerprint` are blocking and run in a thread; a mistake found on the way keeps the value there
was.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from bastion.runtime.errors import StartError

T = TypeVar("T")
Fingerprint = tuple[tuple[str, int, int, int], ...]

log = logging.getLogger("bastion.standalone")


class FileError(StartError):
    """A mistake in a file, in one line that names the file and the place."""


def fingerprint(files: Iterable[Path]) -> Fingerprint:
    """Name, time, size and inode of each file; one that is gone, or cannot be looked at, is left out.

    The inode shows a file that was replaced by renaming, or (a mounted ConfigMap) by turning a symbolic link.
    """
    marks = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        marks.append((os.fspath(file), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(marks)


class FollowedFiles(Generic[T]):
    """`list_files` says which files count, `read` makes a whole value of them or raises FileError."""

    def __init__(self, list_files: Callable[[], list[Path]], read: Callable[[], T]) -> None:
        self._list_files = list_files
        self._read = read
        self._seen: Fingerprint | None = None

    async def load(self) -> T:
        """The first reading.  Raises FileError."""
        self._seen = await asyncio.to_thread(self._mark)
        return await asyncio.to_thread(self._read)

    async def changed(self) -> T | None:
        """The new value, None where there is none.

        A mistake is logged once for every change of the files.
        """
        mark = await asyncio.to_thread(self._mark)
        if mark == self._seen:
            return None
        value, mistake = None, None
        try:
            value = await asyncio.to_thread(self._read)
        except FileError as error:
            mistake = error
        if await asyncio.to_thread(self._mark) != mark:
            return None  # written while it was read: look again at the next turn
        self._seen = mark
        if mistake is not None:
            log.error("%s (what was read before stays)", mistake)
        return value

    def _mark(self) -> Fingerprint:
        try:
            return fingerprint(self._list_files())
        except FileError:
            return ()
