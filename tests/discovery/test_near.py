"""Which names are near to one that is not there?"""

from __future__ import annotations

import pytest

from bastion.discovery.near import distance, near_names
from tests.fakes import catalog_of, service

NAMES = ("web", "webs", "secret-web", "payments", "payment", "api")


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("web", "web", 0), ("wbe", "web", 1), ("weg", "webs", 2), ("", "ab", 2), ("paymetns", "payments", 1)],
)
def test_edits(one: str, other: str, edits: int) -> None:
    assert distance(one, other) == distance(other, one) == edits


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("wbe", ["web", "webs"]),
        ("webz", ["web", "webs"]),
        ("paymets", ["payments", "payment"]),
        ("web", ["webs"]),
        ("a", ["api"]),
        ("nothing-alike", []),
    ],
)
def test_the_nearest_first_and_of_the_same_namespace(name: str, near: list[str]) -> None:
    elsewhere = {**service("wbf"), "metadata": {"name": "wbf", "namespace": "other"}}
    catalog = catalog_of(services=[*map(service, NAMES), elsewhere])
    assert [found for _, found in near_names(catalog, "services", "ns", name)] == near
