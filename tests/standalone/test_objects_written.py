"""Objects that clients create, change and delete; what the manifests say stands below them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.standalone.api import CLUSTER, client, replace, serving, told, watching

MAPS = "/api/v1/namespaces/shop/configmaps"
PODS = "/api/v1/namespaces/shop/pods"
WEB = "/api/v1/namespaces/shop/services/web"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles"
MERGE = {"Content-Type": "application/merge-patch+json"}


def config_map(name: str = "a", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_an_object_is_created_watched_changed_and_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http, watching(server, MAPS) as events:
            made = await http.post(MAPS, json=config_map(k="v"))
            assert made.status_code == 201
            assert (await http.post(MAPS, json=config_map())).json()["reason"] == "AlreadyExists"
            changed = (await http.put(f"{MAPS}/a", json={**made.json(), "data": {"k": "w"}})).json()
            assert changed["metadata"]["uid"] == made.json()["metadata"]["uid"]
            stale = await http.put(f"{MAPS}/a", json={**made.json(), "data": {"k": "x"}})
            assert stale.json()["reason"] == "Conflict"
            same = (await http.put(f"{MAPS}/a", json=changed)).json()
            assert same["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]
            assert (await http.delete(f"{MAPS}/a")).json()["status"] == "Success"
            assert [told(await anext(events)) for _ in range(3)] == [
                ("ADDED", "a"),
                ("MODIFIED", "a"),
                ("DELETED", "a"),
            ]
            assert (await http.delete(f"{MAPS}/a")).status_code == 404

    asyncio.run(main())


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            assert (await http.post(f"{MAPS}?dryRun=All", json=config_map())).status_code == 201
            assert (await http.get(f"{MAPS}/a")).status_code == 404
            assert (await http.patch(f"{WEB}?dryRun=All", json={"spec": None}, headers=MERGE)).is_success
            for options in ({}, {"dryRun": ["All"]}):
                query = "" if options else "?dryRun=All"
                assert (await http.request("DELETE", WEB + query, json=options)).status_code == 200
            assert "spec" in (await http.get(WEB)).json()
            assert (await http.post(f"{MAPS}?dryRun=Some", json=config_map())).status_code == 400

    asyncio.run(main())


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({**config_map(), "kind": "Secret"}, 400),
    ({**config_map(), "metadata": {"name": "a", "namespace": "other"}}, 400),
    ({**config_map(), "metadata": {"name": "A b"}}, 422),
    ({**config_map(), "metadata": {}}, 422),
    ({**config_map(), "data": {"a": 1}}, 422),
]


@pytest.mark.parametrize(("sent", "code"), REFUSED)
def test_what_is_no_object_of_the_kind_is_refused(tmp_path: Path, sent: dict[str, Any], code: int) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            assert (await http.post(MAPS, json=sent)).status_code == code
            nowhere = await http.post(MAPS.replace("shop", "nowhere"), json=config_map())
            assert nowhere.json()["message"] == 'namespaces "nowhere" not found'

    asyncio.run(main())


def test_what_is_derived_follows_and_a_status_is_written_apart(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            pod = (await http.get(f"{PODS}/web-0")).json()
            second = {**pod, "metadata": {"name": "web-1", "labels": {"app": "web"}}}
            second["status"] = {**pod["status"], "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}
            assert (await http.post(PODS, json=second)).status_code == 201

            async def ready() -> list[str]:
                slices = (await http.get("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices")).json()
                ends = [end for slice in slices["items"] for end in slice["endpoints"]]
                return sorted(end["addresses"][0] for end in ends if end["conditions"]["ready"])

            assert await ready() == ["10.0.0.1", "10.0.0.9"]
            patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
            await http.patch(f"{PODS}/web-1", json=patch, headers=MERGE)
            assert await ready() == ["10.0.0.1", "10.0.0.9"]
            await http.patch(f"{PODS}/web-1/status", json=patch, headers=MERGE)
            assert await ready() == ["10.0.0.1"]
            await http.delete(f"{PODS}/web-1")
            assert await ready() == ["10.0.0.1"]

    asyncio.run(main())


def test_a_file_that_changes_wins_and_the_rest_stays_as_written(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http, watching(server, MAPS) as events:
            labels = {"metadata": {"labels": {"by": "hand"}}}
            for path in (WEB, f"{PODS}/web-0"):
                assert (await http.patch(path, json=labels, headers=MERGE)).is_success
            await http.delete("/api/v1/nodes/node-a")
            replace(
                tmp_path,
                CLUSTER.replace("port: 80,", "port: 81,")
                + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: new, namespace: shop}}\n",
            )
            await anext(events)
            assert "labels" not in (await http.get(WEB)).json()["metadata"]
            assert (await http.get(f"{PODS}/web-0")).json()["metadata"]["labels"]["by"] == "hand"
            assert (await http.get("/api/v1/nodes/node-a")).status_code == 404

    asyncio.run(main())


def test_finalizers_keep_an_object_until_they_are_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            await http.patch(WEB, json={"metadata": {"finalizers": ["x.example/y"]}}, headers=MERGE)
            assert (await http.delete(WEB)).json()["kind"] == "Service"
            assert (await http.get(WEB)).json()["metadata"]["deletionTimestamp"]
            await http.patch(WEB, json={"metadata": {"finalizers": None}}, headers=MERGE)
            assert (await http.get(WEB)).status_code == 404

    asyncio.run(main())


def test_a_namespace_takes_all_that_is_in_it_and_outlives_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            for path in ("services/web", "pods/web-0", "serviceaccounts/bot"):
                await http.delete(f"/api/v1/namespaces/shop/{path}")
            assert (await http.get("/api/v1/namespaces/shop")).status_code == 200
            await http.post(MAPS, json=config_map())
            assert (await http.delete("/api/v1/namespaces/shop")).is_success
            assert (await http.get("/api/v1/namespaces/shop")).status_code == 404
            assert (await http.get(MAPS)).json()["items"] == []

    asyncio.run(main())


def test_a_collection_is_deleted_by_its_selector(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            for name, tier in (("a", "x"), ("b", "y")):
                sent = config_map(name)
                sent["metadata"]["labels"] = {"tier": tier}
                await http.post(MAPS, json=sent)
            await http.delete(MAPS, params={"labelSelector": "tier=x"})
            assert [one["metadata"]["name"] for one in (await http.get(MAPS)).json()["items"]] == ["b"]

    asyncio.run(main())


def test_rights_take_effect_at_once_and_none_is_given_that_one_has_not(tmp_path: Path) -> None:
    admin = """
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: admin, namespace: shop}
roleRef: {kind: ClusterRole, name: admin}
subjects: [{kind: User, name: bob}]
"""

    def role(name: str, *verbs: str, resource: str = "configmaps") -> dict[str, Any]:
        rule = {"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}
        return {"metadata": {"name": name}, "rules": [rule]}

    def binding(name: str, kind: str, role: str) -> dict[str, Any]:
        subjects = [{"kind": "User", "name": "delegate"}]
        return {"metadata": {"name": name}, "roleRef": {"kind": kind, "name": role}, "subjects": subjects}

    async def main() -> None:
        async with (
            serving(tmp_path, CLUSTER + admin) as server,
            client(server, "bob-token") as bob,
            client(server, "delegate-token") as delegate,
        ):
            assert (await delegate.get(MAPS)).status_code == 403
            assert (await bob.post(ROLES, json=role("read", "get", "list"))).status_code == 201
            bindings = ROLES.replace("/roles", "/rolebindings")
            assert (await bob.post(bindings, json=binding("b", "Role", "read"))).status_code == 201
            assert (await delegate.get(MAPS)).status_code == 200
            for path, sent in (
                (ROLES, role("all", "*", resource="*")),
                (ROLES, role("nodes", "get", resource="nodes")),
                (bindings, binding("c", "ClusterRole", "cluster-admin")),
                (bindings, binding("d", "Role", "gone")),
            ):
                refused = await bob.post(path, json=sent)
                assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden"), sent
            await bob.delete(f"{bindings}/b")
            assert (await delegate.get(MAPS)).status_code == 403

    asyncio.run(main())


def test_a_secret_given_as_text_is_kept_as_base64_and_a_name_is_drawn(tmp_path: Path) -> None:
    async def main() -> None:
        secrets = "/api/v1/namespaces/shop/secrets"
        async with serving(tmp_path) as server, client(server) as http, client(server, "alice-token") as devs:
            sent = {"metadata": {"generateName": "s-"}, "stringData": {"k": "v"}, "data": {"l": "dw=="}}
            made = (await http.post(secrets, json=sent)).json()
            assert (made["type"], made["data"]) == ("Opaque", {"k": "dg==", "l": "dw=="})
            assert "stringData" not in made
            assert len(made["metadata"]["name"]) == 7
            assert (await http.post(secrets, json={**sent, "data": {"k": "?"}})).status_code == 422
            assert (await devs.get(secrets)).status_code == 403  # `view` shows none

    asyncio.run(main())


def test_what_needs_a_kubelet_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            for method, what in (
                ("GET", "log"),
                ("POST", "exec"),
                ("GET", "attach"),
                ("POST", "portforward"),
            ):
                answer = await http.request(method, f"{PODS}/web-0/{what}")
                assert (answer.status_code, "no kubelet" in answer.json()["message"]) == (400, True)
                assert (await http.request(method, f"{PODS}/gone/{what}")).status_code == 404

    asyncio.run(main())
