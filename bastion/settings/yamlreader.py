"""· Takes a document of settings apart, and tells every mistake by its path."""

from __future__ import annotations

from typing import Any

from bastion.settings.words import did_you_mean


class Reader:
    """Takes a document apart; what is not as it should be is a line in `mistakes`."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def object(self, value: Any, path: str, known: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.mistakes.append(f"{path or 'the document'}: must be an object")
            return {}
        self.mistakes += [
            f"{_join(path, name)}: unknown field, or not supported here{did_you_mean(str(name), known)}"
            for name in value
            if name not in known
        ]
        return value

    def list(self, parent: dict[str, Any], name: str, path: str) -> list[Any]:
        value = parent.get(name)
        if not isinstance(value, list) or not value:
            self.mistakes.append(f"{_join(path, name)}: must be a list that is not empty")
            return []
        return value

    def text(
        self, parent: dict[str, Any], name: str, path: str, *, required: bool = True, empty: bool = False
    ) -> str:
        value = parent.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not (value or empty):
            self.mistakes.append(
                f"{_join(path, name)}: must be a string{'' if empty else ' that is not empty'}"
            )
            return ""
        return value

    def wrong(self, path: str, why: str) -> None:
        if why:
            self.mistakes.append(f"{path}: {why}")


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
