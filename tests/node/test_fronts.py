"""Which addresses of a Service are served, and how: everything that does not look at endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from bastion.node.claims import Claims
from bastion.node.fronts import Front, FrontKey, Fronts, Scope, health_port_of, local_hosts
from bastion.node.rules import ALWAYS, NEVER, NOT_PODS, SPLIT, Detection, Rules, masquerade
from tests.node.build import PLACE, WEB, endpoint, endpoints, fronts, service

SLICE = endpoints(endpoint("10.244.1.10"), endpoint("10.244.2.10", "node2"))
NODE_PORT = ({"name": "http", "port": 80, "nodePort": 30080},)


def addresses(found: Fronts) -> set[tuple[str, int]]:
    return {(key.address, key.port) for key in found}


SERVED: dict[str, tuple[dict[str, Any], set[tuple[str, int]]]] = {
    "cluster IP": ({}, {("10.96.1.1", 80)}),
    "node port": ({"ports": NODE_PORT}, {("10.96.1.1", 80), ("", 30080)}),
    "external IPs, the valid ones": (
        {"externalIPs": ["", "no-address", "2001:db8::1", "198.51.100.1"]},
        {("10.96.1.1", 80), ("198.51.100.1", 80)},
    ),
    "a VIP of the status, whatever the type": (
        {
            "ingress": (
                {"ip": "192.0.2.1"},
                {"ip": "192.0.2.2", "ipMode": "Proxy"},
                {"hostname": "lb.example"},
            )
        },
        {("10.96.1.1", 80), ("192.0.2.1", 80)},
    ),
    "the wish for an address is not one": ({"loadBalancerIP": "192.0.2.9"}, {("10.96.1.1", 80)}),
    "headless": ({"addresses": ("None",)}, set()),
    "ExternalName, even with an address": ({"type": "ExternalName"}, set()),
    "another proxy's": ({"labels": {"service.kubernetes.io/service-proxy-name": "mine"}}, set()),
    "the other family alone": ({"addresses": ("fd96::1",), "externalIPs": ["198.51.100.1"]}, set()),
    "the second of two families": (
        {"addresses": ("fd96::1", "10.96.1.1"), "ipFamilies": ["IPv6", "IPv4"]},
        {("10.96.1.1", 80)},
    ),
    "ports that are none": ({"ports": ({"name": "http", "port": 0}, {"name": "x", "port": 70000})}, set()),
    "a protocol that is none": ({"ports": ({"name": "http", "port": 80, "protocol": "ICMP"},)}, set()),
    "a port that is there twice": ({"ports": (WEB, {"name": "again", "port": 80})}, {("10.96.1.1", 80)}),
}


@pytest.mark.parametrize("name", SERVED)
def test_what_is_served(name: str) -> None:
    given, expected = SERVED[name]
    assert addresses(fronts(service(**given), SLICE)) == expected


RANGES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "one": (["203.0.113.0/24"], ("203.0.113.0/24",)),
    "blanks are cut off": ([" 203.0.113.0/24 "], ("203.0.113.0/24",)),
    "one inside of another": (["203.0.113.7/32", "203.0.113.0/24"], ("203.0.113.0/24",)),
    "of the other family alone: open": (["2001:db8::/32"], ()),
    "everybody": (["203.0.113.0/24", "0.0.0.0/0"], ()),
    "unreadable ones are left out": (["203.0.113.0", "x/24", "203.0.113.0/24"], ("203.0.113.0/24",)),
    "a mask is no length": (["10.0.0.0/255.0.0.0", "203.0.113.0/24"], ("203.0.113.0/24",)),
    "as old objects have it": (["203.000.113.000/024"], ("203.0.113.0/24",)),
    "with the node, so its address too": (["172.30.0.0/24"], ("172.30.0.0/24", "192.0.2.1/32")),
}


@pytest.mark.parametrize("name", RANGES)
def test_source_ranges(name: str) -> None:
    given, expected = RANGES[name]
    one = service(
        ingress=({"ip": "192.0.2.1"},), loadBalancerSourceRanges=given, externalIPs=["198.51.100.1"]
    )
    found = fronts(one, SLICE)
    assert found[FrontKey("192.0.2.1", "TCP", 80)].sources == tuple(sorted(expected))
    assert not found[FrontKey("198.51.100.1", "TCP", 80)].sources
    assert not found[FrontKey("10.96.1.1", "TCP", 80)].sources


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, 10800), (0, 10800), (-5, 10800), (1, 1), (86400, 86400), (10**9, 86400)]
)
def test_affinity_timeout(seconds: int | None, expected: int) -> None:
    one = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": seconds}})
    assert fronts(one, SLICE)[FrontKey("10.96.1.1", "TCP", 80)].affinity == expected


PODS = Detection(("10.244.0.0/16",))
MASQUERADED = [  # spec, whom it is asked for, rules, how
    ({}, Scope.CLUSTER, Rules("IPv4", PODS), NOT_PODS),
    ({}, Scope.CLUSTER, Rules("IPv4"), NEVER),
    ({}, Scope.CLUSTER, Rules("IPv4", PODS, masquerade_all=True), ALWAYS),
    ({}, Scope.NODE, Rules("IPv4"), ALWAYS),
    ({"externalTrafficPolicy": "Local"}, Scope.NODE, Rules("IPv4", PODS), SPLIT),
    ({"externalTrafficPolicy": "Local"}, Scope.CLUSTER, Rules("IPv4", PODS), NOT_PODS),
    ({"internalTrafficPolicy": "Local"}, Scope.NODE, Rules("IPv4", PODS), ALWAYS),
]


@pytest.mark.parametrize(("spec", "scope", "rules", "how"), MASQUERADED)
def test_masquerade(spec: dict[str, Any], scope: Scope, rules: Rules, how: str) -> None:
    found = fronts(service(ports=NODE_PORT, **spec), SLICE)
    assert masquerade(next(one for one in found.values() if one.scope is scope), rules) == how


REFUSED = [  # endpoints, policy, what happens to whom the policy binds
    ([endpoint("10.244.1.10")], "Local", ""),
    ([endpoint("10.244.2.10", "node2")], "Local", "drop"),
    ([endpoint("10.244.2.10", "node2")], "Cluster", ""),
    ([], "Local", "reject"),
    ([], "Cluster", "reject"),
]


@pytest.mark.parametrize(("found", "policy", "how"), REFUSED)
def test_refusals(found: list[dict[str, Any]], policy: str, how: str) -> None:
    one = service(internalTrafficPolicy=policy)
    assert fronts(one, endpoints(*found))[FrontKey("10.96.1.1", "TCP", 80)].refused == how


def test_health_check_node_port_is_for_local_load_balancers() -> None:
    wanted: dict[str, Any] = {"healthCheckNodePort": 31000, "externalTrafficPolicy": "Local"}
    assert health_port_of(service(type="LoadBalancer", **wanted)) == 31000
    assert health_port_of(service(type="NodePort", **wanted)) == 0
    for port in (-1, 0, 65536):
        assert health_port_of(service(type="LoadBalancer", **{**wanted, "healthCheckNodePort": port})) == 0
    assert health_port_of(service(type="LoadBalancer", healthCheckNodePort=31000)) == 0


def test_local_endpoints_are_counted_by_address_and_only_ready_ones() -> None:
    one = service(ports=(WEB, {"name": "admin", "port": 81}))
    ending = endpoint("10.244.1.12", ready=False, serving=True, terminating=True)
    pieces = [
        endpoints(endpoint("10.244.1.10"), endpoint("10.244.2.10", "node2"), ending),
        endpoints(endpoint("10.244.1.10"), name="web-2", port_name="admin"),
        endpoints(endpoint("10.244.1.11"), name="web-3", port_name="strange"),
    ]
    assert local_hosts(one, pieces, PLACE) == 1


class TestClaims:
    """Two Services that ask for one address and port."""

    KEY = FrontKey("198.51.100.1", "TCP", 80)

    @staticmethod
    def front(owner: str) -> Front:
        found = fronts(service(owner, externalIPs=["198.51.100.1"]), SLICE)
        return found[TestClaims.KEY]

    def test_the_older_has_it_whoever_comes_first(self) -> None:
        for order in (("old", "new"), ("new", "old")):
            lost: list[tuple[str, str]] = []
            claims = Claims(lambda loser, _, owner: lost.append((loser[1], owner[1])))  # noqa: B023
            for name in order:
                created = {"old": "2025-01-01T00:00:00Z", "new": "2026-01-01T00:00:00Z"}[name]
                claims.put(("shop", name), created, {self.KEY: self.front(name)})
            assert claims.fronts[self.KEY].owner == "shop/old:http"
            assert lost == [("new", "old")]

    def test_a_cluster_ip_is_its_services_whoever_wrote_it_down_before(self) -> None:
        key = FrontKey("10.96.1.1", "TCP", 80)
        thief = fronts(service("thief", ("10.96.9.9",), externalIPs=["10.96.1.1"]), SLICE)
        for order in ((0, 1), (1, 0)):
            claims = Claims()
            asked = [("thief", "2020", {key: thief[key]}), ("web", "2026", fronts(service(), SLICE))]
            for number in order:
                name, created, found = asked[number]
                claims.put(("shop", name), created, found)
            assert claims.fronts[key].owner == "shop/web:http"

    def test_it_passes_to_the_next_when_the_owner_goes(self) -> None:
        claims = Claims()
        for name in "abc":
            claims.put(("shop", name), "", {self.KEY: self.front(name)})
        for name in "abc":
            assert claims.fronts[self.KEY].owner == f"shop/{name}:http"
            assert claims.put(("shop", name), "", {}) == {self.KEY}
        assert not claims.fronts

    def test_one_of_the_same_name_that_is_younger_gives_way(self) -> None:
        claims = Claims()
        claims.put(("shop", "a"), "2025-01-01T00:00:00Z", {self.KEY: self.front("a")})
        claims.put(("shop", "b"), "2026-01-01T00:00:00Z", {self.KEY: self.front("b")})
        assert claims.put(("shop", "a"), "2026-02-01T00:00:00Z", {self.KEY: self.front("a")}) == {self.KEY}
        assert claims.fronts[self.KEY].owner == "shop/b:http"

    def test_what_is_as_it_was_is_no_change(self) -> None:
        claims = Claims()
        assert claims.put(("shop", "a"), "", {self.KEY: self.front("a")}) == {self.KEY}
        assert claims.put(("shop", "a"), "", {self.KEY: self.front("a")}) == set()
