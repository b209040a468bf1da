"""Values read from files, and read again when the files change, such as renewed certificates.

Files are checked every second (time, size and inode: a mounted Secret is a symbolic link that is replaced)
and read once two checks agree, so that a pair is not read after its certificate and before its key was
written.  When files cannot be read, the value from before is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from bastion.runtime.errors import StartError
from bastion.runtime.validity import Generation

T = TypeVar("T")
Mark = tuple[tuple[str, int, int, int], ...]

LOOK_EVERY = 1.0  # seconds

_log = logging.getLogger("bastion")


def mark(files: Iterable[Path]) -> Mark:
    """Name, time, size and inode of each file: differs once one of the files has changed.

    A missing file has a mark, too.
    """
    return tuple(map(_mark_of_one, files))


def _mark_of_one(file: Path) -> tuple[str, int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (str(file), 0, 0, 0)
    return (str(file), status.st_mtime_ns, status.st_size, status.st_ino)


class FileChanges:
    """Reports each change of the files once, as soon as they no longer change.

    `list_files` is called for each check: files may come and go in a folder.
    """

    def __init__(self, list_files: Callable[[], Iterable[Path]]) -> None:
        self._list_files = list_files
        self._known = self._mark()
        self._seen = self._known

    def accept(self) -> None:
        """The files as they are now are no longer a change."""
        self._known = self._seen = self._mark()

    def happened(self) -> bool:
        before, self._seen = self._seen, self._mark()
        if self._seen == self._known or self._seen != before:
            return False
        self._known = self._seen
        return True

    def _mark(self) -> Mark:
        try:
            return mark(self._list_files())
        except StartError:  # reading the files will tell the operator why
            return ()


class Followed(Generic[T]):
    """The value that `read` makes from the files; `what` names it in the log.

    A call returns the current value.
    """

    def __init__(
        self,
        what: str,
        files: Iterable[Path | None],
        read: Callable[[], T],
        generation: Generation | None = None,
    ) -> None:
        """`generation` is advanced with each new value: results made of the old one are no longer valid.

        Raises whatever `read` raises.
        """
        self._what = what
        self._generation = generation or Generation()
        given = tuple(file for file in files if file is not None)
        self._changes = FileChanges(lambda: given)
        self._read = read
        self._value = read()

    def __call__(self) -> T:
        return self._value

    def look(self) -> None:
        if self._changes.happened():
            self.again(" changed and")

    def again(self, happened: str = "") -> None:
        """Reads now, whether or not a file has changed.  `happened` is for the log."""
        self._changes.accept()
        try:
            self._value = self._read()
        except (OSError, ValueError, StartError) as error:
            _log.error(
                "%s%s cannot be used: %s; what was read before stays in use",
                self._what,
                happened,
                " ".join(str(error).split()),
            )
        else:
            self._generation.advance()
            _log.info("%s%s was read again", self._what, happened)


class FollowedInThread(Generic[T]):
    """As `Followed`, for files that take long to list and to read: both happen in a thread.

    `read` raises StartError where a file is wrong.
    """

    def __init__(self, list_files: Callable[[], Iterable[Path]], read: Callable[[], T]) -> None:
        self._list_files = list_files
        self._read = read
        self._changes: FileChanges | None = None

    async def load(self) -> T:
        """Reads for the first time.  Raises StartError."""
        self._changes = await asyncio.to_thread(FileChanges, self._list_files)
        return await asyncio.to_thread(self._read)

    async def changed(self) -> T | None:
        """The new value after a change; None where nothing changed or a file is wrong, which is logged."""
        if self._changes is None or not await asyncio.to_thread(self._changes.happened):
            return None
        try:
            return await asyncio.to_thread(self._read)
        except StartError as error:
            _log.error("%s; what was read before stays in use", error)
            return None


async def follow(followed: Iterable[Followed[Any]], interval: float = LOOK_EVERY) -> None:
    """Until cancelled."""
    everything = tuple(followed)
    while True:
        await asyncio.sleep(interval)
        for one in everything:
            one.look()
