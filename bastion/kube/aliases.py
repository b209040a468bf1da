"""· Is a request for a proxied target, or a call that an API server answers itself?  Both layers must agree.

kube-apiserver decodes the whole path once and splits it then, so that `prox%79`, `services%2Fweb` and
`/%61pi` name a proxied target there as well.  Passed on, such a spelling would go round every rule that this
program has for proxied requests.  What only that reading finds is refused.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from bastion.kube.errors import unreadable
from bastion.kube.requestinfo import ApiCall, Proxied, api_call, parse_proxied

# RFC 9112, 3.2.2; Go's url.Parse takes any scheme, and none of the authority's characters ends a path.
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:(?://[^/?]*)?")
_WITH_AUTHORITY = re.compile(rb"https?://[^/?@]+(?=[/?]|\Z)", re.IGNORECASE)
# pods and services are in a namespace; of a node in one kube-apiserver asks about nodes/proxy all the same
_IN_NAMESPACE = (b"pods", b"services", b"nodes")


def request_info(method: str, target: bytes) -> Proxied | ApiCall:
    """Raises StatusError 400 for what an API server reads as another request than this program does."""
    path = target.partition(b"?")[0]
    # as nearly all calls: this is no spelling of a target
    if path[:1] == b"/" and b"%" not in path and b"proxy" not in path:
        return api_call(method, target)
    proxied = parse_proxied(method, target)
    if proxied is not None:
        return proxied
    origin = origin_form(method, target)
    path = unquote_to_bytes(target.partition(b"?")[0] if origin is None else origin.partition(b"?")[0])
    if origin is None:
        path = _ABSOLUTE.sub(b"", path, count=1)
    if names_proxied(path.split(b"/")) or names_proxied(_cleaned(path)):
        raise unreadable("the path names a proxied target in a spelling that is not taken: write it plainly")
    if origin is None:
        raise unreadable("malformed request: the request target is neither a path nor an http or https URL")
    return api_call(method, origin)


def origin_form(method: str, target: bytes) -> bytes | None:
    """What is sent on: path and query, or `*` of OPTIONS; None where the target has no such form."""
    if target[:1] == b"/" or (target == b"*" and method == "OPTIONS"):
        return target
    authority = _WITH_AUTHORITY.match(target)
    if authority is None or method == "CONNECT":
        return None
    rest = target[authority.end() :]
    return rest if rest[:1] == b"/" else b"/" + rest


def names_proxied(segments: list[bytes]) -> bool:
    """Of a decoded path, from the empty segment before its first slash on."""
    match segments:
        case [b"", b"api", b"v1", b"namespaces", _, resource, _, b"proxy", *_]:
            return resource in _IN_NAMESPACE
        case [b"", b"api", b"v1", b"nodes", _, b"proxy", *_]:
            return True
    return False


def _cleaned(path: bytes) -> list[bytes]:
    """As what stands between may make of it, such as a proxy that merges slashes and resolves dots."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    return [b"", *kept]
