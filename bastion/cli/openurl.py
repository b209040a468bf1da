"""`bastion open TARGET[/PATH]`: a target in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence

from bastion.cli.asking import document_of, fetched, write
from bastion.cli.help import Manual
from bastion.cli.named import DEFAULT, Named, named
from bastion.cli.onetarget import one_target
from bastion.cli.place import Place, place_of
from bastion.cli.targets import CATALOG
from bastion.settings.people import OpenOptions

OPTIONS = OpenOptions
MANUAL = Manual(
    "bastion open TARGET[/PATH]",
    "Opens a service, pod or node in the browser, on the host name that the bastion gives it, and prints the"
    " URL. The exit status is 0, 1 where the bastion did not answer or refused, 2 for a mistake in the"
    " command line.",
    ("server", "token"),
    (
        ("in the browser", "bastion open svc/shop/frontend"),
        ("only the URL", "bastion open --print svc/shop/frontend:http/login"),
    ),
    ("TARGET is svc|pod|node/NAME in the namespace of -n, or svc/NAMESPACE/NAME:PORT/PATH.",),
)


def run(argv: Sequence[str]) -> int:
    given = one_target(OPTIONS, MANUAL, argv)
    if given is None:
        return 0
    asked, target, _ = given
    place = place_of(asked.asked)
    url = _url(place, named(target, asked.asked.namespace or DEFAULT))
    write(f"{url}\n")
    if not asked.open.print_only:
        webbrowser.open(url)
    return 0


def _url(place: Place, target: Named) -> str:
    """Of the catalog, whose host names are made for browsers; the path where it has none."""
    for item in document_of(fetched(place, CATALOG)).get("items", ()):
        if (item["kind"], item["namespace"], item["name"]) != (
            target.resource,
            target.namespace,
            target.name,
        ):
            continue
        ports = item.get("ports", ())
        fitting = [one for one in ports if target.port in (str(one.get("port")), one.get("name"))]
        found = fitting[0].get("url") if fitting else item.get("url") if not target.port else ""
        if found:
            return str(found).rstrip("/") + (target.rest or "/")
    return place.url + target.path
