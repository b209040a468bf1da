"""Who may ask the embedded API what: tokens, RBAC, and the refusals in the API server's words."""

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
    serving,
)

UNAUTHORIZED = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "Unauthorized",
    "reason": "Unauthorized",
    "code": 401,
}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Basic YWxpY2U6eA==",
        "Bearer  admin-token",
        "admin-token",
        "Bearer: admin-token",
    ],
)
def test_no_token_or_a_wrong_one_is_401(tmp_path: Path, authorization: str) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server, "") as http:
            headers = {"Authorization": authorization} if authorization else {}
            for path in ("/api/v1/pods", "/api", "/nowhere", TOKEN_REVIEWS):
                response = await http.get(path, headers=headers)
                assert (response.status_code, response.json()) == (401, UNAUTHORIZED)

    asyncio.run(main())


@pytest.mark.parametrize(
    "authorization", ["Bearer admin-token", "bearer admin-token", "BEARER admin-token ignored"]
)
def test_a_bearer_token_is_read_as_the_api_server_reads_it(tmp_path: Path, authorization: str) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server, "") as http:
            response = await http.get("/api/v1/nodes", headers={"Authorization": authorization})
            assert names(response) == ["node-a"]

    asyncio.run(main())


def test_health_and_version_are_for_everybody(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            for path in ("/livez", "/readyz", "/healthz"):
                response = await get(server, path, "")
                assert (response.status_code, response.text) == (200, "ok")
            assert (await get(server, "/version", "")).json()["major"] == "1"
            async with client(server, "") as http:
                assert (await http.post("/livez")).status_code == 401

    asyncio.run(main())


FORBIDDEN = [
    (
        "/api/v1/pods",
        'pods is forbidden: User "alice" cannot list resource "pods" in API group "" at the cluster scope',
        {"kind": "pods"},
    ),
    (
        "/api/v1/namespaces/default/pods/other",
        (
            'pods "other" is forbidden: User "alice" cannot get resource "pods" in API group "" in the'
            ' namespace "default"'
        ),
        {"name": "other", "kind": "pods"},
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles?watch=1",
        (
            'roles.rbac.authorization.k8s.io is forbidden: User "alice" cannot watch resource "roles" in API'
            ' group "rbac.authorization.k8s.io" in the namespace "shop"'
        ),
        {"group": "rbac.authorization.k8s.io", "kind": "roles"},
    ),
    ("/metrics", 'forbidden: User "alice" cannot get path "/metrics"', {}),
]


@pytest.mark.parametrize(("path", "message", "details"), FORBIDDEN)
def test_what_rbac_does_not_allow_is_403(
    tmp_path: Path, path: str, message: str, details: dict[str, str]
) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            response = await get(server, path, "alice-token")
            body = response.json()
            assert (response.status_code, body["reason"], body["message"], body["details"]) == (
                403,
                "Forbidden",
                message,
                details,
            )

    asyncio.run(main())


def test_a_user_sees_what_his_role_shows_him(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            assert names(await get(server, "/api/v1/namespaces/shop/pods", "alice-token")) == ["web-0"]
            assert (await get(server, "/api/v1/namespaces/shop/pods", "bob-token")).status_code == 403
            assert (await get(server, "/api/v1/namespaces/shop", "alice-token")).json()["metadata"][
                "name"
            ] == "shop"

    asyncio.run(main())


def test_a_missing_role_is_named_in_the_403(tmp_path: Path) -> None:
    extra = """
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: dangling}
roleRef: {kind: ClusterRole, name: gone}
subjects: [{kind: User, name: bob}]
"""

    async def main() -> None:
        async with serving(tmp_path, CLUSTER + extra) as server:
            message = (await get(server, "/api/v1/nodes", "bob-token")).json()["message"]
            assert message.endswith(
                'at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
            )

    asyncio.run(main())


def test_an_impersonation_is_refused_rather_than_not_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            response = await http.get("/api/v1/pods", headers={"Impersonate-User": "bob"})
            assert (response.status_code, response.json()["reason"]) == (400, "BadRequest")

    asyncio.run(main())
