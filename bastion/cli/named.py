"""· Which target do people mean?  `svc|pod|node/NAME` with -n, or `svc/NAMESPACE/NAME:PORT/PATH`.

And which of the words are flags: they may stand anywhere, as for kubectl.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from bastion.runtime.errors import ConfigError
from bastion.settings.option import Option

KINDS = {
    name: resource
    for resource, names in {
        "services": ("svc", "service", "services"),
        "pods": ("po", "pod", "pods"),
        "nodes": ("no", "node", "nodes"),
    }.items()
    for name in names
}
DEFAULT = "default"  # the namespace of what is named without one
SUFFIXES = {"services": "svc", "pods": "pod"}
_ID = re.compile(r"(?:(https?):)?([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)(?::([a-zA-Z0-9-]*))?")


@dataclass(frozen=True, slots=True)
class Named:
    """`rest` is path and query, which begins with a slash, or empty."""

    resource: str
    namespace: str
    name: str
    scheme: str = ""
    port: str = ""
    rest: str = ""

    @property
    def id(self) -> str:
        if self.scheme:
            return f"{self.scheme}:{self.name}:{self.port}"
        return f"{self.name}:{self.port}" if self.port else self.name

    @property
    def target(self) -> str:
        """As `bastion why` and `/probe` have it."""
        parts = (self.resource, self.namespace, self.id) if self.namespace else (self.resource, self.id)
        return "/".join(parts)

    @property
    def path(self) -> str:
        """On a bastion."""
        space = f"namespaces/{self.namespace}/" if self.namespace else ""
        return f"/api/v1/{space}{self.resource}/{quote(self.id, safe=':')}/proxy{self.rest or '/'}"

    def authority(self, port: str) -> str:
        return f"{self.name}.{self.namespace}.{SUFFIXES[self.resource]}:{port}"


def named(text: str, namespace: str, *, bare: str = "") -> Named:
    """`bare`: the resource of a name without a kind.  Raises ConfigError."""
    kind, slash, rest = text.partition("/")
    if not slash and bare:
        kind, rest = bare, text
    resource = KINDS.get(kind.lower())
    if resource is None or not rest:
        raise ConfigError([f"{text}: must be svc|pod|node/NAME, or svc/NAMESPACE/NAME:PORT/PATH"])
    parts = rest.split("/", 2)
    if resource == "nodes":
        namespace, id, path = "", parts[0], rest.partition("/")[1] + rest.partition("/")[2]
    elif len(parts) == 1:
        id, path = parts[0], ""
    else:
        namespace, id, path = parts[0], parts[1], "".join(f"/{part}" for part in parts[2:])
    found = _ID.fullmatch(id)
    if found is None or not (namespace or resource == "nodes"):
        raise ConfigError([f"{text}: {id!r} is not [SCHEME:]NAME[:PORT]"])
    scheme, name, port = found.groups()
    return Named(resource, namespace, name, scheme or "", port or "", path)


def split(rows: Sequence[Option], argv: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """(the words that are no flags, the flags with their values, what stands behind `--`)"""
    takes = {f"--{row.flag}": row for row in rows} | {f"-{row.short}": row for row in rows if row.short}
    words = [one_name(word) for word in argv]
    others: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, others = words[:at], list(argv[at + 1 :])
    plain: list[str] = []
    flags: list[str] = []
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        flags.append(word)
        row = takes.get(word)
        if row is not None and words and not row.kind.is_switch:
            flags.append(words.pop(0))
    return plain, flags, others


def one_name(word: str) -> str:
    """`--bastion` is `--server`."""
    if word == "--bastion" or word.startswith("--bastion="):
        return "--server" + word.removeprefix("--bastion")
    return word
