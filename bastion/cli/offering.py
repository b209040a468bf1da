"""Which words may come next on a command line?  For `kubectl bastion`, whose shell asks a program.

kubectl runs `kubectl_complete-bastion` with the words that stand behind `kubectl bastion`, the last of them
begun or empty.  What it prints is cobra's: a word and what it is on each line, then a directive.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from bastion.cli.completion import Completable, commands, takes_path
from bastion.cli.named import one_name, split
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.option import Option

# cobra's ShellCompDirective: files may follow; no blank behind the word; no files
FILES, NO_SPACE, NO_FILES = 0, 2, 4
KINDS = ("svc/", "pod/", "node/")
# which word behind the command is its TARGET
TARGETS = {"get": 0, "curl": 0, "open": 0, "tunnel": 0, "probe": 0, "why": 2}
SECONDS = 2.0  # a person waits at the terminal

Offer = tuple[str, str]  # a word, and what it is
Names = Callable[[Sequence[str]], Iterable[str]]


def offered(known: Sequence[Completable], words: Sequence[str], names: Names) -> tuple[list[Offer], int]:
    """(what the last of `words` may become, the directive).

    `names`: of targets, for the flags that are there.
    """
    *before, begun = [one_name(word) for word in words] or [""]
    if not before:
        return _fitting(((command.name, command.help) for command in known), begun), NO_FILES
    command = next((command for command in known if command.name == before[0]), None)
    if command is None or "--" in before:
        return [], FILES
    rows = {f"--{row.flag}": row for row in command.options}
    rows |= {f"-{row.short}": row for row in command.options if row.short}
    flag, equals, value = begun.partition("=")
    if equals and flag in rows:
        return _values(rows[flag], value, f"{flag}=")
    last = rows.get(before[-1])
    if last is not None and not last.kind.is_switch:
        return _values(last, begun, "")
    if begun.startswith("-"):
        return _fitting(_flags(command), begun), NO_FILES
    plain, flags, _ = split(command.options, before[1:])
    offers = [(word, "") for word in command.words]
    if TARGETS.get(command.name) == len(plain):
        offers += [(name, "") for name in names(flags)]
        if not (found := _fitting(offers, begun)):
            return _fitting(((kind, "") for kind in KINDS), begun), NO_FILES | NO_SPACE
        return found, NO_FILES | (NO_SPACE if command.name != "tunnel" else 0)
    return _fitting(offers, begun), NO_FILES


def _flags(command: Completable) -> Iterator[Offer]:
    for row in command.options:
        yield f"--{row.flag}", row.help
    yield "--help", "print help"


def _values(row: Option, begun: str, front: str) -> tuple[list[Offer], int]:
    if takes_path(row):
        return [], FILES
    return [(front + word, "") for word, _ in _fitting(((w, "") for w in row.kind.words), begun)], NO_FILES


def _fitting(offers: Iterable[Offer], begun: str) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(begun)]


def names_of(flags: Sequence[str]) -> list[str]:
    """Of what the user may open; none where that is not told at once."""
    import os
    from pathlib import Path

    from bastion.cli.asking import document_of, fetched
    from bastion.cli.place import place_of
    from bastion.cli.targets import CATALOG, name_of
    from bastion.settings.commands import variables
    from bastion.settings.load import load
    from bastion.settings.people import AskedOptions

    asked = load(AskedOptions, flags, os.environ, Path.read_text, variables()).options.asked
    try:
        items = document_of(fetched(place_of(asked), CATALOG, timeout=SECONDS)).get("items", ())
    except (ConfigError, StartError):
        return []
    return [name_of(item) for item in items if asked.namespace in ("", item["namespace"])]


def main(argv: Sequence[str] | None = None) -> int:
    offers, directive = offered(commands(), sys.argv[1:] if argv is None else argv, names_of)
    for word, help in offers:
        sys.stdout.write(f"{word}\t{help}\n" if help else f"{word}\n")
    sys.stdout.write(f":{directive}\n")
    return 0
