"""· What must change in a response's header fields, so that an application stays under its prefix?

Location and its kin, Refresh, Link and Set-Cookie.  kube-apiserver rewrites Location alone, and there
decodes what was encoded; here what is encoded stays encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import quote_from_bytes

from bastion.http.fields import Field
from bastion.message.cookies import place_cookie
from bastion.message.mount import Mount, rewrite_url

MAX_LINKS = 100  # in one Link field, each of which grows by the prefix

# What no URI holds (RFC 3986 section 2) is escaped: some client might show it as markup.
_LEGAL = "!#$%&'()*+,/:;=?@[]"  # beside letters, digits and `_.-~`
# `5; url='/x'`: the delay, and the URL in or without quotes (WHATWG HTML, shared declarative refresh steps).
_REFRESH = re.compile(
    rb"""[\t\n\f\r ]*+[0-9.]++(?:[\t\n\f\r ]*+[;,]|[\t\n\f\r ])[\t\n\f\r ]*+"""
    rb"""(?:url[\t\n\f\r ]*+=[\t\n\f\r ]*+)?"""
    rb"""(?:'([^']*+)|"([^"]*+)|(.*+))""",
    re.IGNORECASE | re.DOTALL,
)
_LINK = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|<([^<>]*+)>', re.DOTALL)


def rewrite_fields(mount: Mount, fields: list[Field]) -> list[Field]:
    """The fields for the client, in order; one whose value it must not have is dropped."""
    kept = []
    once: set[bytes] = set()
    for field in fields:
        lower = field[0]
        rule = _RULES.get(lower)
        if rule is None:
            kept.append(field)
            continue
        if lower in _SINGLE and lower in once:
            continue  # two Locations: clients differ on which one they follow
        once.add(lower)
        value = rule(mount, field[2])
        if value is not None:
            kept.append((lower, field[1], value))
    return kept


def rewrite_refresh(value: bytes, rewrite: Callable[[bytes], bytes | None]) -> bytes | None:
    """A Refresh value with its URL rewritten; None where `rewrite` gives None."""
    match = _REFRESH.match(value)
    if match is None or match.lastindex is None:
        return value
    start, end = match.span(match.lastindex)
    url = rewrite(value[start:end])
    return None if url is None else value[:start] + url + value[end:]


def _location(mount: Mount, value: bytes) -> bytes | None:
    url = rewrite_url(mount, value)
    return url and quote_from_bytes(url, _LEGAL).encode()


def _instead(mount: Mount, value: bytes) -> bytes | None:
    """The address that a script shows for the page, or a word that says not to."""
    return value if value in (b"false", b"true") else _location(mount, value)


def _hx_location(mount: Mount, value: bytes) -> bytes | None:
    """htmx takes a URL, or the arguments of its own request as an object whose `path` is one."""
    if not value.startswith(b"{"):
        return _location(mount, value)
    try:
        arguments = json.loads(value.decode("latin-1"))  # as scripts read header fields
        path = _location(mount, arguments["path"].encode())
    except (ValueError, RecursionError, KeyError, AttributeError):
        return None  # htmx would go nowhere, or somewhere unforeseen
    return None if path is None else json.dumps(arguments | {"path": path.decode()}).encode()


def _refresh(mount: Mount, value: bytes) -> bytes | None:
    return rewrite_refresh(value, lambda url: rewrite_url(mount, url))


def _link(mount: Mount, value: bytes) -> bytes | None:
    """Every `<…>` outside of quotes; None where one of them must not pass, or there are too many."""
    if value.count(b"<") > MAX_LINKS:
        return None
    pieces = []
    done = 0
    for match in _LINK.finditer(value):
        if match[1] is None:
            continue
        url = rewrite_url(mount, match[1])
        if url is None:
            return None
        pieces += [value[done : match.start(1)], url]
        done = match.end(1)
    return b"".join([*pieces, value[done:]])


_RULES: dict[bytes, Callable[[Mount, bytes], bytes | None]] = {
    b"location": _location,
    b"content-location": _location,
    b"refresh": _refresh,
    b"link": _link,
    b"set-cookie": place_cookie,
    # where scripts of well-known libraries go, or what they show as the page's address: htmx, Turbo(links),
    # Inertia, Unpoly
    b"hx-location": _hx_location,
    b"hx-redirect": _location,
    b"hx-push-url": _instead,
    b"hx-replace-url": _instead,
    b"turbolinks-location": _location,
    b"x-inertia-location": _location,
    b"x-up-location": _location,
}
PLACED = frozenset(_RULES)
_SINGLE = PLACED - {b"link", b"set-cookie"}
