"""· What kubectl asks a server about itself: which resources there are, who its user is, what that user may.

The discovery documents name what is served, so that `kubectl auth can-i get services --subresource=proxy`
finds its resource.  Reviews come as JSON or protobuf, and are answered in JSON, which every client takes.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from bastion.kube import protobuf
from bastion.kube.attributes import Attributes
from bastion.kube.errors import unreadable
from bastion.kube.review import OWN_ACCESS_REVIEWS, OWN_REVIEWS
from bastion.kube.user import User

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
KINDS = {
    OWN_REVIEWS: (f"{AUTHENTICATION}/v1", "SelfSubjectReview"),
    OWN_ACCESS_REVIEWS: (f"{AUTHORIZATION}/v1", "SelfSubjectAccessReview"),
}
_PROXY_VERBS = ["create", "delete", "get", "patch", "update"]


class ResourceAttributes(msgspec.Struct):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class NonResourceAttributes(msgspec.Struct):
    path: str = ""
    verb: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


def documents() -> dict[bytes, bytes]:
    """Path -> JSON."""
    groups = [_group(AUTHENTICATION), _group(AUTHORIZATION)]
    found: dict[str, dict[str, Any]] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/api/v1": _resources("v1", [*_proxied("pods"), *_proxied("services"), *_proxied("nodes")]),
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }
    for group in groups:
        found[f"/apis/{group['name']}"] = {"kind": "APIGroup", "apiVersion": "v1", **group}
    for path, (version, kind) in KINDS.items():
        row = {"name": path.rpartition("/")[2], "namespaced": False, "kind": kind, "verbs": ["create"]}
        found[f"/apis/{version}"] = _resources(version, [row])
    return {path.encode(): orjson.dumps(document) for path, document in found.items()}


def read_review(path: str, body: bytes, content_type: str) -> dict[str, Any]:
    """Raises StatusError 400, 415."""
    version, kind = KINDS[path]
    media = content_type.partition(";")[0].strip().lower()
    if media not in ("application/json", protobuf.MEDIA_TYPE):
        message = f"a review is application/json or {protobuf.MEDIA_TYPE}"
        raise unreadable(message, code=415)
    try:
        review = protobuf.review(body, kind) if media == protobuf.MEDIA_TYPE else orjson.loads(body)
    except ValueError as error:
        raise unreadable(f"the request body cannot be read: {error}") from None
    if not isinstance(review, dict) or review.get("kind", kind) != kind:
        raise unreadable(f"the request body is no {kind}")
    return {**review, "kind": kind, "apiVersion": version}


def asked_about(review: dict[str, Any]) -> Attributes:
    """Of a SelfSubjectAccessReview.  Raises StatusError 400."""
    try:
        spec = msgspec.convert(review.get("spec") or {}, _Spec)
    except msgspec.ValidationError as error:
        raise unreadable(f"spec: {error}") from None
    resource, path = spec.resource_attributes, spec.non_resource_attributes
    if (resource is None) == (path is None):
        raise unreadable("spec: exactly one of nonResourceAttributes or resourceAttributes must be specified")
    if path is not None:
        return Attributes(path.verb, version="", path=path.path)
    assert resource is not None
    return Attributes(
        resource.verb,
        resource.group,
        resource.version,
        namespace=resource.namespace,
        resource=resource.resource,
        subresource=resource.subresource,
        name=resource.name,
    )


def answered(review: dict[str, Any], status: dict[str, Any]) -> bytes:
    return orjson.dumps({"metadata": {}, **review, "status": status})


def who(user: User) -> dict[str, Any]:
    info: dict[str, Any] = {
        "username": user.name,
        "uid": user.uid,
        "groups": user.groups,
        "extra": dict(user.extra),
    }
    return {"userInfo": {name: value for name, value in info.items() if value}}


def _group(name: str) -> dict[str, Any]:
    served = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [served], "preferredVersion": served}


def _resources(version: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": [{"singularName": "", **row} for row in rows],
    }


def _proxied(resource: str) -> list[dict[str, Any]]:
    kind, namespaced = resource.title().removesuffix("s"), resource != "nodes"
    return [
        {"name": resource, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": []},
        {
            "name": f"{resource}/proxy",
            "namespaced": namespaced,
            "kind": f"{kind}ProxyOptions",
            "verbs": _PROXY_VERBS,
        },
    ]
