"""· What is there to know of every option?  docs/reference is written from the table:
`python -m bastion.settings.reference docs/reference`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bastion.settings.option import Option, Section, camel_case, sections_of
from bastion.settings.options import Options
from bastion.settings.sources import API_VERSION, KIND

INTRODUCTION = f"""# Options of `bastion serve`

Each option is a flag, an environment variable and a field of the file that `--config` names. A flag goes
before a variable, a variable before the file, the file before the default. In a variable a list has commas
between its parts. Relative paths in the file begin where the file is.

    apiVersion: {API_VERSION}
    kind: {KIND}
    serving:
      bindAddress: 0.0.0.0
    limits:
      exchangesPerUser: 256

`bastion serve --dump-config` prints such a file with the value of every option and where it comes from;
[its schema](configuration.schema.json) is for editors. Durations are written as `300ms`, `30s`, `1h30m`.

While the program runs the file is read again when it changes, and at SIGHUP. Options marked *reloadable* then
count at once; the log names the others that changed, which need a restart. A file with a mistake changes
nothing.

The variables that Kubernetes sets for Services called `bastion` or `bastion-…` (`BASTION_SERVICE_HOST`,
`BASTION_PORT=tcp://…`) are no options.
"""


def markdown() -> str:
    return INTRODUCTION + "".join(line for section in sections_of(Options) for line in _section(section))


def _section(section: Section) -> Iterator[str]:
    title = section.title[0].upper() + section.title[1:]
    yield f"\n## {title}\n\n"
    yield "| flag | variable | in the file | default | meaning |\n|---|---|---|---|---|\n"
    for row in section.options:
        path = f"`{row.path}`" if row.section else ""
        default = f"`{row.shown_default}`" if row.shown_default else ""
        meaning = _escaped(row.help) + (" *(reloadable)*" if row.reloadable else "")
        short = f"`-{row.short}`, " if row.short else ""
        flag = f"{short}`--{row.flag}` {_escaped(row.kind.metavar)}"
        yield f"| {flag} | `{row.variable}` | {path} | {default} | {meaning} |\n"


def _escaped(text: str) -> str:
    """As Markdown and HTML show it."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def schema() -> dict[str, Any]:
    sections = {
        camel_case(section.name): _object(section) for section in sections_of(Options) if section.name
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": KIND,
        "type": "object",
        "required": ["apiVersion", "kind"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": KIND},
            "metadata": {"type": "object"},
            **sections,
        },
    }


def _object(section: Section) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "description": section.title,
        "additionalProperties": False,
        "properties": {camel_case(row.name): _property(row) for row in section.options},
    }


def _property(row: Option) -> dict[str, Any]:
    """A field that is null is as if it were not there."""
    found: dict[str, Any] = {"description": row.help, "anyOf": [dict(row.kind.schema), {"type": "null"}]}
    if row.shown_default:
        found["default"] = row.kind.to_document(row.default)
    if row.reloadable:
        found["description"] += " (reloadable)"
    return found


def files() -> dict[str, str]:
    """By name, what belongs into docs/reference."""
    return {
        "flags.md": markdown(),
        "configuration.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for name, text in files().items():
        Path(sys.argv[1], name).write_text(text)
