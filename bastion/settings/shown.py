"""· The options as loaded, for people: each value with its origin, and no secret."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bastion.settings.load import DEFAULT, Loaded, value_of
from bastion.settings.option import options_of
from bastion.settings.options import Options

_USERINFO = re.compile(r"://[^/@\s]*@")
# No option holds a secret: they name files.  What looks like one is hidden all the same.
_SECRET = re.compile(r"(?:password|secret|(?<!-)token|-key)$")


@dataclass(frozen=True, slots=True)
class Setting:
    """`value` None: set, and not shown; `origin` is default, or where the value was written."""

    flag: str
    value: str | None
    origin: str

    @property
    def given(self) -> bool:
        return self.origin != DEFAULT


def settings_of(loaded: Loaded[Options]) -> tuple[Setting, ...]:
    found = []
    for row in options_of(Options):
        value = value_of(loaded.options, row)
        empty = value in (None, "", (), frozenset())
        document = row.kind.to_document(value) if not empty else ""
        text = ", ".join(map(str, document)) if isinstance(document, list) else _word(document)
        origin = loaded.origins[row.key]
        where = origin if origin == DEFAULT else loaded.places[row.key]
        hidden = _SECRET.search(row.flag) is not None and not empty
        found.append(Setting(row.flag, None if hidden else _USERINFO.sub("://…@", text), where))
    return tuple(found)


def _word(value: object) -> str:
    """As a flag or a file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
