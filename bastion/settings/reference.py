"""· What is there to know of every option?  docs/reference is written from the table:
`python -m bastion.settings.reference docs/reference`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bastion.kube.annotation import DOMAIN, Annotation, rows
from bastion.kube.annotations import SECTIONS
from bastion.kube.annotationvalues import NUMBER
from bastion.kube.values import show_duration
from bastion.settings.allocating import AllocatingOptions, AnnouncingOptions
from bastion.settings.balancing import BalancingOptions
from bastion.settings.commands import DemoOptions, ProbeOptions, StandaloneOptions, WhyOptions
from bastion.settings.login import KubeconfigOptions, LoginOptions
from bastion.settings.option import Option, Section, camel_case, options_of, sections_of
from bastion.settings.options import Options
from bastion.settings.people import AskedOptions, OpenOptions, ShownOptions, TunnelOptions
from bastion.settings.sources import API_VERSION, KIND, OF_PROGRAMS

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

The section `node` of the same file is [`bastion node`'s](../guides/node.md), with the fields of a
`KubeProxyConfiguration`.

The variables that Kubernetes sets for Services called `bastion` or `bastion-…` (`BASTION_SERVICE_HOST`,
`BASTION_PORT=tcp://…`) are no options.
"""


def markdown() -> str:
    sections = "".join(_section(section) for section in sections_of(Options))
    others = "".join(
        f"\n# Options of `bastion {name}`\n\n{_table(options_of(whole), in_file=False)}"
        for name, whole in (
            ("lb", BalancingOptions),
            ("lb controller", AllocatingOptions),
            ("node", AnnouncingOptions),
            ("standalone", StandaloneOptions),
            ("demo", DemoOptions),
            ("probe", ProbeOptions),
            ("why", WhyOptions),
            ("targets`, `status` and `bastion get", ShownOptions),
            ("curl", AskedOptions),
            ("open", OpenOptions),
            ("tunnel", TunnelOptions),
            ("login", LoginOptions),
            ("kubeconfig", KubeconfigOptions),
        )
    )
    return INTRODUCTION + sections + others


def _section(section: Section) -> str:
    title = section.title[0].upper() + section.title[1:]
    return f"\n## {title}\n\n{_table(section.options, in_file=bool(section.name))}"


def _table(of: Iterable[Option], *, in_file: bool) -> str:
    head = ("flag", "variable", *(("in the file",) if in_file else ()), "default", "meaning")
    return lines(head, (_cells(row, in_file=in_file) for row in of))


def _cells(row: Option, *, in_file: bool) -> tuple[str, ...]:
    short = f"`-{row.short}`, " if row.short else ""
    return (
        f"{short}`--{row.flag}` {escaped(row.kind.metavar)}",
        f"`{row.variable}`",
        *((f"`{row.path}`",) if in_file else ()),
        f"`{row.shown_default}`" if row.shown_default else "",
        escaped(row.help) + (" *(reloadable)*" if row.reloadable else ""),
    )


ANNOTATIONS_INTRODUCTION = f"""# Annotations

What the owner of a Service or pod may say about it, under `{DOMAIN}/`. A key that is not here, and a value
that is none, are told in the log once and change nothing: the default holds. Durations are written as
`500ms`, `2s`, `1m30s`.
"""


def table_of_annotations() -> str:
    return ANNOTATIONS_INTRODUCTION + "".join(
        f"\n## {title}\n\n"
        + lines(("annotation", "on", "values", "default", "meaning"), map(_said, rows(part)))
        for part, title in SECTIONS
    )


def _said(row: Annotation) -> tuple[str, ...]:
    default = row.otherwise or (f"`{_shown(row)}`" if row.default not in (None, "") else "")
    return f"`{row.key}`", ", ".join(row.kinds), row.value.shown, default, escaped(row.help)


def _shown(row: Annotation) -> str:
    value = row.default
    if row.value is NUMBER:
        return f"{value:g}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return show_duration(value) if isinstance(value, float) else str(value)


def lines(head: tuple[str, ...], cells: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ("---",) * len(head), *cells))


def escaped(text: str) -> str:
    """As Markdown and HTML show it, in a table.  What stands between backquotes is shown as it is."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [plain.replace("<", "&lt;").replace("*", "\\*") for plain in parts[::2]]
    return "`".join(parts)


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
            **{name: {"type": ["object", "null"], "description": what} for name, what in OF_PROGRAMS.items()},
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
        "annotations.md": table_of_annotations(),
        "configuration.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for name, text in files().items():
        Path(sys.argv[1], name).write_text(text)
