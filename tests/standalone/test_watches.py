"""Watches: what each event is to whoever watches, and how a watch begins and ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bastion.standalone.resources import BY_NAME, Object
from bastion.standalone.selectors import Selectors, selection
from bastion.standalone.store import Store
from bastion.standalone.watches import Watches, WatchOptions, event_line
from tests.standalone.objects import by_key, pod, service

PODS = BY_NAME["", "pods"]
ALL = Selectors()
T = "2026-01-01T00:00:00Z"
WEB, API = {"app": "web"}, {"app": "api"}


def store_of(*objects: Object, history: int = 100) -> Store:
    store = Store(10, history)
    store.replace(by_key(*objects), T)
    return store


def said(line: bytes) -> tuple[str, str, int]:
    """(type, name, revision)."""
    event = json.loads(line)
    metadata = event["object"].get("metadata", {})
    return event["type"], metadata.get("name", ""), int(metadata.get("resourceVersion", 0))


@pytest.mark.parametrize(
    ("old", "new", "namespace", "labels", "expected"),
    [
        (None, pod("a"), "", "", "ADDED"),
        (pod("a"), None, "", "", "DELETED"),
        (pod("a"), pod("a", ip="10.0.0.2"), "", "", "MODIFIED"),
        (pod("a", labels=API), pod("a", labels=WEB), "", "app=web", "ADDED"),
        (pod("a", labels=WEB), pod("a", labels=API), "", "app=web", "DELETED"),
        (pod("a", labels=WEB), pod("a", labels=WEB, ip="10.0.0.2"), "", "app=web", "MODIFIED"),
        (pod("a", labels=API), pod("a", labels=API, ip="10.0.0.2"), "", "app=web", None),
        (None, pod("a"), "default", "", "ADDED"),
        (None, pod("a"), "other", "", None),
        (None, service("a"), "", "", None),
    ],
)
def test_what_an_event_is_to_a_watch(
    old: Object | None, new: Object | None, namespace: str, labels: str, expected: str | None
) -> None:
    store = store_of(*([old] if old else []))
    store.replace(by_key(*([new] if new else [])), T)
    (event,) = store.since(11)
    line = event_line(event, PODS, namespace, selection(labels, ""))
    assert (said(line) if line else None) == ((expected, "a", 12) if expected else None)


async def read(lines: AsyncIterator[bytes], count: int) -> list[tuple[str, str, int]]:
    return [said(await anext(lines)) for _ in range(count)]


def test_a_watch_without_a_revision_begins_with_what_there_is() -> None:
    async def main() -> None:
        store = store_of(pod("a"), pod("b"))
        watches = Watches(store)
        lines = watches.lines(PODS, "", WatchOptions(ALL))
        assert await read(lines, 2) == [("ADDED", "a", 11), ("ADDED", "b", 11)]
        store.replace(by_key(pod("a"), pod("c")), T)
        watches.notify()
        assert await read(lines, 2) == [("ADDED", "c", 12), ("DELETED", "b", 13)]
        watches.close()
        assert [line async for line in lines] == []

    asyncio.run(main())


def test_a_watch_from_a_revision_gets_what_came_after_and_what_comes() -> None:
    async def main() -> None:
        store = store_of(pod("a"))
        watches = Watches(store)
        store.replace(by_key(pod("a"), pod("b")), T)
        lines = watches.lines(PODS, "", WatchOptions(ALL, revision=11))
        assert await read(lines, 1) == [("ADDED", "b", 12)]
        waiting = asyncio.create_task(read(lines, 1))
        await asyncio.sleep(0)
        store.replace(by_key(pod("a", ip="10.0.0.2"), pod("b")), T)
        watches.notify()
        assert await waiting == [("MODIFIED", "a", 13)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("revision", "message"),
    [(11, "too old resource version: 11 (12)"), (99, "too large resource version: 99 (13)")],
)
def test_a_revision_that_is_not_known_ends_the_watch_with_410(revision: int, message: str) -> None:
    async def main() -> list[bytes]:
        store = store_of(pod("a"), history=1)
        for ip in ("10.0.0.2", "10.0.0.3"):
            store.replace(by_key(pod("a", ip=ip)), T)
        return [line async for line in Watches(store).lines(PODS, "", WatchOptions(ALL, revision=revision))]

    (line,) = asyncio.run(main())
    event = json.loads(line)
    assert event["type"] == "ERROR"
    assert {key: event["object"][key] for key in ("kind", "code", "reason", "message")} == {
        "kind": "Status",
        "code": 410,
        "reason": "Expired",
        "message": message,
    }


def test_a_reader_that_falls_behind_the_history_is_told() -> None:
    async def main() -> None:
        store = store_of(pod("a"), history=2)
        watches = Watches(store)
        lines = watches.lines(PODS, "", WatchOptions(ALL))
        assert await read(lines, 1) == [("ADDED", "a", 11)]
        for number in range(5):
            store.replace(by_key(pod("a", ip=f"10.0.1.{number}")), T)
            watches.notify()
        assert [json.loads(line)["object"]["code"] async for line in lines] == [410]

    asyncio.run(main())


def test_bookmarks_say_how_far_the_watch_has_come() -> None:
    async def main() -> dict[str, Any]:
        store = store_of(pod("a"))
        store.replace(by_key(pod("a"), service("s")), T)  # nothing for this watch, but it has come past it
        lines = Watches(store, bookmark_interval=0.01).lines(
            PODS, "", WatchOptions(ALL, revision=11, bookmarks=True)
        )
        found: dict[str, Any] = json.loads(await anext(lines))
        assert json.loads(await anext(lines)) == found  # and again
        return found

    bookmark = asyncio.run(main())
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"] == {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "12"}}


def test_no_bookmarks_unless_asked_for_and_the_timeout_ends_the_watch() -> None:
    async def main() -> list[bytes]:
        watches = Watches(store_of(pod("a")), bookmark_interval=0.001)
        return [line async for line in watches.lines(PODS, "", WatchOptions(ALL, revision=11, timeout=0.05))]

    assert asyncio.run(main()) == []


def test_the_end_of_the_initial_events_is_marked() -> None:
    async def main() -> None:
        options = WatchOptions(ALL, bookmarks=True, marks_initial=True)
        lines = Watches(store_of(pod("a"))).lines(PODS, "", options)
        assert said(await anext(lines)) == ("ADDED", "a", 11)
        assert json.loads(await anext(lines))["object"]["metadata"] == {
            "resourceVersion": "11",
            "annotations": {"k8s.io/initial-events-end": "true"},
        }

    asyncio.run(main())


def test_closing_ends_a_watch_that_waits() -> None:
    async def main() -> list[bytes]:
        watches = Watches(store_of(pod("a")))

        async def all_lines() -> list[bytes]:
            return [line async for line in watches.lines(PODS, "", WatchOptions(ALL, revision=11))]

        reading = asyncio.create_task(all_lines())
        await asyncio.sleep(0)
        watches.close()
        return await reading

    assert asyncio.run(main()) == []
