"""`bastion why`: what would a bastion do with a request of a user, and why?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bastion.cli.asking import fetched, write
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import DEFAULT, named, split
from bastion.cli.place import place_of
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.commands import WhyOptions
from bastion.settings.option import options_of

OPTIONS = WhyOptions
PATH = "/.bastion/why"
SENT, REFUSED, UNKNOWN = 0, 1, 2
MANUAL = Manual(
    "bastion why USER VERB TARGET",
    "Asks a bastion what it would do with a request: who asks, which rule allows it, what the target is,"
    " and where it leads; nothing is sent to a backend. The exit status is 0 where the request would be"
    " sent to an endpoint, 1 where not, 2 where that could not be found out.",
    ("server", "token"),
    (
        ("why is this refused?", "bastion why bob get svc/shop/web:http"),
        ("and for a service account", "bastion why system:serviceaccount:shop:robot get -n shop pod/web-0"),
    ),
    (
        "USER is whom the token is of, or a user whom that one may impersonate; `-` is whom the token is of.",
        "TARGET is svc|pod|node/NAME in the namespace of -n, svc/NAMESPACE/NAME:PORT/PATH, or a whole path.",
    ),
)


def run(argv: Sequence[str]) -> int:
    words, flags, others = split(options_of(OPTIONS), argv)
    given = loaded(OPTIONS, flags, MANUAL)
    if given is None:
        return 0
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    if len(words) != 3 or others:
        raise ConfigError(["USER, VERB and TARGET are required (see bastion why --help)"])
    user, verb, target = words
    asked = given.options
    if target[:1] != "/":
        wanted = named(target, asked.asked.namespace or DEFAULT)
        target = wanted.path if wanted.rest else wanted.target
    params = {"verb": verb, "target": target} | ({"user": user} if user != "-" else {})
    try:
        answer = fetched(place_of(asked.asked), PATH, params, accept="text/plain", timeout=asked.why.timeout)
    except StartError as error:
        sys.stderr.write(f"bastion why: {error}\n")
        return UNKNOWN
    write(answer.text)
    return SENT if "\nanswer: the request is sent" in answer.text else REFUSED
