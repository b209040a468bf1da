"""· Which paths are the bastion's own?  The one table of them.

All lie under `/.bastion/`, which no API server and no application has.  The short forms (`/readyz`,
`/login`) are an API server's where calls are passed on to it (--pass-through), and the bastion's where not.
"""

from __future__ import annotations

PREFIX = b"/.bastion"

METRICS = b"/metrics"
VERSION = b"/version"  # the short form is the cluster's, as kubectl expects
LOGIN = b"/login"
KEYS = b"/.well-known/jwks.json"  # where libraries look for them
LONG_KEYS = PREFIX + b"/jwks.json"
HEALTH = (b"/livez", b"/readyz", b"/healthz")
# Short form of each: a record is left by those of the second row alone.
PLAIN = frozenset((*HEALTH, METRICS, KEYS, b"/openapi.json"))
SIGN_IN = frozenset((LOGIN, b"/logout"))
PORTAL = b"/"  # the short form is the bastion's for people alone
UI = b"/ui/"
_ASSETS = b"/ui/assets/"
FILES = frozenset((b"/favicon.ico", b"/robots.txt"))
PAGES = frozenset((b"/status", b"/status.json", b"/status.rss"))
_ISSUERS = LOGIN + b"/"
_HEALTH_CHECKS = tuple(path + b"/" for path in HEALTH)


def is_plain(short: bytes) -> bool:
    """Whether the answer needs nobody to be known, and leaves no record; `/readyz/<check>` is one, too."""
    return (
        short in PLAIN or short == LONG_KEYS or short in FILES or short.startswith((*_HEALTH_CHECKS, _ASSETS))
    )


def is_page(short: bytes) -> bool:
    """Whether it is one of the pages for people who are signed in, but for the portal."""
    return short in PAGES or short.startswith(UI)


def is_sign_in(short: bytes) -> bool:
    """Whether it is a page to sign in or out with; below `/login/` are those of each issuer."""
    return short in SIGN_IN or short.startswith(_ISSUERS)


def short_form(path: bytes) -> bytes | None:
    """`/readyz` of `/.bastion/readyz`; None where the path has no short form."""
    short = path[len(PREFIX) :] if path.startswith(PREFIX) else b""
    if short == LONG_KEYS:
        return None
    if is_plain(short) or is_page(short) or is_sign_in(short) or short in (VERSION, PORTAL):
        return short
    return None


def is_asset(path: bytes) -> bool:
    """Whether pages of ours on any host load it."""
    return path.startswith(PREFIX + _ASSETS)


def is_reserved(path: bytes) -> bool:
    """Whether it is under the prefix, whatever is there."""
    return path.startswith(PREFIX + b"/")
