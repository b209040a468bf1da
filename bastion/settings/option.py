"""· What is an option?  The row of the one table: a field of a section's dataclass.

Its flag, its environment variable and its place in a file follow from it, and so do help, reference, schema
and completion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, get_type_hints

from bastion.settings.kinds import Kind

PREFIX = "BASTION_"
_OPTION, _SECTION = "option", "section"
# Kubernetes writes them so in its own fields: clientCAFile, kubeAPIQPS, publicURL.
_ACRONYMS = frozenset(["api", "ca", "cidr", "cidrs", "html", "id", "ip", "qps", "tls", "ttl", "uid", "url"])


@dataclass(frozen=True, slots=True)
class Option:
    """`reloadable`: a change in the file counts while the program runs.  `short`: a flag of one letter."""

    flag: str
    kind: Kind
    help: str
    default: Any
    section: str = ""
    name: str = ""
    reloadable: bool = False
    short: str = ""

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def variable(self) -> str:
        return PREFIX + self.key.replace(".", "_").upper()

    @property
    def path(self) -> str:
        """In a file."""
        return f"{camel_case(self.section)}.{camel_case(self.name)}"

    @property
    def shown_default(self) -> str:
        """Empty for none."""
        if self.default in (None, "", (), frozenset()):
            return ""
        value = self.kind.to_document(self.default)
        return ",".join(map(str, value)) if isinstance(value, list) else str(self.kind.show(self.default))


@dataclass(frozen=True, slots=True)
class Section:
    """`name` empty: its options cannot be in a file."""

    name: str
    title: str
    type: type
    options: tuple[Option, ...]


def option(
    flag: str, kind: Kind, default: Any, help: str, *, reloadable: bool = False, short: str = ""
) -> Any:
    """A field of a section: the default of both, spelled here alone."""
    return field(
        default=default,
        metadata={_OPTION: Option(flag, kind, help, default, reloadable=reloadable, short=short)},
    )


def section(kind: type, title: str) -> Any:
    """A field of the whole; its name is the section's, `start` for what cannot be in a file."""
    return field(default_factory=kind, metadata={_SECTION: title})


def sections_of(whole: type) -> tuple[Section, ...]:
    return _sections_of(whole)


def options_of(whole: type) -> tuple[Option, ...]:
    return tuple(row for section in sections_of(whole) for row in section.options)


@cache
def _sections_of(whole: type) -> tuple[Section, ...]:
    hints = get_type_hints(whole)
    return tuple(
        Section(name, item.metadata[_SECTION], hints[item.name], tuple(_rows(name, hints[item.name])))
        for item in fields(whole)
        if _SECTION in item.metadata
        for name in ["" if item.name == "start" else item.name]
    )


def _rows(section: str, kind: type) -> Iterator[Option]:
    for item in fields(kind):
        if (row := item.metadata.get(_OPTION)) is not None:
            yield Option(
                row.flag,
                row.kind,
                row.help,
                row.default,
                section=section,
                name=item.name,
                reloadable=row.reloadable,
                short=row.short,
            )


def camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(
        word[:-1].upper() + "s" if word == "cidrs" else word.upper() if word in _ACRONYMS else word.title()
        for word in others
    )
