"""Which endpoints a connection may go to: readiness, topology hints, policies, termination."""

from __future__ import annotations

from typing import Any

import pytest

from bastion.node.endpoints import Place, choose
from tests.node.build import PLACE, endpoint, endpoints

A, B, C = "10.244.1.10", "10.244.2.10", "10.244.2.11"
ENDING = {"ready": False, "serving": True, "terminating": True}


def on_node(address: str, **more: Any) -> dict[str, Any]:
    return endpoint(address, "node1" if address == A else "node2", **more)


CASES = {  # endpoints; chosen by the policy Cluster, by the policy Local, whether there are any
    "ready ones": ([on_node(A), on_node(B)], [A, B], [A], True),
    "absent conditions are ready": ([endpoint(B, None)], [B], [], True),
    "one that is not ready is left out": ([on_node(A), on_node(B, ready=False)], [A], [A], True),
    "terminating ones while one is ready": ([on_node(A, **ENDING), on_node(B)], [B], [A], True),
    "terminating ones alone": ([on_node(A, **ENDING), on_node(B, **ENDING)], [A, B], [A], True),
    "terminating and not serving": (
        [on_node(A, ready=False, serving=False, terminating=True)],
        [],
        [],
        False,
    ),
    "serving, not ready, not terminating": ([on_node(A, ready=False, serving=True)], [], [], False),
    "terminating, not said whether it serves": (
        [on_node(A, ready=False, terminating=True)],
        [A],
        [A],
        True,
    ),
    "an address as old objects have it": ([endpoint("010.244.001.010")], [A], [A], True),
    "an address of IPv4 in IPv6": ([endpoint("::ffff:10.244.1.10")], [A], [A], True),
    "none": ([], [], [], False),
    "zone hints": ([on_node(A, zones=["zone-a"]), on_node(B, zones=["zone-b"])], [A], [A], True),
    "a hint for several zones": (
        [on_node(A, zones=["zone-b"]), on_node(B, zones=["zone-a", "zone-b"])],
        [B],
        [A],
        True,
    ),
    "one without a hint": ([on_node(A, zones=["zone-a"]), on_node(B)], [A, B], [A], True),
    "no hint for this zone": (
        [on_node(A, zones=["zone-c"]), on_node(B, zones=["zone-b"])],
        [A, B],
        [A],
        True,
    ),
    "endpoints that are not ready need no hints": (
        [on_node(A, zones=["zone-b"]), on_node(B, zones=["zone-a"]), on_node(C, ready=False)],
        [B],
        [A],
        True,
    ),
    "node hints before zone hints": (
        [on_node(A, nodes=["node1"], zones=["zone-b"]), on_node(B, nodes=["node2"], zones=["zone-a"])],
        [A],
        [A],
        True,
    ),
    "node hints for others alone": (
        [on_node(B, nodes=["node2"], zones=["zone-a"]), on_node(C, nodes=["node2"], zones=["zone-b"])],
        [B],
        [],
        True,
    ),
    "an address that is none": ([endpoint("pod.example"), on_node(B)], [B], [], True),
    "an address of the other family": ([endpoint("fd00::1"), on_node(B)], [B], [], True),
}


@pytest.mark.parametrize("name", CASES)
def test_choice(name: str) -> None:
    found, cluster, local, anywhere = CASES[name]
    choice = choose([endpoints(*found)], "http", "TCP", "IPv4", PLACE)
    assert choice.cluster == tuple((address, 8080) for address in cluster)
    assert choice.local == tuple((address, 8080) for address in local)
    assert choice.anywhere is anywhere


def test_without_a_zone_its_hints_count_for_nothing() -> None:
    pieces = [endpoints(on_node(A, zones=["zone-a"]), on_node(B, zones=["zone-b"]))]
    assert len(choose(pieces, "http", "TCP", "IPv4", Place("node1")).cluster) == 2


def test_of_one_that_is_listed_twice_the_one_that_runs_counts() -> None:
    old = endpoints(on_node(A, ready=False, serving=False, terminating=True), name="web-1")
    new = endpoints(on_node(A), name="web-2")
    for pieces in ([old, new], [new, old]):
        assert choose(pieces, "http", "TCP", "IPv4", PLACE).cluster == ((A, 8080),)


def test_one_that_runs_and_is_not_ready_stands_before_its_predecessor_that_still_serves() -> None:
    old, new = endpoints(on_node(A, **ENDING), name="web-1"), endpoints(on_node(A, ready=False), name="web-2")
    for pieces in ([old, new], [new, old]):
        assert not choose(pieces, "http", "TCP", "IPv4", PLACE).anywhere


@pytest.mark.parametrize(
    "slice_port",
    [
        {"port": None},
        {"port_name": None},
        {"port_name": "other"},
        {"protocol": "UDP"},
        {"port": 0},
        {"port": 70000},
    ],
)
def test_a_slice_that_has_not_the_port_gives_no_endpoint(slice_port: dict[str, Any]) -> None:
    assert not choose([endpoints(on_node(A), **slice_port)], "http", "TCP", "IPv4", PLACE).anywhere


def test_a_named_port_may_have_another_number_in_each_slice() -> None:
    pieces = [endpoints(on_node(A)), endpoints(on_node(B), name="web-2", port=9090)]
    assert choose(pieces, "http", "TCP", "IPv4", PLACE).cluster == ((A, 8080), (B, 9090))
