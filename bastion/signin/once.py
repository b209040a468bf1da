"""· Ids that are good for one use: those used in this process, or by any worker of a replica."""

from __future__ import annotations

import os
from pathlib import Path

ROOM = 65536  # entries until expired ones are removed


class ProcessUsedIds:
    """For a single process.  Implements `signin.handoff.UsedIds`."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._used: dict[bytes, int] = {}

    def first(self, id: bytes, until: int, now: float) -> bool:
        if id in self._used:
            return False
        if len(self._used) >= self._room:
            self._used = {used: over for used, over in self._used.items() if over > now}
        self._used[id] = until
        return True

    def __len__(self) -> int:
        return len(self._used)


class FolderUsedIds:
    """For processes that share a private folder: an empty file for each id, which only one process can create
    (O_EXCL).

    Implements `signin.handoff.UsedIds`.  Where the file cannot be created the id counts as used.
    """

    SWEEP_SECONDS = 60.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = 0.0

    def first(self, id: bytes, until: int, now: float) -> bool:
        try:
            if now - self._swept >= self.SWEEP_SECONDS:
                self._swept = now
                self._sweep(now)
            os.close(
                os.open(self._folder / f"{until}-{id.hex()}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            )
        except OSError:
            return False
        return True

    def _sweep(self, now: float) -> None:
        for file in self._folder.iterdir():
            if int(file.name.partition("-")[0]) <= now:
                file.unlink(missing_ok=True)  # another worker may have been here first
