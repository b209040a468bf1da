"""Values made from files, and made again when the files change: certificates are renewed while we run.

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
Mark = tuple[tuple[int, int, int], ...]

LOOK_EVERY = 1.0  # seconds

_log = logging.getLogger("bastion")


def mark(files: Iterable[Path]) -> Mark:
    """Differs once one of the files has changed; a missing file has a mark, too."""
    return tuple(map(_of_one, files))


def _of_one(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


class Changes:
    """Reports each change of the files once, as soon as they no longer change."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = tuple(files)
        self._known = mark(self._files)
        self._seen = self._known

    def seen(self) -> None:
        """What they are now is no change."""
        self._known = self._seen = mark(self._files)

    def happened(self) -> bool:
        before, self._seen = self._seen, mark(self._files)
        if self._seen == self._known or self._seen != before:
            return False
        self._known = self._seen
        return True


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
        """`generation` is advanced with each new value: of answers that were made of the old one.

        Raises whatever `read` raises.
        """
        self._what = what
        self._generation = generation or Generation()
        self._changes = Changes(file for file in files if file is not None)
        self._read = read
        self._value = read()

    def __call__(self) -> T:
        return self._value

    def look(self) -> None:
        if self._changes.happened():
            self.again(" changed and")

    def again(self, happened: str = "") -> None:
        """Reads now, whether or not a file has changed.  `happened` is for the log."""
        self._changes.seen()
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


async def follow(followed: Iterable[Followed[Any]], interval: float = LOOK_EVERY) -> None:
    """Until cancelled."""
    everything = tuple(followed)
    while True:
        await asyncio.sleep(interval)
        for one in everything:
            one.look()
