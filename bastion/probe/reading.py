"""· Reads a document into frozen dataclasses, and collects every mistake with its path.

A field says how it is read: `item(kind, default)`.  A kind takes the value, its path and the list of
mistakes, and returns what the field gets; after a mistake its return value is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from bastion.probe.units import seconds, size

Mistakes = list[str]
Kind = Callable[[Any, str, Mistakes], Any]
_KIND, _SECRET = "kind", "secret"


def item(kind: Kind, default: Any = None, *, secret: bool = False) -> Any:
    """`secret`: never shown."""
    return field(default=default, metadata={_KIND: kind, _SECRET: secret})


def text(value: Any, path: str, wrong: Mistakes) -> Any:
    """A string; a number or truth value without quotes is one, too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, str | int | float):
        return str(value)
    return _mistaken(path, "is not a string", wrong)


def truth(value: Any, path: str, wrong: Mistakes) -> Any:
    return value if isinstance(value, bool) else _mistaken(path, "is not true or false", wrong)


def whole(value: Any, path: str, wrong: Mistakes) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _mistaken(path, "is not a whole number", wrong)


def anything(value: Any, path: str, wrong: Mistakes) -> Any:
    return value


def parsed(parse: Callable[[str], Any]) -> Kind:
    """A string that `parse` takes; it raises ValueError."""

    def read(value: Any, path: str, wrong: Mistakes) -> Any:
        try:
            return parse(str(value) if isinstance(value, str | int | float) else "")
        except ValueError as error:
            return _mistaken(path, str(error), wrong)

    return read


duration, bytes_size = parsed(seconds), parsed(size)


def one_of(*words: str) -> Kind:
    def parse(found: str) -> str:
        if found not in words:
            raise ValueError(f"{found!r} is not one of {', '.join(words)}")
        return found

    return parsed(parse)


def pattern(value: Any, path: str, wrong: Mistakes) -> Any:
    """RE2, over UTF-8; `pattern.pattern` is its text."""
    if not isinstance(value, str | int | float):
        return _mistaken(path, "is not a regular expression", wrong)
    import re2  # only for those who have some: 2 MiB

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(str(value).encode(), options)
    except re2.error as error:
        cause = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error
        return _mistaken(path, f"{value!r} is not a regular expression of RE2: {cause}", wrong)


def many(kind: Kind) -> Kind:
    def read(value: Any, path: str, wrong: Mistakes) -> Any:
        if not isinstance(value, list):
            return _mistaken(path, "is not a list", wrong)
        return tuple(kind(one, f"{path}[{n}]", wrong) for n, one in enumerate(value))

    return read


def mapping(kind: Kind) -> Kind:
    """Name to value, as pairs: hashable."""

    def read(value: Any, path: str, wrong: Mistakes) -> Any:
        if not isinstance(value, dict):
            return _mistaken(path, "is not a mapping", wrong)
        return tuple((str(name), kind(one, f"{path}.{name}", wrong)) for name, one in value.items())

    return read


def section(of: type) -> Kind:
    """A mapping with the fields of a dataclass; its `check(path)`, where it has one, yields mistakes."""

    def read(value: Any, path: str, wrong: Mistakes) -> Any:
        if not isinstance(value, dict):
            return _mistaken(path, "is not a mapping", wrong)
        known = {one.name: one.metadata[_KIND] for one in fields(of) if _KIND in one.metadata}
        before = len(wrong)
        for name in value:
            if name not in known:
                _mistaken(f"{path}.{name}", "field not found: there is no such field here", wrong)
        read_ = {
            name: kind(value[name], f"{path}.{name}", wrong)
            for name, kind in known.items()
            if value.get(name) is not None
        }
        if len(wrong) > before:
            return None
        made = of(**read_)
        check: Callable[[str], Iterable[str]] | None = getattr(made, "check", None)
        if check is not None:
            wrong.extend(check(path))
        return made

    return read


def refused(why: str) -> Kind:
    """A field that is known and not offered; what it does when it is off is fine."""

    def read(value: Any, path: str, wrong: Mistakes) -> Any:
        return value if value in (False, "", [], {}) else _mistaken(path, why, wrong)

    return read


def shown(value: Any) -> Any:
    """For YAML: without what is empty, and without secrets."""
    if hasattr(value, "__dataclass_fields__"):
        return {
            one.name: "<secret>" if one.metadata.get(_SECRET) else shown(getattr(value, one.name))
            for one in fields(value)
            if _KIND in one.metadata and getattr(value, one.name) not in (None, "", ())
        }
    if isinstance(value, dict):
        return {name: shown(one) for name, one in value.items()}
    if isinstance(value, tuple):
        pairs = value and all(isinstance(one, tuple) and len(one) == 2 for one in value)
        return {name: shown(one) for name, one in value} if pairs else [shown(one) for one in value]
    if hasattr(value, "pattern"):
        return value.pattern.decode() if isinstance(value.pattern, bytes) else value.pattern
    return value


def _mistaken(path: str, what: str, wrong: Mistakes) -> None:
    wrong.append(f"{path}: {what}")


@dataclass(frozen=True, slots=True)
class Mistaken(Exception):
    """Every mistake of a file, one a line."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.lines)
