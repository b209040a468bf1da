"""Options of list and watch, selectors."""

from __future__ import annotations

import pytest

from bastion.kube.status import StatusError
from bastion.standalone.asked import list_options, watch_options
from bastion.standalone.selectors import selection


def test_list_options() -> None:
    empty = list_options({"resourceVersion": "0", "limit": ""})
    assert (empty.limit, empty.cursor, empty.revision, empty.exact, bool(empty.selection)) == (
        0,
        "",
        None,
        False,
        False,
    )
    full = list_options({"limit": "5", "resourceVersion": "7", "resourceVersionMatch": "Exact"})
    assert (full.limit, full.revision, full.exact) == (5, 7, True)
    assert list_options({"limit": "5", "continue": "abc"}).cursor == "abc"


def test_watch_options() -> None:
    empty = watch_options({"resourceVersion": "0", "timeoutSeconds": "0"})
    assert (empty.revision, empty.timeout, empty.bookmarks, empty.marks_initial) == (None, None, False, False)
    full = watch_options({"resourceVersion": "9", "timeoutSeconds": "3", "allowWatchBookmarks": "true"})
    assert (full.revision, full.timeout, full.bookmarks, full.marks_initial) == (9, 3.0, True, False)
    streamed = watch_options(
        {"resourceVersion": "9", "sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    )
    assert (streamed.revision, streamed.marks_initial) == (None, True)


@pytest.mark.parametrize(
    "query", [{"limit": "-1"}, {"limit": "x"}, {"resourceVersion": "1.5"}, {"limit": "5_0"}, {"limit": "٥"}]
)
def test_numbers_are_numbers(query: dict[str, str]) -> None:
    with pytest.raises(StatusError) as caught:
        list_options(query)
    assert caught.value.code == 400


METADATA = {"name": "a", "namespace": "n", "labels": {"app": "web", "tier": "front"}}


@pytest.mark.parametrize(
    ("labels", "fields", "chosen"),
    [
        ("", "", True),
        ("app=web", "", True),
        ("app==web", "", True),
        ("app=web,tier=front", "", True),
        (" app = web , tier = front ", "", True),
        ("app=web,tier=back", "", False),
        ("gone=", "", False),
        ("", "metadata.name=a", True),
        ("", "metadata.name=b", False),
        ("", "metadata.name=a,metadata.namespace=n", True),
        ("", "metadata.namespace=m", False),
        ("app=web", "metadata.name=b", False),
        ("app!=web", "", False),
        ("app!=back", "", True),
        ("gone!=web", "", True),
        ("app", "", True),
        ("gone", "", False),
        ("!app", "", False),
        ("!gone", "", True),
        ("!gone,app=web", "", True),
        ("app in (back, web)", "", True),
        ("app in (back),app", "", False),
        ("app notin (back,side),app=web", "", True),
        ("gone notin (web)", "", True),
        ("", "metadata.name!=a", False),
        ("", "metadata.name!=b", True),
    ],
)
def test_selectors_choose(labels: str, fields: str, chosen: bool) -> None:
    assert selection(labels, fields).chooses(METADATA) is chosen


@pytest.mark.parametrize(
    ("labels", "fields"),
    [
        ("app in web", ""),
        ("app within (web)", ""),
        ("app in (a=b)", ""),
        ("=web", ""),
        ("!", ""),
        ("!=web", ""),
        ("!app=web", ""),
        ("app>1", ""),
        ("", "status.phase=Running"),
        ("", "metadata.name"),
        ("", "!metadata.name"),
    ],
)
def test_other_selectors_are_refused(labels: str, fields: str) -> None:
    with pytest.raises(StatusError) as caught:
        selection(labels, fields)
    assert caught.value.code == 400


def test_headless_services_are_told_by_a_field_of_theirs_alone() -> None:
    served = selection("", "spec.clusterIP!=None")
    assert served.chooses(METADATA, {"spec": {"clusterIP": "10.96.1.1"}})
    assert not served.chooses(METADATA, {"spec": {"clusterIP": "None"}})
    served.check("services")
    with pytest.raises(StatusError):
        served.check("pods")


MATCHES = [
    pytest.param(
        {"resourceVersion": "7", "resourceVersionMatch": "NotOlderThan", "limit": "1"},
        False,
        id="at-least-as-new",
    ),
    pytest.param({"resourceVersion": "7", "resourceVersionMatch": "Exact"}, True, id="exactly"),
    pytest.param({"resourceVersion": "7"}, False, id="not-said"),
    pytest.param({"resourceVersion": "7", "limit": "1"}, True, id="not-said-of-pages"),
    pytest.param(
        {"resourceVersionMatch": "NotOlderThan"}, "unless resourceVersion is provided", id="than-what"
    ),
    pytest.param(
        {"resourceVersion": "7", "resourceVersionMatch": "Exact", "continue": "x"},
        "when continue is",
        id="of-later",
    ),
    pytest.param(
        {"resourceVersion": "7", "resourceVersionMatch": "Newest"},
        'Unsupported value: "Newest"',
        id="unknown",
    ),
    pytest.param(
        {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
        "forbidden for resourceVersion",
        id="exactly-any",
    ),
]


@pytest.mark.parametrize(("query", "expected"), MATCHES)
def test_how_a_revision_is_meant(query: dict[str, str], expected: bool | str) -> None:
    if isinstance(expected, bool):
        assert list_options(query).exact is expected
        return
    with pytest.raises(StatusError) as caught:
        list_options(query)
    assert caught.value.code == 422
    assert expected in caught.value.message
