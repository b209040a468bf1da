"""Statuses, finalizers, Leases and events, as components write them to the embedded API."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.standalone.api import client, serving

STATUS = "/api/v1/namespaces/shop/services/web/status"
WEB = "/api/v1/namespaces/shop/services/web"
EVENTS = "/apis/events.k8s.io/v1/namespaces/shop/events"
MERGE = {"Content-Type": "application/merge-patch+json"}
INGRESS = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}}


def test_a_status_is_merged_replaced_and_seen_by_watches(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            before = (await http.get(WEB)).json()
            done = await http.patch(STATUS, json=INGRESS, headers=MERGE)
            assert done.status_code == 200
            after = (await http.get(WEB)).json()
            assert after == done.json()
            assert after["status"] == INGRESS["status"]
            assert after["spec"] == before["spec"]
            assert after["metadata"]["uid"] == before["metadata"]["uid"]
            assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
            again = await http.put(STATUS, json={**after, "status": {"loadBalancer": {}}})
            assert again.json()["status"] == {"loadBalancer": {}}
            spec = await http.patch(STATUS, json={"spec": {"type": "NodePort"}}, headers=MERGE)
            assert spec.json()["spec"] == before["spec"]

    asyncio.run(main())


def test_what_is_no_status_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            gone = await http.patch(STATUS.replace("web", "gone"), json=INGRESS, headers=MERGE)
            assert gone.status_code == 404
            assert (await http.delete(STATUS)).status_code == 405
            for body, kind, code in (
                (b"[]", MERGE["Content-Type"], 400),
                (b"{", MERGE["Content-Type"], 400),
                (b"status: x", "application/yaml", 415),
            ):
                done = await http.patch(STATUS, content=body, headers={"Content-Type": kind})
                assert done.status_code == code

    asyncio.run(main())


def test_an_event_is_taken_and_said_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            event = {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": "e", "namespace": "shop"},
            }
            done = await http.post(EVENTS, json=event)
            assert (done.status_code, done.json()) == (201, event)
            assert server.calls["events"] == 1

    asyncio.run(main())


LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


def test_leases_are_listed_and_watched_beside_the_objects(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            services = (await http.get("/api/v1/services")).json()["metadata"]["resourceVersion"]
            begun = (await http.get(LEASES)).json()
            assert begun["items"] == []
            lease = {"metadata": {"name": "a", "labels": {"of": "x"}}, "spec": {"holderIdentity": "n1"}}
            made = (await http.post(LEASES, json=lease)).json()
            await http.post(LEASES, json={"metadata": {"name": "b"}, "spec": {}})
            await http.put(f"{LEASES}/a", json={**made, "spec": {"holderIdentity": "n2"}})
            stale = await http.put(f"{LEASES}/a", json={**made, "spec": {"holderIdentity": "n3"}})
            assert stale.status_code == 409
            query = {"labelSelector": "of=x", "resourceVersion": begun["metadata"]["resourceVersion"]}
            listed = (await http.get(LEASES, params={"labelSelector": "of=x"})).json()["items"]
            assert [one["spec"]["holderIdentity"] for one in listed] == ["n2"]
            watched = await http.get(LEASES, params={**query, "watch": "true", "timeoutSeconds": "1"})
            events = [json.loads(line) for line in watched.text.splitlines()]
            assert [(one["type"], one["object"]["spec"]["holderIdentity"]) for one in events] == [
                ("ADDED", "n1"),
                ("MODIFIED", "n2"),
            ]
            assert (await http.get("/api/v1/services")).json()["metadata"]["resourceVersion"] == services

    asyncio.run(main())


def test_finalizers_of_a_service_are_taken_over_what_was_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            before = (await http.get(WEB)).json()
            version = before["metadata"]["resourceVersion"]
            patch = {
                "metadata": {"resourceVersion": version, "finalizers": ["x.example/y"]},
            }
            after = (await http.patch(WEB, json=patch, headers=MERGE)).json()
            assert after["metadata"]["finalizers"] == ["x.example/y"]
            assert after["spec"] == before["spec"]
            assert (await http.patch(WEB, json=patch, headers=MERGE)).status_code == 409
            late = await http.patch(
                STATUS, json={**INGRESS, "metadata": {"resourceVersion": version}}, headers=MERGE
            )
            assert late.status_code == 409
            done = await http.patch(STATUS, json=INGRESS, headers=MERGE)
            assert done.json()["metadata"]["finalizers"] == ["x.example/y"]
            gone = await http.patch(WEB, json={"metadata": {"finalizers": None}}, headers=MERGE)
            assert "finalizers" not in gone.json()["metadata"]
            assert gone.json()["status"] == INGRESS["status"]

    asyncio.run(main())
