"""`bastion get TARGET[/PATH]`: what does a target answer?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bastion.cli.asking import document_of, fetched, write
from bastion.cli.help import Manual
from bastion.cli.named import DEFAULT, named
from bastion.cli.onetarget import one_target
from bastion.cli.output import formatted
from bastion.cli.place import place_of
from bastion.settings.people import ShownOptions

OPTIONS = ShownOptions
MANUAL = Manual(
    "bastion get TARGET[/PATH]",
    "Gets a path of a service, pod or node through the bastion, and prints the body as it is, or with -o as"
    " a document. The exit status is 0, 1 where it was refused or failed, 2 for a mistake in the command"
    " line.",
    ("server", "token"),
    (
        ("a page", "bastion get svc/shop/frontend:http/healthz"),
        ("a field of a JSON document", "bastion get svc/shop/api:http/version -o jsonpath='{.version}'"),
    ),
    ("TARGET is svc|pod|node/NAME in the namespace of -n, or svc/NAMESPACE/NAME:PORT/PATH.",),
)


def run(argv: Sequence[str]) -> int:
    given = one_target(OPTIONS, MANUAL, argv)
    if given is None:
        return 0
    asked, target, _ = given
    answer = fetched(place_of(asked.asked), named(target, asked.asked.namespace or DEFAULT).path)
    if asked.shown.output not in ("", "wide", "name"):
        write(formatted(document_of(answer), asked.shown.output))
    else:
        sys.stdout.buffer.write(answer.content)
        sys.stdout.buffer.flush()
    return 0
