"""The modules in use: of the file, read again when it changes, or those that are built in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from bastion.probe.modulefile import BUILT_IN, DECLARED, DEFAULT, modules_of
from bastion.probe.modules import Module
from bastion.probe.reading import Mistaken
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed

Modules = Mapping[str, Module]


class ModuleSource:
    """`successful`: whether the file could be used when it was last read; `at` in seconds of the epoch."""

    def __init__(self, file: Path | None) -> None:
        """Raises StartError with every mistake, or OSError."""
        self._file = file
        self.successful = True
        self.at = time.time()
        self.followed: Followed[Modules] = Followed(
            "the probe configuration (--probe-config-file)", (file,), self._read
        )

    def get(self, name: str) -> Module | None:
        return self.followed().get(name or DEFAULT)

    def known(self, name: str) -> bool:
        return name == DECLARED or self.get(name) is not None

    def _read(self) -> Modules:
        """Raises StartError."""
        if self._file is None:
            return BUILT_IN
        self.successful = False
        try:
            found = modules_of(self._file.read_text())
        except Mistaken as error:
            raise StartError(f"{self._file}: {error}") from error
        self.successful = True
        self.at = time.time()
        return found
