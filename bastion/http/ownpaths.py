"""· Which paths are the bastion's own?  The one table of them.

All lie under `/.bastion/`, which no API server and no application has.  The short forms (`/readyz`,
`/login`) are an API server's where calls are passed on to it (--pass-through), and the bastion's where not.
"""

from __future__ import annotations

PREFIX = b"/.bastion"

METRICS = b"/metrics"
VERSION = b"/version"  # the short form is the cluster's, as kubectl expects
LOGIN = b"/login"
HEALTH = (b"/livez", b"/readyz", b"/healthz")
# Short form of each: a record is left by those of the second row alone.
PLAIN = frozenset((*HEALTH, METRICS, b"/openapi.json"))
SIGN_IN = frozenset((LOGIN, b"/logout"))
_HEALTH_CHECKS = tuple(path + b"/" for path in HEALTH)


def is_plain(short: bytes) -> bool:
    """Whether the answer needs nobody to be known, and leaves no record; `/readyz/<check>` is one, too."""
    return short in PLAIN or short.startswith(_HEALTH_CHECKS)


def short_form(path: bytes) -> bytes | None:
    """`/readyz` of `/.bastion/readyz`; None where the path has no short form."""
    short = path[len(PREFIX) :] if path.startswith(PREFIX) else b""
    return short if is_plain(short) or short in SIGN_IN or short == VERSION else None


def is_reserved(path: bytes) -> bool:
    """Whether it is under the prefix, whatever is there."""
    return path.startswith(PREFIX + b"/")
