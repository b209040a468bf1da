"""· What keeps the bastion's origin its own?

Which credentials a browser shows unasked, and what each kind of answer says in addition.

Under a path prefix every application answers from this origin, and a script that runs in it could act as
whoever visits. So what a browser got without meaning to is sandboxed, and the bastion's own answers run, load
and embed nothing.
"""

from __future__ import annotations

import enum
from types import MappingProxyType

import msgspec

from bastion.http.fields import Field
from bastion.kube.status import CONTENT_TYPE, StatusError

# --- by credential


class Kind(enum.Enum):
    """What a request shows of who is asking."""

    __hash__ = object.__hash__  # each is one; Enum's own is Python code, and every request is looked up here

    TOKEN = "token"  # noqa: S105  in Authorization, X-Bastion-Authorization or a WebSocket's subprotocol
    COOKIE = "cookie"  # of ours: a session, on the main host or an application's
    FRONT_PROXY = "front proxy"  # its certificate, and headers that name a user
    CERTIFICATE = "certificate"  # of the client itself
    NOTHING = "nothing"


class CrossSite(enum.Enum):
    """Does the credential count where another site's page made the browser ask?"""

    COUNTS = "counts"
    # not where `Origin` or `Sec-Fetch-*` says so; without any of them a program asks
    UNLESS_MARKED = "unless marked"
    ONLY_OURS = "only ours"  # only for what can be told to be our own page's, or a person's


class Rule(msgspec.Struct, frozen=True):
    """`ambient`: a browser shows it, whoever made it ask; under a prefix the answer is sandboxed."""

    ambient: bool
    cross_site: CrossSite


RULES = MappingProxyType(
    {
        # Whoever sends it holds it: no form, frame or link can make a browser add one.
        Kind.TOKEN: Rule(ambient=False, cross_site=CrossSite.COUNTS),
        # Only browsers have it, and it is theirs to prove that a page of ours asked: old ones leave out what
        # would tell.
        Kind.COOKIE: Rule(ambient=True, cross_site=CrossSite.ONLY_OURS),
        # Behind it is a cookie of the proxy's own, or of its single sign-on; also programs come through it.
        Kind.FRONT_PROXY: Rule(ambient=True, cross_site=CrossSite.UNLESS_MARKED),
        # curl has it, and so has a browser whose user picked it once.
        Kind.CERTIFICATE: Rule(ambient=True, cross_site=CrossSite.UNLESS_MARKED),
        # Any page may see what anybody may see; but a page that came so is in the browser of somebody who is
        # more than that.
        Kind.NOTHING: Rule(ambient=True, cross_site=CrossSite.COUNTS),
    }
)

# On a backend's answer, beside any policy of its own: browsers keep to both.
SANDBOX: Field = (
    b"content-security-policy",
    b"Content-Security-Policy",
    b"sandbox allow-scripts allow-forms allow-popups allow-downloads",
)

# --- by kind of answer of the bastion's own

_NOSNIFF: Field = (b"x-content-type-options", b"X-Content-Type-Options", b"nosniff")
_APART: tuple[Field, ...] = (
    (b"cross-origin-opener-policy", b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"Cross-Origin-Resource-Policy", b"same-origin"),
    _NOSNIFF,
)


def _policy(*directives: str) -> Field:
    # Not `sandbox`: with an opener policy beside it, HTML ("navigation params") has browsers show an error
    # page instead.
    text = "; ".join(("default-src 'none'", *directives, "frame-ancestors 'none'", "base-uri 'none'"))
    return (b"content-security-policy", b"Content-Security-Policy", text.encode())


# JSON, text, redirects: nothing in them is ever run, loaded, sent or framed.
DATA = (_policy("form-action 'none'"), *_APART)


def page_fields(style: str) -> tuple[Field, ...]:
    """Of HTML without scripts; `style` is the source (CSP 3) of its one style sheet."""
    # form-action has to name where the form's answer redirects to, too, and that is wherever the application
    # sends its visitors.
    return (
        _policy(f"style-src {style}", "form-action 'self' https:"),
        *_APART,
        # Not no-referrer: that would turn the Origin of our own forms into `null`.
        (b"referrer-policy", b"Referrer-Policy", b"same-origin"),
        (b"x-frame-options", b"X-Frame-Options", b"DENY"),
    )


def data_fields(asked: list[Field]) -> tuple[Field, ...]:
    """Those of DATA where a browser asked; programs get what kube-apiserver would tell them.

    `asked`: the request's fields.

    W3C Fetch Metadata: every browser says where its answer goes, and no page can keep it from that.
    """
    return (
        DATA
        if any(lower == b"sec-fetch-dest" or lower == b"sec-fetch-mode" for lower, _, _ in asked)
        else (_NOSNIFF,)
    )


def status_fields(error: StatusError, asked: list[Field]) -> list[Field]:
    """Those of a Status as an answer to a request with the fields `asked`, but for its length."""
    return [
        (b"content-type", b"Content-Type", CONTENT_TYPE),
        (b"cache-control", b"Cache-Control", b"no-cache, private"),
        *data_fields(asked),
        *((name.lower(), name, value) for name, value in error.headers),
        (b"x-bastion-error", b"X-Bastion-Error", error.reason.encode() or b"%d" % error.code),
    ]
