"""Which endpoints of a service get requests: by readiness, and by zone?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.discovery.resolution import NoneReady
from bastion.discovery.resolver import Resolver
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target
from bastion.network.addresses import DialPolicy
from tests.fakes import catalog_of, endpoints, pod, service

READY, UNREADY = {"ready": True}, {"ready": False, "serving": False, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
ENDED = {"ready": False, "serving": False, "terminating": True}


def endpoint(number: int, conditions: dict[str, bool], zone: str = "", hint: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {
        "addresses": [f"10.0.0.{number}"],
        "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": f"web-{number}"},
    }
    if zone:
        found["zone"] = zone
    if hint:
        found["hints"] = {"forZones": [{"name": hint}]}
    return found


def resolver(*of: dict[str, Any], zone: str = "", **spec: Any) -> Resolver:
    catalog = catalog_of(
        services=[service("web", {"port": 80, "name": "http"}, {"port": 81, "name": "other"}, **spec)],
        endpointslices=[endpoints("web", {"http": 8080}, *of)],
        pods=[pod(f"web-{number}", f"10.0.0.{number}") for number in range(len(of))],
    )
    return Resolver(catalog, DialPolicy(), nodes=False, zone=zone)


def numbers(of: Resolver, id: str = "web:80", picked: str = "") -> list[int]:
    found = of.resolve(parse_target("services", "ns", id), picked)
    return [int(endpoint.address.rpartition(".")[2]) for endpoint in found.endpoints]


STATES = [
    ([READY, UNREADY, ENDING], False, [0]),
    ([UNREADY, ENDING, ENDED], False, [1]),
    ([READY, UNREADY, ENDING], True, [0, 1]),
    ([UNREADY, UNREADY], True, [0, 1]),
    ([UNREADY, ENDING, ENDED], True, [0, 1, 2]),
    ([{}, UNREADY], False, [0]),
]


@pytest.mark.parametrize(("states", "published", "used"), STATES)
def test_by_state(states: list[dict[str, bool]], published: bool, used: list[int]) -> None:
    some = (endpoint(number, conditions) for number, conditions in enumerate(states))
    assert numbers(resolver(*some, publishNotReadyAddresses=published)) == used


def test_where_none_is_there_it_is_said() -> None:
    with pytest.raises(NoneReady):
        numbers(resolver(endpoint(0, UNREADY), endpoint(1, ENDED)))


HINTED = [endpoint(0, READY, "a", "a"), endpoint(1, READY, "b", "b"), endpoint(2, UNREADY, "a", "a")]
PLAIN = [endpoint(0, READY, "a"), endpoint(1, READY, "b"), endpoint(2, READY)]
NEAR = "PreferClose"


@pytest.mark.parametrize(
    ("of", "zone", "distribution", "used"),
    [
        (HINTED, "a", None, [0]),
        (HINTED, "b", NEAR, [1]),
        (HINTED, "z", NEAR, [0, 1]),
        (HINTED, "", NEAR, [0, 1]),
        ([endpoint(0, READY, "a", "b"), endpoint(1, READY, "b", "a")], "a", None, [1]),
        ([*HINTED, endpoint(3, READY, "b")], "a", None, [0, 1, 3]),  # one without hints: as kube-proxy does
        ([endpoint(0, UNREADY, "a", "a"), endpoint(1, READY, "b", "b")], "a", NEAR, [1]),
        (PLAIN, "a", NEAR, [0]),
        (PLAIN, "a", "PreferSameZone", [0]),
        (PLAIN, "a", "Elsewhere", [0, 1, 2]),
        (PLAIN, "a", None, [0, 1, 2]),
    ],
)
def test_by_zone(of: list[dict[str, Any]], zone: str, distribution: str | None, used: list[int]) -> None:
    assert numbers(resolver(*of, zone=zone, trafficDistribution=distribution)) == used


def test_a_pod_that_is_named_serves_whatever_its_state_and_no_other_does() -> None:
    of = resolver(endpoint(0, READY), endpoint(1, UNREADY), endpoint(2, ENDED))
    for number in range(3):
        assert numbers(of, picked=f"web-{number}") == [number]
    with pytest.raises(StatusError, match="no endpoint of service") as refused:
        numbers(of, picked="stranger")
    assert refused.value.code == 404


def test_ids_that_name_the_same_port_share_what_is_balanced() -> None:
    of = resolver(
        endpoint(0, READY), sessionAffinity="ClientIP", annotations={"bastion.dev/balance": "random"}
    )
    by_number, by_name, with_tls = (
        of.resolve(parse_target("services", "ns", id)) for id in ("web:80", "web:http", "https:web:80")
    )
    assert by_number is by_name
    assert with_tls is not by_number
    assert (by_number.policy.affinity, by_number.policy.balance) == ("ClientIP", "random")
