"""· What may the value of an option be?  Text in, a value or a ValueError out; and back, for help."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bastion.kube import values
from bastion.kube.values import boolean, duration, is_number, quoted, show_duration

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Kind:
    """`metavar` stands for the value in help; `schema` is JSON Schema's of the value in a file; `words` are
    the only values, where they can be listed.
    """

    metavar: str
    parse: Callable[[str], Any]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    show: Callable[[Any], str] = str
    words: tuple[str, ...] = ()

    @property
    def is_switch(self) -> bool:
        return self.schema.get("type") == "boolean"

    def of_flags(self, texts: Sequence[str]) -> Any:
        """Of a flag that is there several times the last counts, but each must be right."""
        return [self.parse(text) for text in texts][-1]

    def of_variable(self, text: str) -> Any:
        return self.of_flags((text,))

    def of_document(self, value: Any) -> Any:
        """`value` as YAML has it."""
        return self.parse(scalar_text(value, self.schema))

    def to_document(self, value: Any) -> Any:
        """What `of_document` reads as `value`."""
        return value if isinstance(value, bool | int) else self.show(value)


@dataclass(frozen=True, slots=True)
class Several(Kind):
    """A list of `item`.

    `commas`: one flag holds several, with commas between them, as a variable always does.  `last`: the last
    of several flags counts, not all of them.
    """

    item: Kind = field(kw_only=True)
    commas: bool = field(default=True, kw_only=True)
    last: bool = field(default=False, kw_only=True)
    needed: bool = field(default=False, kw_only=True)

    def of_flags(self, texts: Sequence[str]) -> Any:
        lists = [self._items(text.split(",") if self.commas else [text], text) for text in texts]
        return self.parse_all(lists[-1] if self.last else [item for items in lists for item in items])

    def of_variable(self, text: str) -> Any:
        return self.parse_all(self._items(text.split(","), text))

    def of_document(self, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("must be a list")
        return self.parse_all([self.item.of_document(one) for one in value])

    def to_document(self, value: Any) -> Any:
        shown = [self.item.to_document(one) for one in value]
        return sorted(shown) if isinstance(value, frozenset) else shown

    def parse_all(self, items: Iterable[Any]) -> Any:
        return tuple(dict.fromkeys(items))

    def _items(self, texts: Sequence[str], whole: str) -> list[Any]:
        words = [text.strip() if self.commas else text for text in texts]
        found = [self.item.parse(word) for word in words if word or not self.commas]
        if self.needed and not found:
            raise ValueError(f"{quoted(whole)} is not a list with a name in it")
        return found


class SetOf(Several):
    def parse_all(self, items: Iterable[Any]) -> Any:
        return frozenset(items)


def several(item: Kind, *, commas: bool = True, last: bool = False, needed: bool = False) -> Several:
    """A list in a file, `A,B` in a variable and, where there are `commas`, in a flag."""
    return Several(
        "A,B" if commas else item.metavar,
        item.parse,
        list_schema(item),
        words=item.words,
        item=item,
        commas=commas,
        last=last,
        needed=needed,
    )


def list_schema(item: Kind) -> dict[str, Any]:
    return {"type": "array", "items": dict(item.schema)}


def scalar_text(value: Any, schema: Mapping[str, Any]) -> str:
    """Raises ValueError where YAML has read it as something else than the schema says."""
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if isinstance(value, bool):
        if "boolean" in types:
            return str(value).lower()
    elif (
        (isinstance(value, int) and "integer" in types)
        or (isinstance(value, int | float) and "number" in types)
        or (isinstance(value, str) and "string" in types)
    ):
        return str(value)
    raise ValueError(f"must be {_A[types[0]]}")


_A = {"string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false"}


# --- what a text may be; each raises ValueError


def port(text: str) -> int:
    """0 where the system chooses, or for none."""
    if not is_number(text) or int(text) > 65535:
        raise ValueError(f"{quoted(text)} is not a port number (1 to 65535)")
    return int(text)


def count(text: str) -> int:
    if not is_number(text):
        raise ValueError(f"{quoted(text)} is not a whole number of 0 or more")
    return int(text)


def positive(text: str) -> int:
    if not is_number(text) or int(text) < 1:
        raise ValueError(f"{quoted(text)} is not a whole number of 1 or more")
    return int(text)


def level(text: str) -> int:
    if not is_number(text.removeprefix("-")):
        raise ValueError(f"{quoted(text)} is not a whole number")
    return int(text)


def address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is not an IP address") from error


def network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"{quoted(text)} is not a network such as 10.0.0.0/8 (with no host bits set)"
        ) from error


def listen_address(text: str) -> tuple[str, int] | None:
    """`[ADDRESS:]PORT`, on loopback where only the port is given; port 0 for none."""
    host, _, number = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = address(host) if host else LOOPBACK, port(number)
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is not an IP address and port such as 127.0.0.1:9090") from error
    return found if found[1] else None


def show_listen_address(value: tuple[str, int]) -> str:
    host, number = value
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def path(text: str) -> Path:
    if not text:
        raise ValueError("'' is not a path")
    return Path(text)


def one_of(*words: str) -> Kind:
    return Kind(
        "|".join(words), partial(values.one_of, words), {"type": "string", "enum": [*words]}, words=words
    )


BOOLEAN = Kind(
    "true|false", boolean, {"type": "boolean"}, lambda value: str(value).lower(), ("true", "false")
)
DURATION = Kind("DURATION", duration, {"type": ["string", "integer"]}, show_duration)
SIZE = Kind("SIZE", values.size, {"type": ["string", "integer"]}, values.show_size)
PORT = Kind("PORT", port, {"type": "integer", "minimum": 0, "maximum": 65535})
COUNT = Kind("N", count, {"type": "integer", "minimum": 0})
POSITIVE = Kind("N", positive, {"type": "integer", "minimum": 1})
LEVEL = Kind("LEVEL", level, {"type": "integer"})
ADDRESS = Kind("IP", address)
NETWORK = Kind("CIDR", network)
LISTEN = Kind("[IP:]PORT", listen_address, {"type": ["string", "integer"]}, show_listen_address)
PATH = Kind("PATH", path)
TEXT = Kind("TEXT", str)
PATHS = several(PATH, commas=False)
NETWORKS = several(NETWORK, commas=False)
NAMES = several(TEXT)


def named(metavar: str, kind: Kind = TEXT) -> Kind:
    """A kind whose value has a better word for it."""
    return Kind(metavar, kind.parse, kind.schema, kind.show)
