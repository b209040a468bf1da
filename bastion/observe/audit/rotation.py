"""· Which old files of a log are there, what is the next one called, and which are to go?"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

GZIP = ".gz"
_STAMP = "%Y-%m-%dT%H-%M-%S"
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Rotation:
    """`max_size` in bytes, `max_age` in days; 0: no limit.  `max_backup`: how many old files; 0: all."""

    max_size: int = 0
    max_age: int = 0
    max_backup: int = 0
    compress: bool = False


@dataclass(frozen=True, slots=True)
class Old:
    """A file that was the log until `at` (seconds of the epoch)."""

    name: str
    at: float

    @property
    def plain(self) -> str:
        """Its name before it was compressed."""
        return self.name.removesuffix(GZIP)


def old_name(log: PurePath, at: float) -> str:
    """`audit-2026-01-02T03-04-05.678.log` of `audit.log`, in UTC."""
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return f"{log.stem}-{moment:{_STAMP}}.{moment.microsecond // 1000:03d}{log.suffix}"


def old_files(log: PurePath, names: Iterable[str]) -> list[Old]:
    """Those of this log, the newest first; files of other names are not its own."""
    moment = r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)\.(\d{3})"
    pattern = re.compile(rf"{re.escape(log.stem)}-{moment}{re.escape(log.suffix)}(?:\.gz)?")
    found = []
    for name in names:
        if (match := pattern.fullmatch(name)) is not None:
            try:
                at = datetime.datetime.strptime(match[1], _STAMP).replace(tzinfo=datetime.UTC)
            except ValueError:
                continue  # the 31st of February
            found.append(Old(name, at.timestamp() + int(match[2]) / 1000))
    return sorted(found, key=lambda one: (one.at, one.name), reverse=True)


def to_remove(old: Iterable[Old], rotation: Rotation, now: float) -> list[str]:
    """A file and its compressed form count once."""
    names, kept = [], dict[str, None]()
    for one in old:
        too_old = rotation.max_age and one.at < now - rotation.max_age * _DAY
        too_many = rotation.max_backup and one.plain not in kept and len(kept) >= rotation.max_backup
        if too_old or too_many:
            names.append(one.name)
        else:
            kept[one.plain] = None
    return names
