"""· Does one of a flag's patterns match?

RE2, as in kubectl: no look-around, no back references, linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import re2

_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")  # one byte of a letter: C++'s RE2 takes it, Go's does not


class Patterns:
    """Of one flag: separated by commas, each a search.  An empty flag has none and matches nothing."""

    def __init__(self, flag: str, text: str) -> None:
        """Raises ValueError that names the flag and the pattern."""
        self.flag = flag
        self.texts = tuple(text.split(",")) if text else ()
        self._found: tuple[tuple[str, Callable[[str], object]], ...] = tuple(
            (part, _compiled(flag, part).search) for part in self.texts
        )

    def first(self, text: str) -> str | None:
        """The first pattern that matches."""
        for pattern, found in self._found:
            if found(text):
                return pattern
        return None

    def without(self, pattern: str) -> str:
        """The flag's value without one of its patterns."""
        return ",".join(part for part in self.texts if part != pattern) or "^$"


def _compiled(flag: str, pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    if _BYTE.search(pattern) is not None:
        raise ValueError(f"--{flag}: {pattern!r} is no RE2 pattern: invalid escape sequence: \\C")
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise ValueError(f"--{flag}: {pattern!r} is no RE2 pattern: {why}") from None
