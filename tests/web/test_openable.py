"""What may a user open, with which questions, and how many?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bastion.authz.authorizer import Decision
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.turns import USER
from bastion.web.openable.listing import REMEMBERED, Openable
from bastion.web.openable.plan import MOST_NAMED, Ask, Thing, Things, ids_of, plan
from tests.fakes import unavailable

ALICE = User("alice")
ASKER = (USER, "alice")
SERVICES = "services"


def things(namespaces: int, each: int) -> Things:
    return {
        f"ns-{n}": [Thing(f"web-{i}", ids_of(f"web-{i}", [("http", 80)])) for i in range(each)]
        for n in range(namespaces)
    }


def settled(there: Things, allowed: Callable[[Ask], bool]) -> tuple[Any, list[Ask]]:
    """The last plan, and all that was asked until then."""
    decided: dict[Ask, bool] = {}
    asked: list[Ask] = []
    while (found := plan(SERVICES, there, decided)).ask:
        assert not set(found.ask) & decided.keys()
        asked += found.ask
        decided |= {ask: allowed(ask) for ask in found.ask}
    return found, asked


EVERYWHERE = Ask(SERVICES)
CASES: list[tuple[str, Things, set[Ask], int, set[tuple[str, str]]]] = [
    ("everything", things(40, 500), {EVERYWHERE}, 1, {("ns-3", "web-7"), ("ns-39", "web-1:http")}),
    (
        "half of the namespaces",
        things(40, MOST_NAMED + 1),
        {Ask(SERVICES, f"ns-{n}") for n in range(20)},
        41,
        {("ns-0", "web-1"), ("ns-19", "https:web-1:http")},
    ),
    (
        "one id",
        things(2, 1),
        {Ask(SERVICES, "ns-1", "web-0:http")},
        1 + 2 + 2 * 4,
        {("ns-1", "web-0:http")},
    ),
    ("nothing", things(3, 0), set(), 1 + 3, set()),
]
NEVER = [("ns-0", "web-0:80"), ("ns-1", "web-0"), ("ns-2", "web-0"), ("ns-25", "web-1")]


@pytest.mark.parametrize(
    ("there", "allowed", "reviews", "open"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_few_questions_tell_what_may_be_opened(
    there: Things, allowed: set[Ask], reviews: int, open: set[tuple[str, str]]
) -> None:
    found, asked = settled(there, allowed.__contains__)
    assert len(asked) == reviews
    assert all(found.rights.may(*one) for one in open)
    if EVERYWHERE not in allowed:
        assert not any(
            found.rights.may(*one)
            for one in NEVER
            if one[0] not in {a.namespace for a in allowed if not a.id}
        )


def test_a_namespace_with_many_objects_is_not_asked_about_one_by_one() -> None:
    found, asked = settled(things(1, MOST_NAMED + 1), lambda _: False)
    assert len(asked) == 2
    assert found.crowded == {"ns-0"}
    assert found.rights.none


def test_a_right_to_the_name_is_none_to_its_ports() -> None:
    found, _ = settled(things(1, 1), lambda ask: ask.id == "web-0")
    assert found.rights.may("ns-0", "web-0")
    assert not found.rights.may("ns-0", "web-0:http")


def with_groups(each: int) -> Things:
    """Every second has a group of paths."""
    return {
        "ns-0": [
            Thing(f"web-{n}", ids_of(f"web-{n}", [("http", 80)]), ("metrics", "admin")[: n % 2])
            for n in range(each)
        ]
    }


METRICS = Ask(SERVICES, "ns-0", group="metrics")
BY_PATH = [
    ("everything: no group is asked about", with_groups(4), EVERYWHERE, 1, ("web-1", "")),
    ("the namespace: nor here", with_groups(4), Ask(SERVICES, "ns-0"), 2, ("web-1", "")),
    ("the group in the namespace", with_groups(4), METRICS, 3 + 4 * 4, ("web-3:http", "metrics")),
    (
        "of one id",
        with_groups(2),
        Ask(SERVICES, "ns-0", "web-1:80", "metrics"),
        3 + 2 * 4 + 4,
        ("web-1:80", "metrics"),
    ),
    ("of many objects by namespace alone", with_groups(60), METRICS, 3, ("web-59", "metrics")),
    ("no right at all", with_groups(60), Ask(SERVICES, "ns-1"), 3, ("web-1", "")),
]


@pytest.mark.parametrize(
    ("there", "allowed", "reviews", "group"),
    [case[1:] for case in BY_PATH],
    ids=[case[0] for case in BY_PATH],
)
def test_rights_to_some_paths_are_asked_about_where_there_are_no_more(
    there: Things, allowed: Ask, reviews: int, group: tuple[str, str]
) -> None:
    found, asked = settled(there, lambda ask: ask == allowed)
    assert len(asked) == reviews
    id, name = group
    assert found.rights.group("ns-0", id) == name
    assert found.rights.group("ns-0", "web-0") == ""
    assert found.rights.none is (allowed.namespace == "ns-1")
    if name:
        assert not found.rights.may("ns-0", id)
        assert found.rights.some("ns-0", [id])
        assert Ask(SERVICES, "ns-0", id, name).attributes.subresource == f"proxy-{name}"


def test_the_ids_that_a_rule_may_name() -> None:
    assert ids_of("orders", [("http", 80), ("", 8081)]) == (
        "orders",
        "orders:http",
        "orders:80",
        "orders:8081",
        "https:orders:http",
        "https:orders:8081",
    )


# --- asking


class Reviews:
    """An API server that counts."""

    def __init__(self, allowed: Iterable[tuple[str, str]]) -> None:
        self.allowed = set(allowed)
        self.asked: list[Attributes] = []
        self.failing: StatusError | None = None

    async def authorize(self, user: User, attributes: Attributes, asker: Any) -> Decision:
        self.asked.append(attributes)
        if self.failing is not None:
            raise self.failing
        return Decision((attributes.namespace, attributes.name) in self.allowed)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asking(reviews: Reviews, there: Things, clock: Callable[[], float]) -> Openable:
    return Openable(reviews, lambda resource: there, clock)


def test_answers_are_remembered_for_a_minute_and_many_readers_ask_once() -> None:
    async def run() -> None:
        reviews, clock = Reviews({("ns-0", "")}), Clock()
        openable = asking(reviews, things(3, 60), clock)
        many = [openable.of(ALICE, ASKER, SERVICES) for _ in range(100)]
        assert {(await one).rights.whole("ns-0") for one in many} == {True}
        assert len(reviews.asked) == 4
        clock.now += REMEMBERED - 1
        await openable.of(ALICE, ASKER, SERVICES)
        assert len(reviews.asked) == 4
        reviews.allowed = set()
        clock.now += 2
        assert (await openable.of(ALICE, ASKER, SERVICES)).rights.none
        assert len(reviews.asked) == 8

    asyncio.run(run())


def test_what_does_not_come_in_time_is_waited_for_by_nobody() -> None:
    async def run() -> None:
        reviews = Reviews({("", "")})
        loop = asyncio.get_running_loop()
        openable = asking(reviews, things(100, 60), loop.time)
        reviews.allowed = {(f"ns-{n}", "") for n in range(100)}
        began = loop.time()
        found = await openable.of(ALICE, ASKER, SERVICES, patience=0.3)
        assert loop.time() - began < 1
        assert 0 < len(found.rights.namespaces) < 100
        assert len(found.waiting) == 100 - len(found.rights.namespaces)
        assert len(reviews.asked) <= 20 + 20 * (loop.time() - began) + 1

    asyncio.run(run())


def test_without_an_answer_nothing_is_listed_and_what_was_remembered_lapses() -> None:
    async def run() -> None:
        reviews, clock = Reviews({("", "")}), Clock()
        openable = asking(reviews, things(1, 1), clock)
        assert (await openable.of(ALICE, ASKER, SERVICES)).rights.everywhere
        reviews.failing = unavailable("no answer")
        clock.now += REMEMBERED / 2
        assert (await openable.of(ALICE, ASKER, SERVICES)).rights.everywhere
        clock.now += REMEMBERED
        with pytest.raises(StatusError):
            await openable.of(ALICE, ASKER, SERVICES)
        reviews.failing = None
        clock.now += 2
        assert (await openable.of(ALICE, ASKER, SERVICES)).rights.everywhere

    asyncio.run(run())
