"""What the embedded API answers: lists, objects, discovery, and what it does not serve."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.standalone.api import (
    CLUSTER,
    TOKEN_REVIEWS,
    client,
    get,
    names,
    replace,
    serving,
    told,
    watching,
)

REFUSED = [
    ("GET", "/nowhere", 404, "NotFound"),
    ("GET", "/apis/apps/v1/statefulsets", 404, "NotFound"),
    ("GET", "/apis/batch/v1", 404, "NotFound"),
    ("GET", "/api/v2/pods", 404, "NotFound"),
    ("GET", "/api/v1/podtemplates", 404, "NotFound"),
    ("GET", "/api/v1/namespaces/shop/nodes", 404, "NotFound"),
    ("GET", "/api/v1/namespaces/shop/pods/web-0/proxy", 404, "NotFound"),
    ("GET", "/api/v1/namespaces/shop/pods/web-0/eviction", 404, "NotFound"),
    ("GET", "/api/v1/namespaces/shop/pods/gone", 404, "NotFound"),
    ("GET", "/api/v1/namespaces/default/pods/web-0", 404, "NotFound"),
    ("POST", "/api/v1/namespaces/shop/pods/web-0", 405, "MethodNotAllowed"),
    ("PATCH", "/api/v1/namespaces/shop/pods", 405, "MethodNotAllowed"),
    ("POST", "/api/v1/pods", 405, "MethodNotAllowed"),
    ("OPTIONS", "/api/v1/nodes/node-a", 405, "MethodNotAllowed"),
    ("GET", TOKEN_REVIEWS, 405, "MethodNotAllowed"),
    ("POST", "/api", 405, "MethodNotAllowed"),
    ("GET", "/api/v1/pods?labelSelector=a%20within%20(b)", 400, "BadRequest"),
    ("GET", "/api/v1/pods?limit=x", 400, "BadRequest"),
    ("GET", "/api/v1/pods?watch=1&resourceVersion=x", 400, "BadRequest"),
    ("GET", "/api/v1/pods?continue=x", 400, "BadRequest"),
    ("GET", "/api/v1/pods?resourceVersion=99999999999999999", 504, "Timeout"),
]


def _allowed(method: str, path: str) -> str:
    if path == TOKEN_REVIEWS:
        return "POST"
    if "/pods" not in path:
        return "GET, HEAD"
    return "GET, HEAD, PUT, PATCH, DELETE" if path.endswith("web-0") else "GET, HEAD, POST, DELETE"


@pytest.mark.parametrize(("method", "path", "code", "reason"), REFUSED)
def test_what_is_not_served(tmp_path: Path, method: str, path: str, code: int, reason: str) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            response = await http.request(method, path)
            assert (response.status_code, response.headers["content-type"]) == (code, "application/json")
            assert (response.json()["kind"], response.json()["code"], response.json()["reason"]) == (
                "Status",
                code,
                reason,
            )
            assert response.headers.get("allow") == (_allowed(method, path) if code == 405 else None)

    asyncio.run(main())


def test_not_found_names_kind_and_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            body = (await get(server, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/gone")).json()
            assert body["message"] == 'endpointslices.discovery.k8s.io "gone" not found'
            assert body["details"] == {"name": "gone", "group": "discovery.k8s.io", "kind": "endpointslices"}

    asyncio.run(main())


LISTS = [
    ("/api/v1/pods", "PodList", ["other", "web-0"]),
    ("/api/v1/namespaces/shop/pods", "PodList", ["web-0"]),
    ("/api/v1/namespaces/none/pods", "PodList", []),
    ("/api/v1/pods?labelSelector=app%3Dweb", "PodList", ["web-0"]),
    ("/api/v1/pods?fieldSelector=metadata.name%3Dother", "PodList", ["other"]),
    ("/api/v1/services", "ServiceList", ["web"]),
    ("/api/v1/endpoints", "EndpointsList", []),
    ("/api/v1/nodes", "NodeList", ["node-a"]),
    ("/api/v1/namespaces", "NamespaceList", ["default", "shop"]),
    ("/api/v1/serviceaccounts", "ServiceAccountList", ["bot"]),
    ("/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles", "RoleList", ["proxy"]),
    ("/apis/rbac.authorization.k8s.io/v1/rolebindings", "RoleBindingList", ["proxy", "view"]),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "ClusterRoleBindingList",
        ["cluster-admin", "delegate", "system:basic-user", "system:discovery"],
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterroles?fieldSelector=metadata.name%3Dview",
        "ClusterRoleList",
        ["view"],
    ),
]


@pytest.mark.parametrize(("path", "kind", "expected"), LISTS)
def test_lists(tmp_path: Path, path: str, kind: str, expected: list[str]) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            response = await get(server, path)
            assert names(response) == expected
            assert response.json()["kind"] == kind

    asyncio.run(main())


def test_one_object_is_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            pod = (await get(server, "/api/v1/namespaces/shop/pods/web-0")).json()
            assert (pod["kind"], pod["apiVersion"]) == ("Pod", "v1")
            assert pod["status"]["podIP"] == "10.0.0.1"
            assert pod["metadata"].keys() == {
                "name",
                "namespace",
                "labels",
                "uid",
                "creationTimestamp",
                "resourceVersion",
            }
            role = (
                await get(server, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Adiscovery")
            ).json()
            assert role["metadata"]["name"] == "system:discovery"

    asyncio.run(main())


def test_slices_are_derived_from_the_selector(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            (slice,) = (await get(server, "/apis/discovery.k8s.io/v1/endpointslices")).json()["items"]
            assert slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
            assert [endpoint["addresses"] for endpoint in slice["endpoints"]] == [["10.0.0.1"]]
            assert slice["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]

    asyncio.run(main())


def test_pages_go_on_where_they_began_though_the_files_changed(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            first = (await get(server, "/api/v1/pods", limit="1")).json()
            assert [item["metadata"]["name"] for item in first["items"]] == ["other"]
            assert first["metadata"]["remainingItemCount"] == 1
            async with watching(
                server, "/api/v1/pods", resourceVersion=first["metadata"]["resourceVersion"]
            ) as events:
                replace(tmp_path, CLUSTER.replace("web-0", "web-1"))
                assert told(await anext(events)) == ("ADDED", "web-1")
            second = await get(
                server, "/api/v1/pods", limit="1", **{"continue": first["metadata"]["continue"]}
            )
            assert names(second) == ["web-0"]
            assert "continue" not in second.json()["metadata"]

    asyncio.run(main())


def test_discovery_leads_to_every_list(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            assert (await get(server, "/api", "bob-token")).json()["versions"] == ["v1"]
            groups = (await get(server, "/apis", "bob-token")).json()["groups"]
            paths = ["/api/v1"] + [f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups]
            assert len(paths) == 10
            served = 0
            for path in paths:
                for resource in (await get(server, path, "bob-token")).json()["resources"]:
                    if "list" in resource["verbs"]:
                        response = await get(server, f"{path}/{resource['name']}")
                        assert response.json()["kind"] == f"{resource['kind']}List"
                        served += 1
            assert served == 19
            assert "/apis/discovery.k8s.io/v1" in (await get(server, "/")).json()["paths"]
            assert (await get(server, "/apis/discovery.k8s.io")).json()["kind"] == "APIGroup"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("*/*", 200),
        ("application/json", 200),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", 200),
        ("application/vnd.kubernetes.protobuf, application/json;q=0.5", 200),
        ("application/vnd.kubernetes.protobuf", 406),
        ("text/html", 406),
    ],
)
def test_json_is_what_there_is(tmp_path: Path, accept: str, code: int) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            assert (await http.get("/api/v1/pods", headers={"Accept": accept})).status_code == code

    asyncio.run(main())
