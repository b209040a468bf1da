"""What does a row of the portal say, and where does it lead?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bastion.kube.annotation import read
from bastion.kube.annotations import Card
from bastion.kube.annotationvalues import Maintenance
from bastion.kube.hostname import HostNames
from bastion.kube.metadata import AnnotatedMetadata
from bastion.kube.objects import Service, ServicePort, ServiceSpec
from bastion.web.addresses import Addresses
from bastion.web.health import History, Probed, Readiness, state_of
from bastion.web.openable.plan import Rights
from bastion.web.portal.groups import Filter, grouped, said
from bastion.web.portal.rows import Row, row_of, subject_of_service
from bastion.web.rendering import html
from bastion.web.status.incidents import incidents_of
from bastion.web.target.endpoints import sentence

NOW = 1_800_000_000.0
EVERYTHING = Rights(everywhere=True)
HOSTS = Addresses("https://bastion.test:8443", HostNames("apps.test"))
PATHS = Addresses()
WINDOW = Maintenance(NOW - 60, NOW + 60, "new disks")


def row(
    annotations: dict[str, str] | None = None,
    ports: tuple[tuple[str, int], ...] = (("http", 80),),
    rights: Rights = EVERYTHING,
    addresses: Addresses = HOSTS,
    name: str = "orders",
    **more: Any,
) -> Row:
    said = {f"bastion.dev/{key}": value for key, value in (annotations or {}).items()}
    spec = ServiceSpec(ports=tuple(ServicePort(number, port) for port, number in ports))
    service = Service(AnnotatedMetadata(name, "shop", annotations=said), spec)
    subject = subject_of_service(service, read(Card, said))
    known: dict[str, Any] = {"probed": None, "readiness": Readiness(1, 1), "now": NOW, **more}
    return row_of(subject, rights, addresses, **known)


HOST = "https://orders--shop.svc.apps.test:8443/"
TWO = (("metrics", 9090), ("web", 8080))


@pytest.mark.parametrize(
    ("given", "href"),
    [
        (row(), HOST),
        (row(addresses=PATHS), "/api/v1/namespaces/shop/services/orders/proxy/"),
        (row({"path": "/ui?a=b"}), HOST + "ui?a=b"),
        (row({"path": "//evil.example"}), HOST),
        (row({"path": "https://evil.example/"}), HOST),
        (row(ports=TWO), "https://orders--web--shop.svc.apps.test:8443/"),
        (row({"port": "metrics"}, TWO), "https://orders--metrics--shop.svc.apps.test:8443/"),
        (row({"port": "9090"}, TWO), "https://orders--metrics--shop.svc.apps.test:8443/"),
        (row({"port": "nothing"}, TWO), "https://orders--web--shop.svc.apps.test:8443/"),
        (row(name="a--b"), "/api/v1/namespaces/shop/services/a--b/proxy/"),
        (row(name="x" * 60), f"/api/v1/namespaces/shop/services/{'x' * 60}/proxy/"),
        (row(ports=TWO, rights=Rights(ids={"shop": frozenset(["orders"])})), ""),
        (row(rights=Rights()), ""),
    ],
)
def test_open_leads_where_its_owner_says_and_nowhere_else(given: Row, href: str) -> None:
    assert given.href == href


def test_a_right_to_one_port_opens_that_one() -> None:
    given = row(
        ports=(("http", 80), ("admin", 8081)),
        rights=Rights(ids={"shop": frozenset(["orders:http"])}),
        addresses=PATHS,
    )
    assert [(port.name, port.href) for port in given.ports] == [
        ("http", "/api/v1/namespaces/shop/services/orders:http/proxy/"),
        ("admin", ""),
    ]


@pytest.mark.parametrize(
    "title", ["<img src=x onerror=alert(1)>", "a" * 10_000, "evil \u202e txt.exe", "{{ 7*7 }}"]
)
def test_a_title_is_text_and_its_real_name_stands_beside_it(title: str) -> None:
    given = row({"title": title, "description": title})
    shown = html("row.html", "n", i=given, root="", asked=None)
    assert "<img" not in shown
    assert "\u202e" not in shown
    assert "shop/orders" in shown
    assert len(given.title) <= 60
    assert len(given.about) <= 140


STATES = [
    (None, Readiness(2, 2), None, "none"),
    (None, Readiness(0, 2), None, "down"),
    (None, Readiness(1, 2), None, "deg"),
    (Probed("up"), Readiness(2, 2), None, "up"),
    (Probed("up"), Readiness(1, 2), None, "deg"),
    (Probed("degraded"), Readiness(2, 2), None, "deg"),
    (Probed("down"), Readiness(2, 2), None, "down"),
    (Probed("up"), Readiness(0, 0), None, "down"),
    (Probed("unknown"), Readiness(1, 1), None, "none"),
    (Probed("down"), Readiness(0, 2), WINDOW, "main"),
    (Probed("up"), None, None, "up"),
]


@pytest.mark.parametrize(("probed", "ready", "window", "state"), STATES)
def test_nothing_is_green_that_is_not_known_to_be(probed: Any, ready: Any, window: Any, state: str) -> None:
    assert state_of(probed, ready, window, NOW) == state


@pytest.mark.parametrize(
    ("probed", "state"), [(None, "deg"), (Probed("up"), "deg"), (Probed("down"), "down"), (WINDOW, "main")]
)
def test_what_is_slower_than_its_owner_allows_is_degraded(probed: Any, state: str) -> None:
    window = probed if isinstance(probed, Maintenance) else None
    known = None if window else probed
    assert state_of(known, Readiness(1, 1), window, NOW, slow=True) == state


def test_it_is_said_that_a_target_is_slow() -> None:
    given = row({"slow-above": "500ms"}, probed=Probed("up"), slow=True)
    said = "One request in a hundred takes longer than 500 ms."
    assert sentence(given, (), NOW) == ("It has been slow for five minutes.", said)


def test_groups_are_where_people_look_for_them() -> None:
    rows = [
        row({"group": "shop", "order": "2"}, name="b"),
        row({"group": "shop", "order": "1"}, name="z", readiness=Readiness(0, 1)),
        row({"group": "Data"}, name="c"),
    ]
    found = grouped(rows, Filter())
    assert [group.name for group in found] == ["Data", "shop"]
    assert [one.title for one in found[1].rows or ()] == ["z", "b"]
    assert found[1].said == "1 not probed, 1 down"
    assert [group.name for group in grouped(rows, Filter(by="namespace"))] == ["shop"]


def test_many_rows_come_folded_but_for_the_group_that_is_asked_for() -> None:
    rows = [row({"group": f"g{n % 4}"}, name=f"s{n}") for n in range(160)]
    assert [group.rows is None for group in grouped(rows, Filter(group="g2"))] == [True, True, False, True]
    assert all(group.rows for group in grouped(rows[:100], Filter()))


@pytest.mark.parametrize(
    ("words", "fits"),
    [("", True), ("orders", True), ("SHOP ord", True), ("shop nothing", False), ("80", True), ("down", True)],
)
def test_all_words_of_the_filter_must_be_there(words: str, fits: bool) -> None:
    assert Filter(words=words).fits(row(readiness=Readiness(0, 1))) is fits


def test_an_incident_lasts_from_the_first_change_away_to_the_next_one_to_up() -> None:
    changes = ((0.0, "up"), (10.0, "degraded"), (20.0, "down"), (50.0, "up"), (90.0, "down"))
    given = row(probed=Probed("down", reason="connection refused"))
    assert [
        (one.state, one.begin, one.end, one.text)
        for one in incidents_of(given, History(changes=changes), NOW)
    ] == [
        ("down", 90.0, None, "connection refused"),
        ("down", 10.0, 50.0, ""),
    ]


IN_WINDOW = NOW - 30
CHANGES = [
    ("down and up again in it", [(IN_WINDOW, "down"), (IN_WINDOW + 9, "up")], NOW, []),
    ("still down in it", [(IN_WINDOW, "down")], NOW, []),
    ("still down after it", [(IN_WINDOW, "down")], NOW + 99, [("down", WINDOW.end, None)]),
    (
        "down from before until its end",
        [(NOW - 90, "down"), (IN_WINDOW, "up")],
        NOW + 99,
        [("down", NOW - 90, WINDOW.end)],
    ),
]


@pytest.mark.parametrize(("changes", "now", "found"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_what_happens_in_announced_maintenance_is_no_incident(changes: Any, now: float, found: Any) -> None:
    said = f"{datetime.fromtimestamp(WINDOW.begin, UTC):%Y-%m-%dT%H:%M:%SZ}/PT2M new disks"
    given = row({"maintenance": said}, probed=Probed("down"))
    assert given.subject.card.maintenance is not None
    told = incidents_of(given, History(changes=tuple(changes)), now)
    assert [(one.state, one.begin, one.end) for one in told] == found


def test_what_is_said_of_a_group() -> None:
    assert said(["up", "up", "down"]) == "2 of 3 up"
    assert said(["none", "none"]) == "2 not probed"
    assert said(["up", "none"]) == "1 up, 1 not probed"
