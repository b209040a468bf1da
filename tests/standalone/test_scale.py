"""What kubectl needs besides the objects: scales, explanations, rules of one's own, events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bastion.kube.status import StatusError
from bastion.standalone.scale import scale_of, scaled
from tests.standalone.api import client, get, post, serving

SHOP = "/apis/apps/v1/namespaces/shop/deployments"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
DEPLOYMENT = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 2,
        "selector": {
            "matchLabels": {"app": "d"},
            "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["b", "c"]},
                {"key": "e", "operator": "DoesNotExist"},
            ],
        },
        "template": {"spec": {"containers": [{"name": "c", "image": "x"}]}},
    },
}


def test_a_scale_is_read_from_the_object() -> None:
    scale = scale_of(DEPLOYMENT, {"name": "d", "resourceVersion": "1", "labels": {}})
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 0, "selector": "app=d,a in (b,c),!e"}
    assert scale["metadata"] == {"name": "d", "resourceVersion": "1"}


@pytest.mark.parametrize("scale", [{"spec": {"replicas": -1}}, {"spec": {"replicas": "2"}}, {"kind": "Pod"}])
def test_what_is_no_scale_is_refused(scale: dict[str, Any]) -> None:
    with pytest.raises(StatusError):
        scaled(DEPLOYMENT, scale)


def test_a_deployment_is_scaled(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            assert (await http.post(SHOP, json=DEPLOYMENT)).status_code == 201
            scale = (await http.get(f"{SHOP}/d/scale")).json()
            scale["spec"]["replicas"] = 5
            changed = await http.put(f"{SHOP}/d/scale", json=scale)
            assert changed.json()["spec"] == {"replicas": 5}
            assert (await http.put(f"{SHOP}/d/scale", json=scale)).status_code == 409  # of a version before
            merge = {"Content-Type": "application/merge-patch+json"}
            await http.patch(f"{SHOP}/d/scale", json={"spec": {"replicas": 7}}, headers=merge)
            found = (await http.get(f"{SHOP}/d")).json()["spec"]
            assert (found["replicas"], found["selector"]["matchLabels"]) == (7, {"app": "d"})
            assert (await http.get("/api/v1/namespaces/shop/pods/web-0/scale")).status_code == 404

    asyncio.run(main())


def test_every_kind_is_explained(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            paths = (await get(server, "/openapi/v3")).json()["paths"]
            for path in paths:
                document = (await get(server, f"/openapi/v3/{path}")).json()
                schemas = document["components"]["schemas"]
                named = {
                    f"{one['group']}/{one['kind']}"
                    for schema in schemas.values()
                    for one in schema.get("x-kubernetes-group-version-kind", ())
                }
                for item in document["paths"].values():
                    kind = item["put"]["x-kubernetes-group-version-kind"]
                    if kind["kind"] != "BackendTLSPolicy":  # which is none of Kubernetes' own
                        assert f"{kind['group']}/{kind['kind']}" in named

    asyncio.run(main())


def test_a_user_is_told_what_the_user_may(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            review = {"spec": {"namespace": "shop"}}
            status = (await post(server, RULES, review, "alice-token")).json()["status"]
            assert {
                "verbs": ["get"],
                "apiGroups": [""],
                "resources": ["services/proxy"],
                "resourceNames": ["web:80"],
            } in status["resourceRules"]
            assert status["incomplete"] is False
            admin = (await post(server, RULES, review)).json()["status"]["resourceRules"]
            assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in admin
            assert (await post(server, RULES, {"spec": {}})).status_code == 400

    asyncio.run(main())


def test_events_are_taken_and_there_are_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            path = "/api/v1/namespaces/shop/events"
            event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}}
            assert (await post(server, path, event)).status_code == 201
            found = await get(server, path, fieldSelector="involvedObject.kind=ConfigMap")
            assert (found.json()["kind"], found.json()["items"]) == ("EventList", [])

    asyncio.run(main())
