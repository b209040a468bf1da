"""`bastion why`: what would a bastion do with a request of a user, and why?"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bastion.cli.asking import context_of, message_of
from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.cli.named import long_form, one_name
from bastion.runtime.errors import ConfigError
from bastion.settings.commands import TOKEN, Why, WhyOptions

OPTIONS = WhyOptions
SENT, REFUSED, UNKNOWN = 0, 1, 2
MANUAL = Manual(
    "bastion why USER VERB TARGET",
    "Asks a bastion what it would do with a request: who asks, which rule allows it, what the target is,"
    " and where it leads; nothing is sent to a backend. The exit status is 0 where the request would be"
    " sent to an endpoint, 1 where not, 2 where that could not be found out.",
    ("server",),
    (
        ("why is this refused?", "bastion why bob get services/shop/web:http"),
        ("and for a service account", "bastion why system:serviceaccount:shop:robot get pods/shop/web-0"),
    ),
    (
        "USER is whom the token is of, or a user whom that one may impersonate; `-` is whom the token is of.",
        "TARGET is svc|pod/NAMESPACE/[SCHEME:]NAME[:PORT] or node/NAME[:PORT].",
    ),
)


def run(argv: Sequence[str]) -> int:
    words = [one_name(word) for word in argv]
    named: list[str] = []
    while words and (words[0] == "-" or not words[0].startswith("-")) and len(named) < 3:
        named.append(words.pop(0))
    given = loaded(OPTIONS, words, MANUAL)
    if given is None:
        return 0
    if given.mistakes:
        raise ConfigError(list(given.mistakes))
    if len(named) != 3:
        raise ConfigError(["USER, VERB and TARGET are required (see bastion why --help)"])
    user, verb, target = named
    return _ask(given.options.why, user, verb, long_form(target))


def _ask(asked: Why, user: str, verb: str, target: str) -> int:
    import httpx

    token = asked.token or (
        asked.token_file.read_text().strip() if asked.token_file is not None else os.environ.get(TOKEN, "")
    )
    headers = {"Accept": "text/plain"} | ({"Authorization": f"Bearer {token}"} if token else {})
    params = {"verb": verb, "target": target} | ({"user": user} if user != "-" else {})
    try:
        answer = httpx.get(
            f"{asked.server.rstrip('/')}/.bastion/why",
            params=params,
            headers=headers,
            timeout=asked.timeout,
            verify=context_of(asked.certificate_authority, verify=not asked.insecure_skip_tls_verify),
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        sys.stderr.write(f"bastion why: {asked.server}: {error}\n")
        return UNKNOWN
    if answer.status_code != 200:
        sys.stderr.write(f"bastion why: {message_of(answer.text)}\n")
        return UNKNOWN
    sys.stdout.write(answer.text)
    return SENT if "\nanswer: the request is sent" in answer.text else REFUSED
