"""What does `--dump-config` print?  A file that --config takes, with the origin of each value behind it."""

from __future__ import annotations

from collections.abc import Iterator

from bastion.kube.documents import yaml_of
from bastion.settings.load import DEFAULT, Loaded, value_of
from bastion.settings.option import Option, camel_case, sections_of
from bastion.settings.options import Options
from bastion.settings.sources import API_VERSION, KIND


def dumped(loaded: Loaded[Options]) -> str:
    """No option holds a secret: they name files, and what is in those is not read."""
    lines = [f"apiVersion: {API_VERSION}", f"kind: {KIND}"]
    for section in sections_of(Options):
        if section.name:
            lines.append(f"{camel_case(section.name)}:")
            lines += [line for row in section.options for line in _entry(loaded, row)]
    return "\n".join(lines) + "\n"


def _entry(loaded: Loaded[Options], row: Option) -> Iterator[str]:
    value = value_of(loaded.options, row)
    written = row.kind.to_document(value) if value not in (None, "") else None
    origin = loaded.origins[row.key]
    where = "" if origin == DEFAULT else f" {loaded.places[row.key]}"
    first, *others = yaml_of({camel_case(row.name): written}).rstrip("\n").split("\n")
    yield f"  {first}  # {origin}{where}"
    yield from (f"  {line}" for line in others)
