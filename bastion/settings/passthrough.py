"""· Options of passing on to the API servers what is neither the bastion's own nor a proxied target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.kinds import BOOLEAN, NAMES, PATH, one_of
from bastion.settings.option import option

NONE, IMPERSONATE, REQUEST_HEADER = "none", "impersonate", "requestheader"
USER = "user"


@dataclass(frozen=True, slots=True)
class PassThrough:
    """`identity`: how a user whom only the bastion knows is named to an API server."""

    enabled: bool = option(
        "pass-through", BOOLEAN, False, "pass every other request on to an API server, as its user"
    )
    discover: bool = option(
        "discover-apiservers", BOOLEAN, False, "to those in the EndpointSlice default/kubernetes as well"
    )
    identity: str = option(
        "pass-through-identity",
        one_of(NONE, IMPERSONATE, REQUEST_HEADER),
        NONE,
        "how the API servers are told of a user whom only the bastion knows: not at all, by Impersonate-*"
        " with the bastion's own right, or by X-Remote-* with a front proxy's certificate",
    )
    client_certificate: Path | None = option(
        "pass-through-client-certificate", PATH, None, "the front proxy's, for requestheader alone"
    )
    client_key: Path | None = option("pass-through-client-key", PATH, None, "its private key")
    deny_groups: tuple[str, ...] = option(
        "pass-through-deny-groups",
        NAMES,
        ("system:masters", "system:nodes"),
        "groups whose members the API servers are never told of; a user system:… is never told of either",
    )
    sessions: bool = option(
        "pass-through-sessions",
        BOOLEAN,
        False,
        "a session of the sign-in page counts for calls of the bastion's own pages",
    )
    affinity: str = option(
        "pass-through-affinity",
        one_of(NONE, USER),
        NONE,
        "user: the calls of one user go to the same API server while it is ready",
    )
