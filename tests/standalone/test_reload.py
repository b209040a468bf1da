"""What a change of the files does to those who list and watch."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
import yaml

from bastion.standalone.apiserver import ApiServer
from tests.standalone.api import (
    BOT,
    CLUSTER,
    TOKENS,
    eventually,
    get,
    names,
    replace,
    serving,
    told,
    watching,
)
from tests.standalone.objects import write


def test_a_change_of_the_files_is_told_to_those_who_watch(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            listed = (await get(server, "/api/v1/pods")).json()
            uid = {item["metadata"]["name"]: item["metadata"]["uid"] for item in listed["items"]}
            start = listed["metadata"]["resourceVersion"]
            slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
            async with (
                watching(server, "/api/v1/pods", resourceVersion=start) as pods,
                watching(server, slices, resourceVersion=start) as eps,
            ):
                replace(
                    tmp_path,
                    CLUSTER.replace("10.0.0.1}", "10.0.0.9}").replace("podIP: 10.0.0.1,", "podIP: 10.0.0.9,"),
                )
                modified = await anext(pods)
                assert told(modified) == ("MODIFIED", "web-0")
                assert modified["object"]["status"]["podIP"] == "10.0.0.9"
                assert modified["object"]["metadata"]["uid"] == uid["web-0"]
                assert (await anext(eps))["object"]["endpoints"][0]["addresses"] == ["10.0.0.9"]

                replace(tmp_path, CLUSTER.replace("name: other", "name: another"))
                changes = [await anext(pods) for _ in range(3)]
                assert sorted(map(told, changes)) == [
                    ("ADDED", "another"),
                    ("DELETED", "other"),
                    ("MODIFIED", "web-0"),
                ]
                revisions = [
                    int(event["object"]["metadata"]["resourceVersion"]) for event in [modified, *changes]
                ]
                assert revisions == sorted(set(revisions))
            assert names(await get(server, "/api/v1/pods")) == ["another", "web-0"]

    asyncio.run(main())


def test_files_that_come_and_go_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    write(folder / "one.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: one}\n")

    async def main() -> None:
        async with ApiServer([folder], None, poll_interval=0.01, extra_tokens={"bot-token": BOT}) as server:
            token = yaml.safe_load(server.kubeconfig())["users"][0]["user"]["token"]
            async with watching(server, "/api/v1/nodes", token) as events:
                assert told(await anext(events)) == ("ADDED", "one")
                write(folder / "deep" / "two.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: two}\n")
                assert told(await anext(events)) == ("ADDED", "two")
                (folder / "one.yaml").unlink()
                assert told(await anext(events)) == ("DELETED", "one")

    asyncio.run(main())


def test_a_broken_manifest_changes_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def complaints() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]

    async def main() -> None:
        async with (
            serving(tmp_path) as server,
            watching(server, "/api/v1/pods", resourceVersion="0") as events,
        ):
            assert {told(await anext(events)) for _ in range(2)} == {("ADDED", "other"), ("ADDED", "web-0")}
            replace(
                tmp_path,
                CLUSTER.replace("containerPort: 8080", "containerPort: 808080") + "---\n" + "garbage: [",
            )
            await eventually(lambda: bool(complaints()))
            assert names(await get(server, "/api/v1/pods")) == ["other", "web-0"]
            for _ in range(20):  # many looks at files that stay as they are
                await get(server, "/livez")
                await asyncio.sleep(0.01)
            place = "spec.containers[0].ports[0].containerPort: must be an integer between 1 and 65535"
            assert complaints() == [
                f"{tmp_path / 'cluster.yaml'}: document 3: {place}; what was read before stays in use"
            ]
            (tmp_path / "cluster.yaml").unlink()
            await eventually(lambda: len(complaints()) == 2)
            assert (
                complaints()[1]
                == f"{tmp_path / 'cluster.yaml'}: no such file or folder; what was read before stays in use"
            )
            write(tmp_path / "cluster.yaml", CLUSTER.replace("name: other", "name: mended"))
            assert [told(await anext(events)) for _ in range(2)] == [
                ("ADDED", "mended"),
                ("DELETED", "other"),
            ]

    with caplog.at_level(logging.INFO, "bastion.standalone"):
        asyncio.run(main())


def test_rbac_follows_the_files(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            async with watching(
                server, "/apis/rbac.authorization.k8s.io/v1/rolebindings", resourceVersion=""
            ) as events:
                for _ in range(2):
                    await anext(events)
                assert (await get(server, "/api/v1/namespaces/shop/pods", "bob-token")).status_code == 403
                replace(tmp_path, CLUSTER.replace("{kind: Group, name: devs}", "{kind: User, name: bob}"))
                assert told(await anext(events)) == ("MODIFIED", "view")
            assert names(await get(server, "/api/v1/namespaces/shop/pods", "bob-token")) == ["web-0"]
            assert (await get(server, "/api/v1/namespaces/shop/pods", "alice-token")).status_code == 403

    asyncio.run(main())


def test_tokens_follow_their_file_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def logged(part: str) -> bool:
        return any(part in record.getMessage() for record in caplog.records)

    async def main() -> None:
        async with serving(tmp_path) as server:
            replace(tmp_path, TOKENS + "broken-token\n", "tokens.csv")
            await eventually(lambda: logged("found 1; what was read before stays in use"))
            assert (await get(server, "/api", "alice-token")).status_code == 200
            replace(tmp_path, "fresh-token,alice,2\n", "tokens.csv")
            await eventually(lambda: logged("token file read again: 1 tokens"))
            assert (await get(server, "/api", "fresh-token")).status_code == 200
            assert (await get(server, "/api", "alice-token")).status_code == 401

    with caplog.at_level(logging.INFO, "bastion.standalone"):
        asyncio.run(main())
    assert "-token" not in caplog.text


def test_a_kind_that_is_not_served_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    extra = "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\n"

    async def main() -> None:
        async with serving(tmp_path, CLUSTER + extra) as server, watching(server, "/api/v1/pods") as events:
            for _ in range(2):
                await anext(events)
            replace(
                tmp_path,
                CLUSTER.replace("name: other", "name: another") + extra + extra.replace("name: a", "name: b"),
            )
            await anext(events)

    with caplog.at_level(logging.WARNING, "bastion.standalone"):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'cluster.yaml'}: kind StatefulSet is not served here and was left out"
    ]


def test_watch_of_one_object_with_bookmarks_and_a_timeout(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, bookmark_interval=0.01) as server:
            query = {
                "fieldSelector": "metadata.name=other",
                "allowWatchBookmarks": "true",
                "timeoutSeconds": "1",
            }
            async with watching(server, "/api/v1/pods", **query) as events:
                types = [told(event) async for event in events]  # ends by itself
        assert types[0] == ("ADDED", "other")
        assert types[1:]
        assert set(types[1:]) == {("BOOKMARK", "")}

    asyncio.run(main())


def test_a_watch_from_a_forgotten_revision_is_410(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            serving(tmp_path) as server,
            watching(server, "/api/v1/pods", resourceVersion="5") as events,
        ):
            (event,) = [event async for event in events]
            assert (event["type"], event["object"]["code"], event["object"]["reason"]) == (
                "ERROR",
                410,
                "Expired",
            )
            assert event["object"]["message"].startswith("too old resource version: 5 (")

    asyncio.run(main())
