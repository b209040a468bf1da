"""What one worker of a replica found out for all: files in the private folder that they share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Notes(Protocol):
    """`id` is a digest, `until` in seconds since the epoch: after it a note may be gone."""

    def leave(self, id: bytes, until: int, text: bytes) -> None: ...

    def find(self, id: bytes, until: int) -> bytes:
        """Empty where nothing was left."""
        ...


class NoNotes:
    """Of a single process: nobody else finds anything out."""

    def leave(self, id: bytes, until: int, text: bytes) -> None:
        return

    def find(self, id: bytes, until: int) -> bytes:
        return b""


class FolderNotes:
    """Beside the used ids, whose sweep removes them by the time in front of their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def leave(self, id: bytes, until: int, text: bytes) -> None:
        """Whole or not at all.  Where it cannot be written nobody hears of it."""
        file = self._file(id, until)
        unfinished = file.with_suffix(f".{os.getpid()}")
        try:
            unfinished.touch(0o600)
            unfinished.write_bytes(text)
            unfinished.rename(file)
        except OSError:
            unfinished.unlink(missing_ok=True)

    def find(self, id: bytes, until: int) -> bytes:
        try:
            return self._file(id, until).read_bytes()
        except OSError:
            return b""

    def _file(self, id: bytes, until: int) -> Path:
        return self._folder / f"{until}-{id.hex()}.note"
