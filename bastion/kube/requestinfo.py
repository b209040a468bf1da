"""· The target of a proxied request and the rest for its backend, or the API call that a request makes.

Decided on the raw bytes of the request target; each fixed segment is percent-decoded once, and what follows
`…/proxy` is never changed (docs/decisions/0006-byte-exact-paths.md).  Source: apiserver
`endpoints/request/requestinfo.go`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus, unquote_to_bytes

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.errors import error_of, unreadable
from bastion.kube.errorwords import BAD_TARGET
from bastion.kube.hostname import Application

VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "OPTIONS": "",
}
_PREFIXES = ("api", "apis")
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_WATCH = re.compile(rb"(?:^|&)watch(?:=([^&]*))?(?![^&])")
_FIELD_SELECTOR = re.compile(rb"(?:^|&)fieldSelector=([^&]*)")


class Proxied(msgspec.Struct, frozen=True, gc=False):
    """One proxied request.

    `prefix` is the raw path up to and with `/proxy`, empty under an application host; `rest` the raw
    bytes after it (path and query; it starts with `/` or `?`, or is empty).  `attributes` is the question
    for the authorizer; `known_method` is False for methods that no proxy route accepts.  `plain`: the backend
    is spoken to without TLS, whatever its port says.
    """

    attributes: Attributes
    prefix: bytes
    rest: bytes
    known_method: bool
    plain: bool = False


class Connect(Proxied, frozen=True, gc=False):
    """A tunnel: bytes to and fro, of which nothing is known.  There is no path; `rest` is empty."""


class ApiCall(msgspec.Struct, frozen=True, gc=False):
    """Any other request, as an API server reads it: for a resource, or for a path."""

    attributes: Attributes


RequestInfo = Proxied | ApiCall


def parse_proxied(method: str, target: bytes, application: Application | None = None) -> Proxied | None:
    """None where the target is not a proxy route.

    Raises StatusError 400 for a fixed segment that is ambiguous once decoded.  `application` is that of the
    host name; the whole target is then the application's.
    """
    if application is not None:
        attributes = Attributes(
            VERBS.get(method, ""),
            "",
            "v1",
            namespace=application.namespace,
            resource=application.resource,
            subresource="proxy",
            name=application.id,
        )
        return Proxied(attributes, b"", target, method in VERBS)
    path = target.partition(b"?")[0]
    segments = path.split(b"/", 8)
    if len(segments) < 6 or segments[0] or segments[1] != b"api" or segments[2] != b"v1":
        return None
    if segments[3] == b"namespaces":
        if len(segments) < 8 or segments[7] != b"proxy" or segments[5] not in (b"pods", b"services"):
            return None
        namespace, resource, name, fixed = (
            _decoded(segments[4]),
            segments[5].decode(),
            segments[6],
            segments[:8],
        )
    elif segments[3] == b"nodes":
        if segments[5] != b"proxy":
            return None
        namespace, resource, name, fixed = "", "nodes", segments[4], segments[:6]
    else:
        return None
    id = _decoded(name)
    if not id or (resource != "nodes" and not namespace):
        raise error_of(BAD_TARGET, "name must be provided")
    prefix = b"/".join(fixed)
    attributes = Attributes(VERBS.get(method, ""), "", "v1", namespace, resource, "proxy", name=id)
    return Proxied(attributes, prefix, target[len(prefix) :], method in VERBS)


def _decoded(segment: bytes) -> str:
    if segment.isalnum():
        return segment.decode()
    text = (
        unquote_to_bytes(segment).decode("utf-8", "surrogateescape")
        if b"%" in segment
        else segment.decode("utf-8", "surrogateescape")
    )
    if "/" in text or not text.isprintable():  # a lone surrogate (no UTF-8) is not printable either
        raise unreadable(
            "a namespace or name in the path has an encoded slash, a control character, or is not UTF-8"
        )
    return text


# --- API calls


def api_call(method: str, target: bytes) -> ApiCall:
    """A resource where the path names one, else the path.

    As kube-apiserver reads it, which decodes the path as a whole before it is split.
    """
    raw, _, query = target.partition(b"?")
    path = unquote_to_bytes(raw).decode("utf-8", "replace")
    segments = path.strip("/").split("/")
    grouped = segments[0] == "apis"
    if segments[0] not in _PREFIXES or len(segments) < (4 if grouped else 3):
        return ApiCall(Attributes(method.lower(), version="", path=path))
    group, version, *rest = segments[1:] if grouped else ["", *segments[1:]]
    verb = VERBS.get(method, "")
    if rest[0] == "watch" and len(rest) > 1:  # the deprecated `/api/v1/watch/pods`
        verb, rest = "watch", rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    if not name and verb == "get":
        verb, name = "watch" if _is_watch(query) else "list", _selected(query)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return ApiCall(
        Attributes(
            verb,
            group,
            version,
            namespace=namespace,
            resource=resource,
            subresource=subresource,
            name=name,
        )
    )


def _is_watch(query: bytes) -> bool:
    found = _WATCH.search(query)
    return found is not None and unquote_plus((found[1] or b"").decode("latin-1")) not in ("false", "0")


def _selected(query: bytes) -> str:
    """The name of the one object that a field selector allows, empty where it may be any.

    A list or watch of one object is authorized by its name (resourceNames apply).
    """
    found = _FIELD_SELECTOR.search(query)
    for term in unquote_plus(found[1].decode("latin-1")).split(",") if found is not None else ():
        key, equals, value = term.partition("=")
        name = value.removeprefix("=").strip()
        if equals and key.strip() == "metadata.name":
            return "" if name in (".", "..") or "/" in name or "%" in name else name
    return ""
