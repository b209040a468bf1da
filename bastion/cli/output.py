"""· How is what was found printed?  As kubectl's -o does: a table, wide, json, yaml, name or jsonpath."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bastion.runtime.errors import ConfigError
from bastion.settings.people import JSONPATH

_PIECE = re.compile(r"\{([^{}]*)\}")
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\*|-?[0-9]+)\]|\['([^']*)'\]")


@dataclass(frozen=True, slots=True)
class Column:
    """`wide`: only with -o wide."""

    title: str
    of: Callable[[Mapping[str, Any]], object]
    wide: bool = False


def printed(
    document: Any,
    items: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    name: Callable[[Mapping[str, Any]], str],
    output: str,
) -> str:
    """`document` is all of it, `items` the rows.  Raises ConfigError."""
    if output == "name":
        return "".join(f"{name(item)}\n" for item in items)
    if output not in ("", "wide"):
        return formatted(document, output)
    shown = [column for column in columns if output == "wide" or not column.wide]
    rows = [[column.title for column in shown]]
    rows += [[str(column.of(item)) or "-" for column in shown] for item in items]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def formatted(document: Any, output: str) -> str:
    """Raises ConfigError."""
    if output.startswith(JSONPATH):
        return jsonpath(output.removeprefix(JSONPATH), document)
    if output == "yaml":
        return msgspec.yaml.encode(document).decode()
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"


def jsonpath(template: str, document: Any) -> str:
    """Text, `{.a.b}`, `{.items[*].name}`, `{['key']}` and `{"\\n"}`.  Raises ConfigError."""
    if template.count("{") != template.count("}"):
        raise ConfigError([f"--output: {template}: a brace is missing"])
    return _PIECE.sub(lambda piece: _expanded(piece[1].strip(), document), template)


def _expanded(piece: str, document: Any) -> str:
    if piece[:1] in ("'", '"') and piece[-1:] == piece[:1] and len(piece) > 1:
        return piece[1:-1].replace("\\n", "\n").replace("\\t", "\t")
    path = piece.removeprefix("$").removeprefix("@")
    steps, at = [], 0
    while at < len(path) and (step := _STEP.match(path, at)):
        steps.append(step)
        at = step.end()
    if at != len(path) and path != ".":
        raise ConfigError([f"--output: {{{piece}}}: only .name, [N], [*] and ['name'] are understood"])
    return " ".join(map(_text, _found(steps, document)))


def _found(steps: Sequence[re.Match[str]], value: Any) -> Iterator[Any]:
    if not steps:
        yield value
        return
    name, index, quoted = steps[0].groups()
    if index == "*":
        for inner in value.values() if isinstance(value, dict) else value or ():
            yield from _found(steps[1:], inner)
    elif index is not None:
        if isinstance(value, list) and -len(value) <= int(index) < len(value):
            yield from _found(steps[1:], value[int(index)])
    elif isinstance(value, dict) and (name or quoted) in value:
        yield from _found(steps[1:], value[name or quoted])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
