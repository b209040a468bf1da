"""Reviews over HTTPS, and the counter of calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.standalone.api import (
    ACCESS_REVIEWS,
    BOT,
    SELF_REVIEWS,
    TOKEN_REVIEWS,
    get,
    post,
    serving,
    watching,
)

TOKEN_REVIEW_ROWS: list[tuple[str, dict[str, Any]]] = [
    (
        "admin-token",
        {
            "authenticated": True,
            "user": {"username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]},
        },
    ),
    (
        "alice-token",
        {
            "authenticated": True,
            "user": {"username": "alice", "uid": "2", "groups": ["devs", "ops", "system:authenticated"]},
        },
    ),
    (
        "bob-token",
        {"authenticated": True, "user": {"username": "bob", "uid": "3", "groups": ["system:authenticated"]}},
    ),
    (
        "bot-token",
        {
            "authenticated": True,
            "user": {
                "username": "bot",
                "uid": "9",
                "groups": ["robots", "system:authenticated"],
                "extra": {"scope": ["read"]},
            },
        },
    ),
    ("wrong", {"authenticated": False, "user": {}, "error": "invalid bearer token"}),
]


@pytest.mark.parametrize(("token", "status"), TOKEN_REVIEW_ROWS)
def test_token_review(tmp_path: Path, token: str, status: dict[str, Any]) -> None:
    async def main() -> None:
        async with serving(tmp_path, extra_tokens={"bot-token": BOT}) as server:
            response = await post(server, TOKEN_REVIEWS, {"spec": {"token": token}}, "delegate-token")
            assert response.status_code == 201
            body = response.json()
            assert (body["kind"], body["apiVersion"], body["status"]) == (
                "TokenReview",
                "authentication.k8s.io/v1",
                status,
            )

    asyncio.run(main())


def test_token_review_needs_the_right_and_a_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            response = await post(server, TOKEN_REVIEWS, {"spec": {"token": "alice-token"}}, "alice-token")
            assert (
                response.json()["message"]
                == 'tokenreviews.authentication.k8s.io is forbidden: User "alice" cannot create resource'
                ' "tokenreviews" in API group "authentication.k8s.io" at the cluster scope'
            )
            response = await post(server, TOKEN_REVIEWS, {"spec": {"token": ""}}, "delegate-token")
            assert (response.status_code, response.json()["message"]) == (
                400,
                "token is required for TokenReview in authentication",
            )
            assert server.calls == {}

    asyncio.run(main())


def test_subject_access_review(tmp_path: Path) -> None:
    attributes = {
        "namespace": "shop",
        "verb": "get",
        "version": "v1",
        "resource": "services",
        "subresource": "proxy",
        "name": "web:80",
    }

    async def main() -> None:
        async with serving(tmp_path) as server:
            for name, status in (
                (
                    "web:80",
                    {
                        "allowed": True,
                        "reason": 'RBAC: allowed by RoleBinding "proxy/shop" of Role "proxy" to User "alice"',
                    },
                ),
                ("web", {"allowed": False}),
            ):
                spec = {"user": "alice", "resourceAttributes": attributes | {"name": name}}
                response = await post(server, ACCESS_REVIEWS, {"spec": spec}, "delegate-token")
                assert response.status_code == 201
                assert (response.json()["status"], response.json()["spec"]) == (status, spec)
            assert (await post(server, ACCESS_REVIEWS, {"spec": spec}, "alice-token")).status_code == 403
            response = await post(
                server, ACCESS_REVIEWS, {"spec": {"resourceAttributes": attributes}}, "delegate-token"
            )
            assert (response.status_code, response.json()["reason"]) == (422, "Invalid")
            response = await post(
                server, SELF_REVIEWS, {"spec": {"resourceAttributes": attributes}}, "alice-token"
            )
            assert response.json()["status"]["allowed"] is True
            response = await post(
                server,
                SELF_REVIEWS,
                {"spec": {"user": "alice", "resourceAttributes": attributes}},
                "bob-token",
            )
            assert response.json()["status"] == {"allowed": False}

    asyncio.run(main())


def test_bodies_have_a_type_and_a_limit(tmp_path: Path) -> None:
    large = json.dumps({"spec": {"token": "x" * (1 << 20)}}).encode()
    fits = json.dumps({"spec": {"token": "x" * ((1 << 20) - 100)}}).encode()

    async def main() -> None:
        async with serving(tmp_path) as server:
            response = await post(server, TOKEN_REVIEWS, b"spec: {}", **{"Content-Type": "application/yaml"})
            assert (response.status_code, response.json()["reason"]) == (415, "UnsupportedMediaType")
            assert (await post(server, TOKEN_REVIEWS, fits)).status_code == 201
            response = await post(server, TOKEN_REVIEWS, large)
            assert (response.status_code, response.json()["reason"]) == (413, "RequestEntityTooLarge")
            assert (await get(server, "/api")).status_code == 200

    asyncio.run(main())


def test_calls_are_counted_by_kind(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            await get(server, "/api/v1/pods")
            await get(server, "/api/v1/pods", "bob-token")  # refused: not answered, not counted
            await get(server, "/api/v1/namespaces/shop/pods/web-0")
            await get(server, "/livez")
            await post(server, TOKEN_REVIEWS, {"spec": {"token": "x"}})
            await post(
                server, ACCESS_REVIEWS, {"spec": {"user": "x", "nonResourceAttributes": {"path": "/"}}}
            )
            await post(
                server, ACCESS_REVIEWS, {"spec": {"user": "x", "nonResourceAttributes": {"path": "/"}}}
            )
            async with watching(server, "/api/v1/services") as events:
                await anext(events)
            assert server.calls == {
                "list pods": 1,
                "get pods": 1,
                "tokenreviews": 1,
                "subjectaccessreviews": 2,
                "watch services": 1,
            }

    asyncio.run(main())
