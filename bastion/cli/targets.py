"""`bastion targets`: what may the user reach through a bastion?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bastion.cli.asking import document_of, fetched, write
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import KINDS, split
from bastion.cli.output import Column, printed
from bastion.cli.place import place_of
from bastion.runtime.errors import ConfigError
from bastion.settings.option import options_of
from bastion.settings.people import ShownOptions

OPTIONS = ShownOptions
CATALOG = "/.bastion/ui/catalog"
MANUAL = Manual(
    "bastion targets [svc|pod|node]",
    "Lists the services, pods and nodes that the user may open through the bastion. The exit status is 0, 1"
    " where the bastion did not answer or refused, 2 for a mistake in the command line.",
    ("server", "token"),
    (
        ("of all namespaces", "bastion targets"),
        ("names for a script", "bastion targets svc -n shop -o name"),
        ("where they are", "bastion targets -o jsonpath='{.items[*].url}'"),
    ),
)


def _ports(item: Mapping[str, Any]) -> str:
    return ",".join(str(port.get("port", "")) for port in item.get("ports", ()))


COLUMNS = (
    Column("NAMESPACE", lambda item: item.get("namespace", "")),
    Column("KIND", lambda item: item.get("kind", "").removesuffix("s")),
    Column("NAME", lambda item: item.get("name", "")),
    Column("READY", lambda item: f"{item.get('ready', 0)}/{item.get('endpoints', 0)}"),
    Column("PORTS", _ports),
    Column("STATE", lambda item: item.get("state", "")),
    Column("URL", lambda item: item.get("url") or item.get("path", ""), wide=True),
)


def name_of(item: Mapping[str, Any]) -> str:
    """As the other commands take it."""
    short = {"services": "svc", "pods": "pod", "nodes": "node"}[item["kind"]]
    return "/".join(part for part in (short, item.get("namespace", ""), item["name"]) if part)


def run(argv: Sequence[str]) -> int:
    words, flags, others = split(options_of(OPTIONS), argv)
    given = loaded(OPTIONS, flags, MANUAL)
    if given is None:
        return 0
    unknown = [word for word in words if word not in KINDS]
    if given.mistakes or unknown or others or len(words) > 1:
        left = [f"{word}: must be svc, pod or node" for word in (*unknown, *words[1:], *others)]
        raise ConfigError([*given.mistakes, *left])
    asked = given.options
    document = document_of(fetched(place_of(asked.asked), CATALOG))
    kind, namespace = KINDS[words[0]] if words else "", asked.asked.namespace
    items = [
        item
        for item in document.get("items", ())
        if kind in ("", item["kind"]) and namespace in ("", item["namespace"])
    ]
    document = {**document, "items": items, "total": len(items)}
    write(printed(document, items, COLUMNS, name_of, asked.shown.output))
    return 0
