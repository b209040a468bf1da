"""· What is an annotation of ours?  The row of the one table: a field of a section's dataclass.

Its key, its documentation, what it may be and where it has a meaning follow from the row.  A value that is
none, and a key under our domain that nothing knows, are mistakes: they are told and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, NamedTuple, TypeVar

DOMAIN = "bastion.dev"
LONGEST = 1024  # characters of a value
SERVICE, POD = "Service", "Pod"

T = TypeVar("T")
_ROW = "annotation"


@dataclass(frozen=True, slots=True)
class Value:
    """What a value may be: `shown` in the documentation; `parse` raises ValueError.

    `cut`: a longer text is cut, and is no mistake.
    """

    shown: str
    parse: Callable[[str], Any]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Annotation:
    """`kinds` are the objects that it has a meaning on; `name` is the field that holds its value.

    `default` is what holds without it, `otherwise` says so where that is not a value.
    """

    key: str
    value: Value
    default: Any
    help: str
    kinds: tuple[str, ...]
    otherwise: str = ""
    name: str = ""

    @property
    def ours(self) -> bool:
        return self.key.startswith(f"{DOMAIN}/")

    def parse(self, text: str) -> Any:
        """Raises ValueError."""
        if len(text) > LONGEST and not self.value.cut:
            raise ValueError(f"it is longer than {LONGEST} characters")
        return self.value.parse(text)


class Mistake(NamedTuple):
    key: str
    text: str
    why: str


def annotation(
    key: str, value: Value, default: Any, help: str, *, on: tuple[str, ...] = (SERVICE,), otherwise: str = ""
) -> Any:
    """A field of a section.  `key` is under our domain unless it names another."""
    whole = key if "/" in key else f"{DOMAIN}/{key}"
    row = Annotation(whole, value, default, help, on, otherwise)
    return field(default=default, metadata={_ROW: row})


@cache
def rows(section: type) -> tuple[Annotation, ...]:
    """Of a section's dataclass."""
    found = ((item.name, item.metadata[_ROW]) for item in fields(section) if _ROW in item.metadata)
    return tuple(replace(row, name=name) for name, row in found)


def read(section: Callable[..., T], annotations: Mapping[str, str] | None) -> T:
    """The section's values as an object's annotations say them; the default of each that is no good."""
    said = {}
    for row in rows(section) if annotations else ():
        text = annotations.get(row.key) if annotations else None
        if text is not None:
            try:
                said[row.name] = row.parse(text)
            except ValueError:
                continue
    return section(**said)


def mistakes_of(
    table: Mapping[str, Annotation], kind: str, annotations: Mapping[str, str] | None
) -> Iterator[Mistake]:
    """On an object of this kind, among the annotations under our domain."""
    for key, text in (annotations or {}).items():
        row = table.get(key)
        if row is None:
            yield Mistake(key, text, "there is no such annotation")
        elif kind not in row.kinds:
            yield Mistake(key, text, f"it means nothing on a {kind}")
        elif row.ours:
            try:
                row.parse(text)
            except ValueError as error:
                yield Mistake(key, text, str(error))
