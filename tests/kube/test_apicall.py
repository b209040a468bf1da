"""What a request asks of an API server: the attributes that RBAC is asked about."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import api_call

CORE = {"group": "", "version": "v1"}
SLICES = {"group": "discovery.k8s.io", "version": "v1", "resource": "endpointslices"}
ROWS = [
    ("GET", "/api/v1/pods", {}, Attributes("list", resource="pods", **CORE)),
    ("HEAD", "/api/v1/pods", {}, Attributes("list", resource="pods", **CORE)),
    ("GET", "/api/v1/pods/", {}, Attributes("list", resource="pods", **CORE)),
    ("GET", "/api/v1/pods", {"watch": "true"}, Attributes("watch", resource="pods", **CORE)),
    ("GET", "/api/v1/pods", {"watch": "1"}, Attributes("watch", resource="pods", **CORE)),
    ("GET", "/api/v1/pods", {"watch": "false"}, Attributes("list", resource="pods", **CORE)),
    ("GET", "/api/v1/pods", {"watch": "0"}, Attributes("list", resource="pods", **CORE)),
    ("GET", "/api/v1/namespaces/n/pods", {}, Attributes("list", namespace="n", resource="pods", **CORE)),
    (
        "GET",
        "/api/v1/namespaces/n/pods/p",
        {},
        Attributes("get", namespace="n", resource="pods", name="p", **CORE),
    ),
    (
        "GET",
        "/api/v1/namespaces/n/pods/p",
        {"watch": "1"},
        Attributes("get", namespace="n", resource="pods", name="p", **CORE),
    ),
    (
        "GET",
        "/api/v1/namespaces/n/pods",
        {"watch": "1", "fieldSelector": "metadata.name=p"},
        Attributes("watch", namespace="n", resource="pods", name="p", **CORE),
    ),
    (
        "POST",
        "/api/v1/namespaces/n/pods/p/proxy/x/y",
        {},
        Attributes("create", namespace="n", resource="pods", subresource="proxy", name="p", **CORE),
    ),
    ("GET", "/api/v1/namespaces", {}, Attributes("list", resource="namespaces", **CORE)),
    (
        "GET",
        "/api/v1/namespaces/n",
        {},
        Attributes("get", namespace="n", resource="namespaces", name="n", **CORE),
    ),
    (
        "DELETE",
        "/api/v1/namespaces/n/pods",
        {},
        Attributes("deletecollection", namespace="n", resource="pods", **CORE),
    ),
    ("DELETE", "/api/v1/nodes/x", {}, Attributes("delete", resource="nodes", name="x", **CORE)),
    ("OPTIONS", "/api/v1/nodes/x", {}, Attributes("", resource="nodes", name="x", **CORE)),
    ("GET", "/apis/discovery.k8s.io/v1/endpointslices", {}, Attributes("list", **SLICES)),
    (
        "GET",
        "/apis/discovery.k8s.io/v1/namespaces/n/endpointslices/a%3Ab",
        {},
        Attributes("get", namespace="n", name="a:b", **SLICES),
    ),
    (
        "PUT",
        "/api/v1/namespaces/n/finalize",
        {},
        Attributes("update", namespace="n", resource="namespaces", subresource="finalize", name="n", **CORE),
    ),
    ("GET", "/api/v1/watch/pods", {}, Attributes("watch", resource="pods", **CORE)),
    (
        "GET",
        "/api/v1/pods",
        {"fieldSelector": "x=y,metadata.name==p"},
        Attributes("list", resource="pods", name="p", **CORE),
    ),
    (
        "GET",
        "/api/v1/pods",
        {"fieldSelector": "metadata.name=a/b"},
        Attributes("list", resource="pods", **CORE),
    ),
    (
        "GET",
        "/api/v1/pods",
        {"fieldSelector": "metadata.name!=p"},
        Attributes("list", resource="pods", **CORE),
    ),
    ("GET", "/api/v1/pods%2Fx", {}, Attributes("get", resource="pods", name="x", **CORE)),
    ("GET", "/api", {}, Attributes("get", version="", path="/api")),
    ("GET", "/api/v1", {}, Attributes("get", version="", path="/api/v1")),
    ("GET", "/apis/discovery.k8s.io/v1", {}, Attributes("get", version="", path="/apis/discovery.k8s.io/v1")),
    ("POST", "/metrics%20x", {}, Attributes("post", version="", path="/metrics x")),
    ("GET", "/", {}, Attributes("get", version="", path="/")),
]


@pytest.mark.parametrize(("method", "path", "query", "expected"), ROWS)
def test_what_an_api_server_reads(
    method: str, path: str, query: dict[str, str], expected: Attributes
) -> None:
    target = f"{path}?{urlencode(query)}" if query else path
    assert api_call(method, target.encode()).attributes == expected
