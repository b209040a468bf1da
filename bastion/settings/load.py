"""· Which value has each option, and where does it come from?  A flag goes before a variable, a variable
before the file, the file before the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from bastion.settings.mistakes import Mistakes
from bastion.settings.option import Option, options_of, sections_of
from bastion.settings.sources import Found, of_environment, of_file, of_flags

T = TypeVar("T")

FLAG, ENVIRONMENT, FILE, DEFAULT = "flag", "environment", "file", "default"


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """`origins`: which source each option's value is from, by the option's key.  `text`: the file's, empty
    where there is none.
    """

    options: T
    origins: Mapping[str, str]
    places: Mapping[str, str]
    broken: frozenset[str]
    mistakes: tuple[str, ...]
    text: str = ""

    def at(self, key: str) -> str:
        """Where the value was written; the flag where it is the default."""
        if key in self.places:
            return self.places[key]
        return next(f"--{row.flag}" for row in options_of(type(self.options)) if row.key == key)

    def collect(self) -> Mistakes:
        """For what the values contradict, behind what could not be read."""
        mistakes = Mistakes(self.at, self.broken)
        mistakes.lines += self.mistakes
        return mistakes


def load(
    whole: type[T],
    argv: Sequence[str],
    environment: Mapping[str, str],
    read: Callable[[Path], str] = Path.read_text,
    others: Iterable[str] = (),
) -> Loaded[T]:
    """`others`: variables that other commands read."""
    rows = options_of(whole)
    flags, variables = of_flags(rows, argv), of_environment(rows, environment, others)
    sources = {FLAG: flags, ENVIRONMENT: variables, FILE: Found()}
    given: dict[str, tuple[str, Any]] = {}
    text = ""
    if "config" in flags.values or "config" in variables.values:
        place = "config" if "config" in flags.values else ""
        file = flags.values["config"] if place else variables.values["config"]
        at = flags.places["config"] if place else variables.places["config"]
        text, sources[FILE] = _read(rows, file, at, read)
    for origin, found in reversed(sources.items()):
        given |= {key: (origin, value) for key, value in found.values.items()}
    return Loaded(
        _filled(whole, {key: value for key, (_, value) in given.items()}),
        {row.key: given[row.key][0] if row.key in given else DEFAULT for row in rows},
        {key: sources[origin].places[key] for key, (origin, _) in given.items()},
        frozenset().union(*(found.broken for found in sources.values())),
        tuple(line for found in sources.values() for line in found.mistakes),
        text,
    )


def _read(rows: Sequence[Option], file: Path, at: str, read: Callable[[Path], str]) -> tuple[str, Found]:
    """(the file's text, what it says)"""
    try:
        text = read(file)
    except FileNotFoundError:
        return "", Found(mistakes=[f"{at}: {file}: no such file"])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        return "", Found(mistakes=[f"{at}: {file}: {reason.lower()}"])
    return text, of_file(rows, file, text)


def _filled(whole: type[T], values: Mapping[str, Any]) -> T:
    parts = {}
    for section, item in zip(sections_of(whole), fields(whole), strict=True):  # type: ignore[arg-type]
        own = {row.name: values[row.key] for row in section.options if row.key in values}
        parts[item.name] = section.type(**own)
    return whole(**parts)


def value_of(options: object, row: Option) -> Any:
    return getattr(getattr(options, row.section or "start"), row.name)
