"""Lists: pages of one moment, and revisions that cannot be served."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bastion.kube.status import StatusError
from bastion.standalone.lists import ListOptions, list_body
from bastion.standalone.resources import BY_NAME
from bastion.standalone.selectors import Selectors, selection
from bastion.standalone.store import Store
from tests.standalone.objects import by_key, pod

PODS = BY_NAME["", "pods"]
ALL = Selectors()
T = "2026-01-01T00:00:00Z"


def store_of(*names: str) -> Store:
    store = Store(10)
    store.replace(by_key(*(pod(name) for name in names)), T)
    return store


def read(store: Store, options: ListOptions, namespace: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(list_body(store, PODS, namespace, options))
    return found


def names(answer: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


def test_a_whole_list() -> None:
    answer = read(store_of("b", "a"), ListOptions(ALL))
    assert (answer["kind"], answer["apiVersion"], answer["metadata"]) == (
        "PodList",
        "v1",
        {"resourceVersion": "11"},
    )
    assert names(answer) == ["a", "b"]
    assert answer["items"][0]["kind"] == "Pod"


def test_an_empty_list_has_items() -> None:
    assert read(Store(10), ListOptions(ALL))["items"] == []


def test_pages_cover_everything_once() -> None:
    store = store_of("a", "b", "c", "d", "e")
    pages, cursor = [], ""
    while True:
        answer = read(store, ListOptions(ALL, limit=2, cursor=cursor))
        pages.append((names(answer), answer["metadata"].get("remainingItemCount")))
        cursor = answer["metadata"].get("continue", "")
        if not cursor:
            break
    assert pages == [(["a", "b"], 3), (["c", "d"], 1), (["e"], None)]


def test_the_next_page_is_of_the_same_moment() -> None:
    store = store_of("a", "b", "c")
    first = read(store, ListOptions(ALL, limit=1))
    store.replace(by_key(pod("aa"), pod("c")), T)
    second = read(store, ListOptions(ALL, limit=5, cursor=first["metadata"]["continue"]))
    assert names(second) == ["b", "c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert names(read(store, ListOptions(ALL))) == ["aa", "c"]


def test_namespace_and_selection_narrow_the_list() -> None:
    store = Store(10)
    store.replace(by_key(pod("a"), pod("b", labels={"app": "api"}), pod("c", namespace="other")), T)
    assert names(read(store, ListOptions(ALL), "default")) == ["a", "b"]
    assert names(read(store, ListOptions(selection("app=web", "")))) == ["a", "c"]
    answer = read(store, ListOptions(selection("app=web", ""), limit=1))
    assert names(answer) == ["a"]
    # as the API server has it: not known with a selector
    assert "remainingItemCount" not in answer["metadata"]


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (ListOptions(ALL, cursor="nonsense!"), 400, "BadRequest"),
        (ListOptions(ALL, cursor="WzFd"), 400, "BadRequest"),
        (ListOptions(ALL, cursor="WzEsIiIsIiJd"), 410, "Expired"),
        (ListOptions(ALL, revision=999), 504, "Timeout"),
        (ListOptions(ALL, revision=3, exact=True), 410, "Expired"),
    ],
)
def test_what_cannot_be_listed(options: ListOptions, code: int, reason: str) -> None:
    with pytest.raises(StatusError) as caught:
        list_body(store_of("a"), PODS, "", options)
    assert (caught.value.code, caught.value.reason) == (code, reason)


def test_a_revision_is_a_lower_bound_unless_it_is_exact() -> None:
    store = store_of("a")
    store.replace(by_key(pod("a"), pod("b")), T)
    assert names(read(store, ListOptions(ALL, revision=11))) == ["a", "b"]
    assert names(read(store, ListOptions(ALL, revision=3))) == ["a", "b"]
    assert names(read(store, ListOptions(ALL, revision=11, exact=True))) == ["a"]
