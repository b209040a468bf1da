"""· Which fields of a backend's response reach the client, and which are added?

Under a path prefix every application shares the bastion's own origin: fields that would count for that whole
origin are dropped, and links, cookies and pages are put under the prefix.  On an application host an
application keeps all but the Domain of its cookies, and the `http:` of its own URLs where the client came
over TLS.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bastion.http.fields import Field, values
from bastion.message.headers import to_client
from bastion.message.mount import Mount
from bastion.message.ownorigin import SANDBOX
from bastion.message.page.html import HtmlRewriter, plan
from bastion.message.rewrite import PLACED, rewrite_fields

# Fields that count for an origin, not for one response.
ORIGIN_WIDE = frozenset(
    (
        # what browsers keep for the origin, or throw away
        b"clear-site-data",
        b"service-worker-allowed",
        b"use-as-dictionary",  # RFC 9842: for any URL of the origin that matches
        b"shared-storage-write",
        # how it is reached, and which sites may embed it
        b"strict-transport-security",
        b"public-key-pins",
        b"public-key-pins-report-only",
        b"expect-ct",
        b"alt-svc",
        b"origin-agent-cluster",  # the first response decides for all pages
        b"access-control-allow-private-network",
        b"activate-storage-access",
        # what is reported of it, and where
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"observe-browsing-topics",
        b"attribution-reporting-info",
        b"attribution-reporting-register-source",
        b"attribution-reporting-register-trigger",
        b"attribution-reporting-register-os-source",
        b"attribution-reporting-register-os-trigger",
        # which client hints all its requests carry (RFC 8942)
        b"accept-ch",
        b"accept-ch-lifetime",
        b"critical-ch",
        # sign-in: FedCM, and sessions bound to a device
        b"set-login",
        b"idp-signin-status",
        b"secure-session-registration",
        b"secure-session-challenge",
        b"sec-session-registration",
        b"sec-session-challenge",
    )
)
# What Clear-Site-Data may name on an application host: `cookies` would be those of a whole domain.
_CLEARED_ALONE = (
    b'"cache"',
    b'"storage"',
    b'"executionContexts"',
    b'"clientHints"',
    b'"prefetchCache"',
    b'"prerenderCache"',
)
_EVERYTHING = b'"cache", "storage", "executionContexts"'
_NOSNIFF: Field = (b"x-content-type-options", b"X-Content-Type-Options", b"nosniff")
_PRIVATE: Field = (b"cache-control", b"Cache-Control", b"private")


class Policy(msgspec.Struct, frozen=True):
    """`edit_html`: pages are rewritten.

    `sandbox`: a response to a request without a token gets an origin of its own.
    """

    edit_html: bool = True
    sandbox: bool = True


class RequestContext(msgspec.Struct, frozen=True):
    """What the response depends on in the request.

    `prefixed`: the application is under a path prefix; `ambient`: the request has no token (`ownorigin`).
    """

    method: str
    fields: list[Field]
    prefixed: bool
    ambient: bool


class ClientResponse(msgspec.Struct, frozen=True):
    """`length` of the body in bytes, None where it is not known; `rewriter` where the body is edited."""

    fields: list[Field]
    length: int | None
    rewriter: HtmlRewriter | None = None


def present(
    asked: RequestContext,
    status: int,
    fields: list[Field],
    length: int | None,
    mount: Callable[[], Mount],
    policy: Policy,
) -> ClientResponse:
    """`length` of the backend's body in bytes; `mount` is called only where a URL or a cookie may change."""
    fields = to_client(fields)
    marks = _marks(fields)
    if marks & _FOREIGN:
        fields = (
            [field for field in fields if field[0] not in ORIGIN_WIDE]
            if asked.prefixed
            else _clearing_alone(fields)
        )
    rewriter = None
    if marks & (_PLACED | _HTML):
        where = mount()
        edit = marks & _HTML and policy.edit_html and not _is_unedited(asked.fields)
        planned = plan(where, status, fields) if edit else None
        if planned is not None:
            fields, length = _varying(planned.fields, b"X-Bastion-Rewrite"), None
            rewriter = None if asked.method == "HEAD" else planned.rewriter()
        if marks & _PLACED:
            fields = rewrite_fields(where, fields)
    if asked.prefixed:
        fields = _guarded(fields, marks, asked.ambient, policy.sandbox)
    return ClientResponse(fields, length, rewriter)


# What a response's fields call for, in one look at each.
_PLACED, _FOREIGN, _HTML, _CACHED, _SHARED, _SNIFFED = 1, 2, 4, 8, 16, 32
_MARKS = {
    **dict.fromkeys(ORIGIN_WIDE, _FOREIGN),
    **dict.fromkeys(PLACED, _PLACED),
    b"content-type": _HTML,
    b"cache-control": _CACHED,
    b"x-content-type-options": _SNIFFED,
}


def _marks(fields: list[Field]) -> int:
    marks = _SHARED  # until a Cache-Control says that no cache may give it to another user
    for lower, _, value in fields:
        mark = _MARKS.get(lower)
        if mark is None:
            continue
        if mark == _HTML:
            marks &= ~_HTML  # of several Content-Types the last one counts
            if b"html" not in value.lower():
                continue
        elif mark == _CACHED and (b"private" in (said := value.lower()) or b"no-store" in said):
            marks &= ~_SHARED
        marks |= mark
    return marks


def _is_unedited(fields: list[Field]) -> bool:
    return b"none" in values(fields, b"x-bastion-rewrite")


def _guarded(fields: list[Field], marks: int, ambient: bool, sandbox: bool) -> list[Field]:
    """With what keeps one user's response from another, and an application from the bastion's origin."""
    if not marks & _CACHED:
        fields.append(_PRIVATE)
    elif marks & _SHARED:  # a cache in front must not give one user's response to another
        fields = _varying(fields, b"Authorization, X-Bastion-Authorization")
    if not marks & _SNIFFED:
        fields.append(_NOSNIFF)
    if ambient:
        fields = _varying(fields, b"Cookie")
        if sandbox:
            fields.append(SANDBOX)
    return fields


def _varying(fields: list[Field], name: bytes) -> list[Field]:
    """The response depends on one more field of the request (RFC 9110, 12.5.5)."""
    return [*fields, (b"vary", b"Vary", name)]


def _clearing_alone(fields: list[Field]) -> list[Field]:
    """Clear-Site-Data without what would affect other hosts; without the field where nothing is left."""
    kept = []
    for lower, name, value in fields:
        if lower == b"clear-site-data":
            named = [part.strip(b" \t") for part in value.split(b",")]
            value = (
                _EVERYTHING
                if b'"*"' in named
                else b", ".join(part for part in named if part in _CLEARED_ALONE)
            )
            if not value:
                continue
        kept.append((lower, name, value))
    return kept
