"""· What keeps the bastion's origin its own?

Which credentials a browser sends by itself, and which fields each kind of response has in addition.

Under a path prefix every application answers from this origin, and a script that runs in it could act as the
visitor. So a response to credentials that a browser sent by itself is sandboxed, and the bastion's own
responses run, load and embed nothing.
"""

from __future__ import annotations

import enum
from types import MappingProxyType

import msgspec

from bastion.http.fields import Field
from bastion.kube.status import CONTENT_TYPE, StatusError

# --- by credential


class CredentialKind(enum.Enum):
    """The kind of credentials in a request."""

    __hash__ = object.__hash__  # each is one; Enum's own is Python code, and every request is looked up here

    TOKEN = "token"  # noqa: S105  in Authorization, X-Bastion-Authorization or a WebSocket's subprotocol
    COOKIE = "cookie"  # of ours: a session, on the main host or an application's
    FRONT_PROXY = "front proxy"  # its certificate, and headers that name a user
    CERTIFICATE = "certificate"  # of the client itself
    NOTHING = "nothing"


class CrossSite(enum.Enum):
    """Do the credentials count where another site's page made the browser send the request?"""

    COUNTS = "counts"
    # not where `Origin` or `Sec-Fetch-*` says so; without any of them the client is a program
    UNLESS_MARKED = "unless marked"
    ONLY_OURS = "only ours"  # only where our own page, or a person, provably made the request


class Rule(msgspec.Struct, frozen=True):
    """`ambient`: a browser sends it with any request to us; under a prefix the response is sandboxed."""

    ambient: bool
    cross_site: CrossSite


RULES = MappingProxyType(
    {
        # The sender holds it: no form, frame or link can make a browser add one.
        CredentialKind.TOKEN: Rule(ambient=False, cross_site=CrossSite.COUNTS),
        # Only browsers have it, and they must show that a page of ours made the request: old browsers omit
        # the fields that show it.
        CredentialKind.COOKIE: Rule(ambient=True, cross_site=CrossSite.ONLY_OURS),
        # Behind it is a cookie of the proxy's own, or of its single sign-on; also programs come through it.
        CredentialKind.FRONT_PROXY: Rule(ambient=True, cross_site=CrossSite.UNLESS_MARKED),
        # curl has it, and so has a browser whose user picked it once.
        CredentialKind.CERTIFICATE: Rule(ambient=True, cross_site=CrossSite.UNLESS_MARKED),
        # Any page may read what is public; but a script in a public page runs in the browser of a user who
        # has more rights.
        CredentialKind.NOTHING: Rule(ambient=True, cross_site=CrossSite.COUNTS),
    }
)

# On a backend's response, beside any policy of its own: browsers apply both.
SANDBOX: Field = (
    b"content-security-policy",
    b"Content-Security-Policy",
    b"sandbox allow-scripts allow-forms allow-popups allow-downloads",
)

# --- by kind of the bastion's own responses

_NOSNIFF: Field = (b"x-content-type-options", b"X-Content-Type-Options", b"nosniff")
_APART: tuple[Field, ...] = (
    (b"cross-origin-opener-policy", b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"Cross-Origin-Resource-Policy", b"same-origin"),
    _NOSNIFF,
)


def _policy(*directives: str, after: tuple[str, ...] = ()) -> Field:
    # Not `sandbox`: with an opener policy beside it, HTML ("navigation params") has browsers show an error
    # page instead.
    framing = ("frame-ancestors 'none'", "base-uri 'none'")
    text = "; ".join(("default-src 'none'", *directives, *framing, *after))
    return (b"content-security-policy", b"Content-Security-Policy", text.encode())


# JSON, text, redirects: nothing in them is ever run, loaded, sent or framed.
DATA = (_policy("form-action 'none'"), *_APART)


def page_fields(nonce: str, *, elsewhere: bool = False) -> tuple[Field, ...]:
    """Of HTML whose style and script have this nonce, or none at all.

    `elsewhere`: a form on it may lead to other hosts; form-action covers redirects after the form, too.
    """
    return (
        _policy(
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "img-src 'self'",
            "connect-src 'self'",
            f"form-action 'self'{' https:' if elsewhere else ''}",
            after=("require-trusted-types-for 'script'", "trusted-types 'none'"),
        ),
        *_APART,
        # Not no-referrer: that would turn the Origin of our own forms into `null`.
        (b"referrer-policy", b"Referrer-Policy", b"same-origin"),
        (b"x-frame-options", b"X-Frame-Options", b"DENY"),
    )


def data_fields(asked: list[Field]) -> tuple[Field, ...]:
    """Those of DATA for a browser; programs get what kube-apiserver would send.

    `asked`: the request's fields.

    W3C Fetch Metadata: every browser says what the response is for, and no page can suppress that.
    """
    return (
        DATA
        if any(lower == b"sec-fetch-dest" or lower == b"sec-fetch-mode" for lower, _, _ in asked)
        else (_NOSNIFF,)
    )


def status_fields(error: StatusError, asked: list[Field]) -> list[Field]:
    """Those of a Status in response to a request with the fields `asked`, but for its length."""
    return [
        (b"content-type", b"Content-Type", CONTENT_TYPE),
        (b"cache-control", b"Cache-Control", b"no-cache, private"),
        *data_fields(asked),
        *own_fields(error),
    ]


def own_fields(error: StatusError) -> list[Field]:
    """Those that an error itself has, as a Status and as a page."""
    return [
        *((name.lower(), name, value) for name, value in error.headers),
        (b"x-bastion-error", b"X-Bastion-Error", error.name.encode()),
    ]
