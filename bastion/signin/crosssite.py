"""· May a cookie be used, or did another site cause the request?

A browser adds cookies to every request, whichever page makes it.  No page can forge the fields that name the
origin of a request (Origin, RFC 6454; Sec-Fetch-*, W3C Fetch Metadata).  Every application counts as another
site, also one under the same domain, to which browsers send SameSite cookies.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bastion.message.ownorigin import CrossSite

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))  # RFC 9110, 9.2.1

_NAMES = (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"origin")


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """The origin of a request, by its own fields; an absent one is empty.

    `own` are this server's origins.
    """

    method: str
    own: frozenset[bytes]
    site: bytes = b""
    mode: bytes = b""
    dest: bytes = b""
    origin: bytes = b""
    upgrade: bool = False


def provenance(
    method: str,
    fields: Iterable[tuple[bytes, bytes, bytes]],
    scheme: bytes,
    host: bytes,
    *,
    upgrade: bool = False,
) -> Provenance:
    """`scheme` and `host` as the client sees them.  A field that is sent twice counts as invalid."""
    said = dict.fromkeys(_NAMES, b"")
    for lower, _, value in fields:
        if lower in said:
            said[lower] = said[lower] + b"," + value if said[lower] else value
    site, mode, dest, origin = said.values()
    own = own_origins(scheme, host)
    return Provenance(method, own, site=site, mode=mode, dest=dest, origin=origin, upgrade=upgrade)


def own_origins(scheme: bytes, host: bytes) -> frozenset[bytes]:
    """Where another proxy ends TLS, the scheme here is http and the browser's is https: both are ours."""
    name = host.lower()
    return frozenset((b"https://" + name.removesuffix(b":443"), scheme + b"://" + name))


def credential_counts(rule: CrossSite, request: Provenance) -> bool:
    """Whether a credential under this rule may be used for this request."""
    match rule:
        case CrossSite.COUNTS:
            return True
        case CrossSite.UNLESS_MARKED:
            marked = request.site or request.mode or request.dest or request.origin
            return not marked or may_use_cookie(request)
        case CrossSite.ONLY_OURS:
            return may_use_cookie(request)


def may_use_cookie(request: Provenance) -> bool:
    """The first rule that matches decides."""
    own = request.origin in request.own
    safe = request.method in SAFE
    # the same-origin policy does not cover WebSockets: only Origin helps (cross-site WebSocket hijacking)
    if request.upgrade:
        return own
    if request.origin not in (b"", b"null") and not own:
        return False
    # also where Origin is `null`, as of a page with Referrer-Policy: no-referrer
    if request.site == b"same-origin":
        return True
    if request.origin == b"null":
        return False
    if request.site in (b"", b"none"):  # a browser without these fields, or an address typed in
        return own or safe
    # A link on another site may lead here; its frames, images, scripts, fetches and forms may not.
    return (
        request.method == "GET"
        and request.mode == b"navigate"
        and request.dest in (b"", b"document")
        and not own
    )


def elsewhere(request: Provenance) -> bool:
    """Whether a browser sent this for a page of another origin.

    Programs other than browsers may omit these fields, or set them at will.
    """
    return (request.origin != b"" and request.origin not in request.own) or request.site in (
        b"cross-site",
        b"same-site",
    )
