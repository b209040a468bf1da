"""· May a session of the sign-in page be used for a call of the API?

A browser sends its cookie with whatever any page makes it send, and a call of the API changes the cluster:
so only a page of the bastion's own makes one, with what no form can send.  WebSockets know no same-origin
policy: their Origin must be ours (cross-site WebSocket hijacking).
"""

from __future__ import annotations

from collections.abc import Iterable

from bastion.http.fields import Field, first_value, values
from bastion.signin.crosssite import SAFE, Provenance

CSRF = b"x-bastion-csrf"
# What a form can send without asking first (W3C Fetch, 2.2.2).
_SIMPLE = (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain")


def session_may_call(request: Provenance, fields: Iterable[Field]) -> bool:
    """The first rule that matches decides."""
    own = request.origin in request.own
    if request.upgrade:
        return own and request.site in (b"", b"same-origin")
    if request.origin and not own:  # `null` is a sandboxed page's
        return False
    if request.method in SAFE:
        return request.site == b"same-origin" or (request.site == b"none" and request.mode == b"navigate")
    return request.site == b"same-origin" and _is_scripted([*fields])


def _is_scripted(fields: list[Field]) -> bool:
    if values(fields, CSRF):
        return True
    kind = first_value(fields, b"content-type").partition(b";")[0].strip(b" \t").lower()
    return kind != b"" and kind not in _SIMPLE
