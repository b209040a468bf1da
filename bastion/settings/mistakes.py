"""· Which mistakes were made, and where was each of them written?"""

from __future__ import annotations

from collections.abc import Callable, Collection


class Mistakes:
    """`at` says where an option's value was written; `broken` are options of which no value could be read:
    what they would contradict is not known.
    """

    def __init__(self, at: Callable[[str], str], broken: Collection[str] = ()) -> None:
        self.lines: list[str] = []
        self._at = at
        self._broken = broken

    def add(self, text: str, *keys: str, **values: object) -> None:
        """`{0}` in the text is where the first of the options was written, and so on."""
        if not any(key in self._broken for key in keys):
            self.lines.append(text.format(*map(self._at, keys), **values))
