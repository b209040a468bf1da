"""`bastion status`: how are the targets that the user may see?"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.cli.asking import document_of, fetched, write
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import split
from bastion.cli.output import Column, printed
from bastion.cli.place import place_of
from bastion.cli.targets import CATALOG, name_of
from bastion.runtime.errors import ConfigError
from bastion.settings.option import options_of
from bastion.settings.people import ShownOptions

OPTIONS = ShownOptions
WELL, ILL = 0, 1
DOWN = "down"
MANUAL = Manual(
    "bastion status",
    "Shows whether the targets that the user may open are ready, and what their probes say. The exit status"
    " is 0 where none is known to be down, 1 where one is or the bastion did not answer, 2 for a mistake in"
    " the command line.",
    ("server", "token"),
    (("of one namespace", "bastion status -n shop"), ("for a program", "bastion status -o json")),
)
COLUMNS = (
    Column("TARGET", name_of),
    Column("STATE", lambda item: item.get("state", "")),
    Column("READY", lambda item: f"{item.get('ready', 0)}/{item.get('endpoints', 0)}"),
    Column("MILLISECONDS", lambda item: f"{item.get('milliseconds') or 0:g}", wide=True),
)


def run(argv: Sequence[str]) -> int:
    words, flags, others = split(options_of(OPTIONS), argv)
    given = loaded(OPTIONS, flags, MANUAL)
    if given is None:
        return 0
    if given.mistakes or words or others:
        raise ConfigError([*given.mistakes, *(f"{word}: unexpected argument" for word in (*words, *others))])
    asked = given.options
    document = document_of(fetched(place_of(asked.asked), CATALOG))
    namespace = asked.asked.namespace
    items = [item for item in document.get("items", ()) if namespace in ("", item["namespace"])]
    write(printed({**document, "items": items}, items, COLUMNS, name_of, asked.shown.output))
    return ILL if any(item.get("state", "").lower() == DOWN for item in items) else WELL
