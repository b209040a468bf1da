"""The little that may be written to the embedded API: a Service's status, and events."""

from __future__ import annotations

import asyncio
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
