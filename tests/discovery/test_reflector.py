"""How does a copy of a list stay true?

Conversations: what is asked next, after which answer, and how long before.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.discovery.reflector import Reflector, WatchExpired
from bastion.kube.objects import Pod
from tests.fakes import pod

LIST = {"limit": "500"}
CHECK = {"limit": "1", "resourceVersion": "8", "resourceVersionMatch": "NotOlderThan"}


def page(*names: Any, version: str = "10", more: str = "") -> Any:
    metadata = {"resourceVersion": version} | ({"continue": more} if more else {})
    return json.dumps(
        {"kind": "PodList", "metadata": metadata, "items": [pod(name) for name in names]}
    ).encode()


def event(kind: Any, name: Any, version: str = "11") -> Any:
    raw = pod(name)
    raw["metadata"]["resourceVersion"] = version
    return json.dumps({"type": kind, "object": raw}).encode()


def bookmark(version: Any) -> Any:
    return json.dumps(
        {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": version}}}
    ).encode()


def expired(code: int = 410) -> Any:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "reason": "Expired",
        "code": code,
    }
    return json.dumps({"type": "ERROR", "object": status}).encode()


def watch(version: Any, seconds: int = 30) -> Any:
    return {
        "watch": "true",
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(seconds),
    }


def listed(*names: Any, **options: Any) -> Any:
    """A reflector that has seen a whole list."""
    reflector = Reflector(Pod)
    assert not reflector.ask().watch
    reflector.page(page(*names, **options))
    return reflector


def names(changes: Any) -> Any:
    return [(change.key, change.object is not None) for change in changes]


def large(count: Any, size: Any) -> Any:
    """A page of so many objects of so many bytes each."""
    items = [pod(f"p{n}") | {"filler": "x" * size} for n in range(count)]
    return json.dumps({"metadata": {"resourceVersion": "10"}, "items": items}).encode()


def test_few_large_objects_are_decoded_at_once() -> None:
    """A slice of a thousand endpoints is as much work as hundreds of pods."""
    assert [len(some) for some in Reflector(Pod).slices(large(60, 0))] == [25, 25, 10]
    assert [len(some) for some in Reflector(Pod).slices(large(10, 40_000))] == [2] * 5
    assert [len(some) for some in Reflector(Pod).slices(large(3, 200_000))] == [1] * 3


def test_a_page_is_as_long_as_its_objects_are_small() -> None:
    reflector = Reflector(Pod)
    assert reflector.ask().query == {"limit": "500"}
    reflector.page(large(50, 200_000))
    reflector.failed(410)
    assert reflector.ask().query == {"limit": "5"}
    reflector.page(large(10, 100))
    reflector.failed(410)
    assert reflector.ask().query == {"limit": "500"}


def test_first_the_list_then_the_watch_from_there() -> None:
    reflector = Reflector(Pod, watch_seconds=60)
    ask = reflector.ask()
    assert (ask.watch, ask.query) == (False, LIST)
    seen = reflector.page(page("a", "b", version="7"))
    assert names(seen.changes) == [(("ns", "a"), True), (("ns", "b"), True)]
    assert seen.keys == {("ns", "a"), ("ns", "b")}
    ask = reflector.ask()
    assert (ask.watch, ask.query) == (True, watch("7", 60))


def test_pages_are_followed_and_only_the_last_says_what_is_gone() -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    assert reflector.page(page("a", more="token-1")).keys is None
    assert reflector.ask().query == LIST | {"continue": "token-1"}
    assert reflector.page(page("b", more="token-2")).keys is None
    assert reflector.ask().query == LIST | {"continue": "token-2"}
    assert reflector.page(page("c", version="9")).keys == {("ns", "a"), ("ns", "b"), ("ns", "c")}
    assert reflector.ask().query == watch("9")


def test_a_page_that_failed_is_asked_for_again_and_nothing_is_forgotten() -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    reflector.page(page("a", more="token"))
    reflector.ask()
    reflector.failed(500)
    assert reflector.ask().query == LIST | {"continue": "token"}
    assert reflector.page(page("b")).keys == {("ns", "a"), ("ns", "b")}


def test_a_list_that_expires_between_its_pages_begins_anew() -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    reflector.page(page("a", more="token"))
    reflector.ask()
    reflector.failed(410)
    assert reflector.ask().query == LIST
    assert reflector.page(page("b")).keys == {("ns", "b")}


@pytest.mark.parametrize("items", ['"items":null', '"items":[]', '"kind":"PodList"'])
def test_an_empty_list_is_a_list(items: Any) -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    assert reflector.page(f'{{"metadata":{{"resourceVersion":"5"}},{items}}}'.encode()).keys == set()
    assert reflector.ask().query == watch("5")


EVENTS = [
    ("ADDED", (("ns", "a"), True)),
    ("MODIFIED", (("ns", "a"), True)),
    ("DELETED", (("ns", "a"), False)),
]


@pytest.mark.parametrize(("kind", "change"), EVENTS)
def test_an_event_is_a_change_and_the_next_watch_goes_on_behind_it(kind: Any, change: Any) -> None:
    reflector = listed("a")
    reflector.ask()
    assert names([reflector.event(event(kind, "a", "12"))]) == [change]
    reflector.ended()
    assert reflector.ask().query == watch("12")


def test_a_bookmark_changes_nothing_but_where_to_go_on() -> None:
    reflector = listed("a")
    reflector.ask()
    assert reflector.event(bookmark("40")) is None
    assert reflector.ask().query == watch("40")


def test_an_event_of_a_kind_to_come_is_passed_over() -> None:
    reflector = listed("a")
    reflector.ask()
    assert reflector.event(event("RENAMED", "a", "13")) is None
    assert reflector.ask().query == watch("13")


@pytest.mark.parametrize("code", [410, 500, 504])
def test_an_error_event_is_followed_by_a_list(code: Any) -> None:
    reflector = listed("a")
    reflector.ask()
    with pytest.raises(WatchExpired) as caught:
        reflector.event(expired(code))
    assert caught.value.args == (code,)
    assert reflector.ask().query == LIST
    assert reflector.page(page("b")).keys == {("ns", "b")}


def test_a_watch_refused_as_too_old_is_followed_by_a_list() -> None:
    reflector = listed("a")
    assert reflector.ask().watch
    reflector.failed(410)
    assert reflector.ask().query == LIST


@pytest.mark.parametrize("status", [0, 401, 403, 404, 429, 500, 503])
def test_another_failure_of_the_watch_is_followed_by_the_same_watch_and_a_check(status: Any) -> None:
    reflector = listed("a", version="8")
    reflector.ask()
    reflector.failed(status)
    assert reflector.delay(0) > 0
    assert reflector.ask().query == watch("8")
    assert reflector.begun() == CHECK
    reflector.checked(page("a", version="9"))
    assert reflector.begun() is None


def broken(version: str = "8") -> Any:
    """Its watch broke."""
    reflector = listed("a", version=version)
    reflector.ask()
    reflector.failed()
    reflector.ask()
    assert reflector.begun()
    return reflector


def test_an_api_server_that_has_not_come_as_far_is_listed_at_once_and_once() -> None:
    reflector = broken()
    for _ in range(5):
        reflector.failed()  # it was away
    assert reflector.begun() == CHECK
    reflector.failed(504, ahead=True)
    assert (reflector.ask().query, reflector.delay(0)) == (LIST, 0)
    list(reflector.slices(page("b", version="5")))
    assert reflector.listed() == {("ns", "b")}
    assert reflector.ask().query == watch("5")


def test_one_that_stays_behind_is_listed_less_and_less() -> None:
    reflector, delays = broken(), []
    for _ in range(6):
        reflector.failed(504, ahead=True)
        delays.append(reflector.delay(0))
        list(reflector.slices(page("a", version="8")))
        reflector.failed()
    assert delays == [0, 0.25, 0.5, 1, 2, 4]


def test_an_answer_of_an_earlier_time_is_as_good_a_proof() -> None:
    reflector = broken()
    with pytest.raises(WatchExpired):
        reflector.checked(page("a", version="7"))
    assert reflector.ask().query == LIST


@pytest.mark.parametrize(
    ("status", "checks"), [(400, 1), (403, 1), (404, 1), (401, 3), (429, 3), (500, 3), (504, 3), (0, 20)]
)
def test_what_cannot_be_checked_is_watched_all_the_same(status: Any, checks: Any) -> None:
    """But one that is away has not been asked."""
    reflector, asked = broken(), 0
    while asked < 20:
        reflector.failed(status)
        asked += 1
        if reflector.begun() is None:
            break
    assert asked == checks


ENDS = [
    pytest.param([], 30.0, True, id="without-a-sign-of-how-far-it-has-come"),
    pytest.param([bookmark("9")], 30.0, False, id="at-its-time-with-a-bookmark"),
    pytest.param([event("ADDED", "b", "9")], 30.0, False, id="with-an-event"),
    pytest.param([bookmark("9")], 3.0, True, id="before-its-time"),
]


@pytest.mark.parametrize(("lines", "lasted", "check"), ENDS)
def test_a_watch_that_ends_is_checked_where_something_is_odd(lines: Any, lasted: Any, check: Any) -> None:
    reflector = listed("a", version="8")
    reflector.ask()
    reflector.begun()
    reflector.checked(page("a", version="8"))
    for line in lines:
        reflector.event(line)
    reflector.ended(lasted)
    assert (reflector.begun() is not None) is check


BAD_LINES = [
    b"",
    b"not json",
    b"null",
    b"{}",
    b'{"type":"ADDED"}',
    b'{"type":"ADDED","object":{}}',
    b'{"type":"ADDED","object":[]}',
    b'{"object":{}}',
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_is_no_event_is_an_error_and_the_watch_goes_on_where_it_was(line: Any) -> None:
    reflector = listed("a", version="8")
    reflector.ask()
    with pytest.raises(ValueError):
        reflector.event(line)
    assert reflector.ask().query == watch("8")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"metadata":{},"items":{}}',
        b'{"metadata":{},"items":[{"metadata":3}]}',
        b"<html>",
    ],
)
def test_a_body_that_is_no_list_is_an_error_and_the_list_is_due_still(body: Any) -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    with pytest.raises(ValueError):
        reflector.page(body)
    assert reflector.ask().query == LIST


# --- how long before it is asked again


def test_after_success_nothing_is_waited_for() -> None:
    reflector = Reflector(Pod)
    assert reflector.delay(0.5) == 0.0
    reflector.ask()
    reflector.page(page("a"))
    assert reflector.delay(0.5) == 0.0
    reflector.ask()
    reflector.event(event("ADDED", "b"))
    reflector.ended()
    assert reflector.delay(0.5) == 0.0


def test_the_wait_doubles_up_to_its_most() -> None:
    reflector = Reflector(Pod)
    waits = []
    for _ in range(9):
        reflector.failed()
        waits.append(reflector.delay(0.0))
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]


@given(st.integers(1, 3000), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_bounded_however_long_it_goes_on(failures: Any, chance: Any) -> None:
    reflector = Reflector(Pod)
    for _ in range(failures):
        reflector.failed()
    assert 0.125 <= reflector.delay(chance) <= 8.0


def test_chance_spreads_those_who_wait() -> None:
    reflector = Reflector(Pod)
    for _ in range(10):
        reflector.failed()
    assert len({reflector.delay(chance / 10) for chance in range(10)}) == 10


def test_an_api_server_that_was_away_for_two_hours_is_asked_again() -> None:
    reflector = listed("a")
    for _ in range(1100):  # of some six seconds each
        reflector.ask()
        reflector.failed()
        assert reflector.delay(0.0) <= 8.0
    reflector.ask()
    reflector.event(event("ADDED", "b"))
    assert reflector.delay(0.0) == 0.0


@pytest.mark.parametrize(
    "step", [lambda r: r.page(page("a")), lambda r: r.event(bookmark("5"))], ids=["list", "event"]
)
def test_success_ends_the_waiting(step: Any) -> None:
    reflector = Reflector(Pod)
    for _ in range(5):
        reflector.failed(429, 30)
    reflector.ask()
    step(reflector)
    assert reflector.delay(0.9) == 0.0


def test_the_server_may_say_when() -> None:
    reflector = Reflector(Pod)
    reflector.failed(429, retry_after=5.0)
    assert 5.0 <= reflector.delay(0.0) <= reflector.delay(0.99) <= 6.25
    reflector.failed(500)
    assert reflector.delay(0.0) == 0.5


def test_what_the_server_says_is_bounded() -> None:
    reflector = Reflector(Pod)
    reflector.failed(503, retry_after=86400.0)
    assert reflector.delay(0.99) <= 75.0


def test_a_watch_that_ends_without_an_event_is_not_asked_for_again_at_once() -> None:
    reflector = listed("a")
    for _ in range(50):
        reflector.ask()
        reflector.ended()
        assert reflector.delay(0.99) >= 0.125
        assert reflector.delay(0.0) <= 0.5


def test_a_watch_that_expires_each_time_is_not_a_storm_of_lists() -> None:
    reflector, waits = listed("a"), []
    for _ in range(9):
        assert reflector.ask().watch
        with pytest.raises(WatchExpired):
            reflector.event(expired())
        waits.append(reflector.delay(0.0))
        reflector.ask()
        reflector.page(page("a"))
    assert waits[0] == 0.0  # once may be
    assert waits[1:7] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert waits[7:] == [8.0, 8.0]


# --- a watch that is not to be believed


def test_an_event_from_before_what_is_known_is_followed_by_a_list() -> None:
    """Out of order, or of a server that went back in time (etcd restored): only a list tells what is true
    now.
    """
    reflector = listed("a", version="10")
    reflector.ask()
    reflector.event(event("ADDED", "b", "12"))
    with pytest.raises(WatchExpired, match="11 after 12"):
        reflector.event(event("ADDED", "c", "11"))
    assert reflector.ask().query == LIST


def test_a_bookmark_from_before_what_is_known_is_followed_by_a_list() -> None:
    reflector = listed("a", version="10")
    reflector.ask()
    with pytest.raises(WatchExpired):
        reflector.event(bookmark("9"))


@pytest.mark.parametrize("version", ["10", "x", ""])
def test_an_event_told_twice_and_versions_that_are_no_numbers_are_taken_as_they_come(version: Any) -> None:
    reflector = listed("a", version="10")
    reflector.ask()
    assert names([reflector.event(event("ADDED", "b", version))]) == [(("ns", "b"), True)]


def test_numbers_are_compared_as_numbers() -> None:
    reflector = listed("a", version="99")
    reflector.ask()
    assert reflector.event(event("ADDED", "b", "100")) is not None


def test_a_list_without_a_version_is_none() -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    with pytest.raises(ValueError):
        reflector.page(b'{"metadata":{},"items":[]}')
    assert reflector.ask().query == LIST


# --- expiries


def test_one_expiry_is_followed_by_a_list_at_once_and_more_of_them_by_ever_longer_waits() -> None:
    reflector, waits = listed("a"), []
    for _ in range(8):
        reflector.ask()
        with pytest.raises(WatchExpired):
            reflector.event(expired())
        waits.append(reflector.delay(0.0))
        reflector.ask()
        reflector.page(page("a"))
        assert reflector.delay(0.0) == 0.0, "the watch behind the list does not wait"
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_watch_that_ends_well_ends_that() -> None:
    reflector = listed("a")
    for _ in range(5):
        reflector.ask()
        with pytest.raises(WatchExpired):
            reflector.event(expired())
        reflector.ask()
        reflector.page(page("a"))
    reflector.ask()
    reflector.event(bookmark("50"))
    reflector.ended()
    reflector.ask()
    reflector.failed(410)
    assert reflector.delay(0.0) == 0.0


# --- pages, some at a time


def test_a_page_that_breaks_in_the_middle_counts_for_nothing() -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    good = [pod(f"p-{i}") for i in range(60)]
    body = json.dumps({"metadata": {"resourceVersion": "5"}, "items": [*good, {"metadata": 3}]}).encode()
    seen = []
    with pytest.raises(ValueError):
        for some in reflector.slices(body):
            seen += names(some)
    assert len(seen) == 50, "what came before is true all the same"
    assert reflector.ask().query == LIST
    assert reflector.page(page("a")).keys == {("ns", "a")}


def test_the_keys_of_a_list_are_told_once() -> None:
    reflector = Reflector(Pod)
    reflector.ask()
    list(reflector.slices(page("a", "b")))
    assert reflector.listed() == {("ns", "a"), ("ns", "b")}
    assert reflector.listed() == set()
    assert reflector.version == "10"


def test_an_event_of_a_deletion_needs_no_more_than_a_name() -> None:
    reflector = listed("a")
    reflector.ask()
    metadata = b'{"name":"a","namespace":"ns","resourceVersion":"11"}'
    line = b'{"type":"DELETED","object":{"metadata":%b,"spec":7}}' % metadata
    assert names([reflector.event(line)]) == [(("ns", "a"), False)]


def test_a_watch_that_was_well_for_a_while_makes_up_for_what_failed_before_it() -> None:
    reflector = broken()
    for _ in range(6):
        reflector.failed()
    assert reflector.delay(0) == 8
    reflector.failed(lasted=30.0)
    assert reflector.delay(0) == 0.25
