"""What of a backend's answer reaches the client, and what is said in addition?

Under a path prefix every application speaks from the bastion's own origin: what would speak for that whole origin is
dropped, and links, cookies and pages are put under the prefix.  On a host name of its own an application keeps all but
the Domain of its cookies, and the `http:` of its own URLs where the client came over TLS.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bastion.message.headers import Field, to_client, values
from bastion.message.html import HtmlRewriter, plan
from bastion.message.mount import Mount
from bastion.message.rewrite import PLACED, rewrite_fields

# Fields that speak for an origin, not for an answer.
ORIGIN_WIDE = frozenset(
    (
        b"clear-site-data",
        b"service-worker-allowed",
        b"strict-transport-security",
        b"public-key-pins",
        b"public-key-pins-report-only",
        b"alt-svc",
        b"nel",
        b"report-to",
        b"reporting-endpoints",
    )
)
_NOSNIFF: Field = (b"x-content-type-options", b"X-Content-Type-Options", b"nosniff")
_PRIVATE: Field = (b"cache-control", b"Cache-Control", b"private")
_SANDBOX: Field = (
    b"content-security-policy",
    b"Content-Security-Policy",
    b"sandbox allow-scripts allow-forms allow-popups allow-downloads",
)


class Policy(msgspec.Struct, frozen=True):
    """`edit_html`: pages are rewritten.  `sandbox`: an answer that a session cookie authenticated gets an origin of its own."""

    edit_html: bool = True
    sandbox: bool = True


class Asked(msgspec.Struct, frozen=True):
    """What the request has to say in it.  `prefixed`: the application is mounted under a path; `session`: a cookie authenticated it."""

    method: str
    fields: list[Field]
    prefixed: bool
    session: bool


class Presented(msgspec.Struct, frozen=True):
    """`length` of the body in bytes, None where it is not known; `rewriter` where the body is edited."""

    fields: list[Field]
    length: int | None
    rewriter: HtmlRewriter | None = None


def present(asked: Asked, status: int, fields: list[Field], length: int | None, mount: Callable[[], Mount], policy: Policy) -> Presented:
    """`length` of the backend's body in bytes; `mount` is asked only where something is to be placed."""
    fields = to_client(fields)
    placed = html = cached = private = sniffed = foreign = False
    for lower, _, value in fields:
        if lower in PLACED:
            placed = True
        elif lower == b"content-type":
            html = b"html" in value.lower()
        elif lower == b"cache-control":
            cached = True
            private = private or b"private" in value.lower() or b"no-store" in value.lower()
        elif lower == b"x-content-type-options":
            sniffed = True
        elif lower in ORIGIN_WIDE:
            foreign = True
    rewriter = None
    if foreign and asked.prefixed:
        fields = [field for field in fields if field[0] not in ORIGIN_WIDE]
    if placed or html:
        where = mount()
        edit = html and policy.edit_html and b"none" not in values(asked.fields, b"x-bastion-rewrite")
        planned = plan(where, status, fields) if edit else None
        if planned is not None:
            fields, length = _varying(planned.fields, b"X-Bastion-Rewrite"), None
            rewriter = None if asked.method == "HEAD" else planned.rewriter()
        if placed:
            fields = rewrite_fields(where, fields)
    if not asked.prefixed:
        return Presented(fields, length, rewriter)
    if not cached:
        fields.append(_PRIVATE)
    elif not private:  # a cache in front must not show one user what another was shown
        fields = _varying(fields, b"Authorization, X-Bastion-Authorization")
    if not sniffed:
        fields.append(_NOSNIFF)
    if asked.session:
        fields = _varying(fields, b"Cookie")
        if policy.sandbox:
            fields.append(_SANDBOX)
    return Presented(fields, length, rewriter)


def _varying(fields: list[Field], name: bytes) -> list[Field]:
    """The answer depends on one more field of the request (RFC 9110, 12.5.5)."""
    return [*fields, (b"vary", b"Vary", name)]
