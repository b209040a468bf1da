"""The store: revisions, uids, events and what is forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bastion.standalone.resources import Object
from bastion.standalone.store import ChangeCounts, RevisionExpired, RevisionTooLarge, Store
from tests.standalone.objects import by_key, pod, service

T1, T2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def filled(*objects: Object, revision: int = 100, history: int = 1000) -> Store:
    store = Store(revision, history)
    store.replace(by_key(*objects), T1)
    return store


def metadata(store: Store, name: str) -> dict[str, Any]:
    entry = store.get(("pods", "default", name))
    assert entry is not None
    found: dict[str, Any] = json.loads(entry.body)["metadata"]
    return found


def kinds(store: Store, revision: int) -> list[tuple[int, str, str]]:
    found = []
    for event in store.since(revision):
        entry = event.new or event.old
        assert entry is not None
        kind = "ADDED" if event.old is None else "DELETED" if event.new is None else "MODIFIED"
        found.append((event.revision, kind, entry.metadata["name"]))
    return found


def test_the_beginning_is_no_event() -> None:
    store = filled(pod("a"), pod("b"))
    assert store.revision == 101
    assert store.since(101) == []
    assert metadata(store, "a")["resourceVersion"] == "101"
    assert metadata(store, "a")["creationTimestamp"] == T1


def test_what_changes_gets_a_revision_and_what_stays_keeps_its_own() -> None:
    store = filled(pod("a"), pod("b"), pod("c"))
    before = {name: metadata(store, name) for name in "abc"}
    assert store.replace(by_key(pod("a"), pod("b", ip="10.0.0.9"), pod("d")), T2) == ChangeCounts(
        added=1, modified=1, deleted=1
    )
    assert kinds(store, 101) == [(102, "MODIFIED", "b"), (103, "ADDED", "d"), (104, "DELETED", "c")]
    assert store.revision == 104
    assert metadata(store, "a") == before["a"]
    assert metadata(store, "b") == before["b"] | {"resourceVersion": "102"}
    assert metadata(store, "d")["resourceVersion"] == "103"
    assert metadata(store, "d")["creationTimestamp"] == T2
    assert store.get(("pods", "default", "c")) is None


def test_the_same_again_is_nothing() -> None:
    store = filled(pod("a"))
    assert not store.replace(by_key(pod("a")), T2)
    assert store.revision == 101


def test_events_after_any_revision() -> None:
    store = filled(pod("a"))
    for ip in ("10.0.0.2", "10.0.0.3", "10.0.0.4"):
        store.replace(by_key(pod("a", ip=ip)), T2)
    assert [revision for revision, _, _ in kinds(store, 101)] == [102, 103, 104]
    assert [revision for revision, _, _ in kinds(store, 103)] == [104]
    assert kinds(store, 104) == []


def test_uids_are_the_same_at_every_start_and_another_after_a_deletion() -> None:
    first, second = filled(pod("a"), pod("b")), filled(pod("a"), revision=7)
    uid = metadata(first, "a")["uid"]
    assert metadata(second, "a")["uid"] == uid
    assert metadata(first, "b")["uid"] != uid
    first.replace(by_key(pod("b")), T2)
    first.replace(by_key(pod("a"), pod("b")), T2)
    assert metadata(first, "a")["uid"] != uid


def test_what_the_manifest_says_about_itself_counts() -> None:
    given = pod("a")
    given["metadata"] |= {"uid": "mine", "creationTimestamp": "2020-01-01T00:00:00Z"}
    store = filled(given)
    assert metadata(store, "a")["uid"] == "mine"
    assert metadata(store, "a")["creationTimestamp"] == "2020-01-01T00:00:00Z"
    assert "resourceVersion" not in given["metadata"]


def test_history_is_bounded() -> None:
    store = filled(pod("a"), history=2)
    for ip in ("10.0.0.2", "10.0.0.3", "10.0.0.4"):
        store.replace(by_key(pod("a", ip=ip)), T2)
    assert [revision for revision, _, _ in kinds(store, 102)] == [103, 104]
    with pytest.raises(RevisionExpired) as caught:
        store.since(101)
    assert caught.value.oldest == 102
    with pytest.raises(RevisionTooLarge):
        store.since(105)


def test_earlier_contents_are_kept_for_a_while() -> None:
    store = filled(pod("a"))
    store.replace(by_key(pod("a"), pod("b")), T2)
    assert list(store.generation(101).tables["pods"]) == [("default", "a")]
    assert list(store.generation(102).tables["pods"]) == [("default", "a"), ("default", "b")]
    for number in range(20):
        store.replace(by_key(pod("a", ip=f"10.0.1.{number}")), T2)
    with pytest.raises(RevisionExpired):
        store.generation(101)
    with pytest.raises(RevisionTooLarge):
        store.generation(store.revision + 1)
    with pytest.raises(RevisionExpired):
        filled(pod("a")).generation(100)


def test_lists_are_in_order_of_namespace_and_name() -> None:
    store = filled(pod("b"), pod("a", namespace="z"), pod("a"), service("s"))
    assert list(store.now.tables["pods"]) == [("default", "a"), ("default", "b"), ("z", "a")]


def test_last_words_carry_the_revision_of_the_end() -> None:
    store = filled(pod("a"))
    store.replace({}, T2)
    (event,) = store.since(101)
    assert event.old is not None
    assert json.loads(event.old.at(event.revision))["metadata"]["resourceVersion"] == "102"
    assert json.loads(event.old.body)["metadata"]["resourceVersion"] == "101"
