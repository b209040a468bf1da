"""· Which resource does a request target name, and what is left for the backend?

Decided on the raw bytes of the request target; each fixed segment is percent-decoded once, and what follows
`…/proxy` is never touched (design: byte-exact).  Source: apiserver `endpoints/request/requestinfo.go`.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.hostname import Application
from bastion.kube.status import bad_request

VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "OPTIONS": "",
}


class RequestInfo(msgspec.Struct, frozen=True, gc=False):
    """One proxied request.

    `prefix` is the raw path up to and with `/proxy`, empty where the host name said it all; `rest` the raw
    bytes behind it (path and query; it starts with `/` or `?`, or is empty).  `attributes` is the question
    for the authorizer; `known_method` is False for methods that no proxy route takes.
    """

    attributes: Attributes
    prefix: bytes
    rest: bytes
    known_method: bool


def request_info(method: str, target: bytes, application: Application | None = None) -> RequestInfo | None:
    """None where the target is no proxy route.

    Raises StatusError 400 for a fixed segment that hides something.

    `application` is what the request's host name means; then the whole target is the application's.
    """
    if application is not None:
        attributes = Attributes(
            VERBS.get(method, ""),
            "",
            "v1",
            application.namespace,
            application.resource,
            "proxy",
            application.id,
        )
        return RequestInfo(attributes, b"", target, method in VERBS)
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
        raise bad_request("name must be provided")
    prefix = b"/".join(fixed)
    attributes = Attributes(VERBS.get(method, ""), "", "v1", namespace, resource, "proxy", id)
    return RequestInfo(attributes, prefix, target[len(prefix) :], method in VERBS)


def _decoded(segment: bytes) -> str:
    if segment.isalnum():
        return segment.decode()
    text = (
        unquote_to_bytes(segment).decode("utf-8", "surrogateescape")
        if b"%" in segment
        else segment.decode("utf-8", "surrogateescape")
    )
    if "/" in text or not text.isprintable():  # a lone surrogate (no UTF-8) is not printable either
        raise bad_request(
            "a namespace or name in the path has an encoded slash, a control character, or is not UTF-8"
        )
    return text
