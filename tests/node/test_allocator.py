"""Which address does each Service get?  Pools, requests, families, sharing, and what its status says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bastion.node.balancers.allocator import Allocator, Given, Refused
from bastion.node.balancers.poolfile import pools_of
from bastion.node.balancers.pools import Pool, range_of
from bastion.node.balancers.services import Classes, Service, is_wanted, says, wish_of
from bastion.runtime.errors import ConfigError

SMALL = Pool("small", (range_of("192.0.2.16/30"), range_of("2001:db8::10/126")))
OTHER = Pool("other", (range_of("198.51.100.0-198.51.100.3"),), avoid_buggy=True)
CLASSES = Classes("ours.example/lb")


def service(name: str = "web", namespace: str = "shop", **fields: Any) -> Service:
    """`has`: the addresses of its status; `says`: its annotations; `held`: it has the finalizer."""
    has, annotations, held = fields.pop("has", ()), fields.pop("says", None), fields.pop("held", True)
    labels, created = fields.pop("labels", None), fields.pop("created", "2026-01-01T00:00:00Z")
    spec = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80}], **fields}
    metadata = {
        "name": name,
        "namespace": namespace,
        "annotations": annotations,
        "labels": labels,
        "creationTimestamp": created,
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"] if held else None,
    }
    status = {"loadBalancer": {"ingress": [{"ip": ip} for ip in has]}}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Service)


def given(allocator: Allocator, one: Service) -> tuple[str, ...] | str:
    found = allocator.put(wish_of(one))
    return found.addresses if isinstance(found, Given) else found.why


BOTH: dict[str, Any] = {"ipFamilies": ["IPv4", "IPv6"]}
ALONE: list[tuple[str, dict[str, Any], tuple[str, ...] | str]] = [
    ("the first that is free", {}, ("192.0.2.16",)),
    ("of each family", BOTH, ("192.0.2.16", "2001:db8::10")),
    ("of IPv6 alone", {"ipFamilies": ["IPv6"]}, ("2001:db8::10",)),
    ("by its cluster IPs", {"clusterIPs": ["fd96::1", "10.96.0.1"]}, ("2001:db8::10", "192.0.2.16")),
    ("what its status says", {"has": ["192.0.2.18"]}, ("192.0.2.18",)),
    ("of that one family, and one more", {**BOTH, "has": ["192.0.2.18"]}, ("192.0.2.18", "2001:db8::10")),
    (
        "what is asked for goes before",
        {"has": ["192.0.2.18"], "loadBalancerIP": "192.0.2.17"},
        ("192.0.2.17",),
    ),
    ("asked for by an annotation", {"says": {"metallb.io/loadBalancerIPs": "192.0.2.17"}}, ("192.0.2.17",)),
    ("of long ago", {"says": {"metallb.universe.tf/loadBalancerIPs": "192.0.2.17"}}, ("192.0.2.17",)),
    ("of kube-vip", {"says": {"kube-vip.io/loadbalancerIPs": "192.0.2.17"}}, ("192.0.2.17",)),
    ("of Cilium", {"says": {"lbipam.cilium.io/ips": "192.0.2.17"}}, ("192.0.2.17",)),
    (
        "two of two families",
        {**BOTH, "says": {"bastion.dev/lb-addresses": "2001:db8:0::11, 192.0.2.17"}},
        ("192.0.2.17", "2001:db8::11"),
    ),
    (
        "both say the same",
        {"loadBalancerIP": "192.0.2.17", "says": {"lbipam.cilium.io/ips": "192.0.2.17"}},
        ("192.0.2.17",),
    ),
    (
        "both say something else",
        {"loadBalancerIP": "192.0.2.17", "says": {"lbipam.cilium.io/ips": "192.0.2.18"}},
        "spec.loadBalancerIP and its annotations ask for different addresses",
    ),
    ("no address", {"loadBalancerIP": "soon"}, "'soon' is no IP address"),
    (
        "of a family that it does not have",
        {"loadBalancerIP": "2001:db8::11"},
        "2001:db8::11 is asked for, and the Service has no IPv6",
    ),
    (
        "outside of the pools",
        {"loadBalancerIP": "203.0.113.1"},
        "203.0.113.1 is asked for, and is in no pool that this Service may use",
    ),
    ("a pool by its name", {"says": {"bastion.dev/lb-pool": "other"}}, ("198.51.100.1",)),
    ("as MetalLB names it", {"says": {"metallb.io/address-pool": "other"}}, ("198.51.100.1",)),
    ("a pool that is none", {"says": {"bastion.dev/lb-pool": "x"}}, "there is no pool 'x'"),
    (
        "an address of another pool",
        {"loadBalancerIP": "192.0.2.17", "says": {"bastion.dev/lb-pool": "other"}},
        "192.0.2.17 is asked for, and is not in the pool 'other'",
    ),
    (
        "the status is of another pool",
        {"has": ["192.0.2.17"], "says": {"bastion.dev/lb-pool": "other"}},
        ("198.51.100.1",),
    ),
    (
        "both families, or none",
        {**BOTH, "ipFamilyPolicy": "RequireDualStack", "says": {"bastion.dev/lb-pool": "other"}},
        "no pool has IPv6 addresses that this Service may use",
    ),
    (
        "both families, if there are",
        {**BOTH, "ipFamilyPolicy": "PreferDualStack", "says": {"bastion.dev/lb-pool": "other"}},
        ("198.51.100.1",),
    ),
    ("in use, and no longer in a pool", {"has": ["203.0.113.7"]}, ("203.0.113.7",)),
    ("of somebody else", {"has": ["203.0.113.7"], "held": False}, ("192.0.2.16",)),
    ("a status that says nothing", {"has": ["x"]}, ("192.0.2.16",)),
]


@pytest.mark.parametrize(("fields", "wanted"), [row[1:] for row in ALONE], ids=[row[0] for row in ALONE])
def test_one_service(fields: dict[str, Any], wanted: tuple[str, ...] | str) -> None:
    assert given(Allocator([SMALL, OTHER]), service(**fields)) == wanted


def test_addresses_run_out_and_are_given_back() -> None:
    allocator = Allocator([SMALL])
    names = [f"s{n}" for n in range(5)]
    assert [given(allocator, service(name)) for name in names] == [
        *[(f"192.0.2.{n}",) for n in range(16, 20)],
        "every IPv4 address of small is in use",
    ]
    assert [*allocator.counts()] == [("small", 8, 4)]
    assert allocator.waiting() == [("shop", "s4")]
    allocator.drop(("shop", "s1"))
    assert given(allocator, service("s4")) == ("192.0.2.17",)
    assert allocator.waiting() == []
    taken = [allocator.given(("shop", name)) for name in ("s0", "s2", "s3", "s4")]
    assert len({one.addresses for one in taken if one is not None}) == 4


def test_who_has_an_address_comes_first_whatever_the_order() -> None:
    allocator = Allocator([SMALL])
    young = service("a", created="2026-02-01T00:00:00Z")
    old = service("b", created="2026-01-01T00:00:00Z")
    has = service("c", created="2026-03-01T00:00:00Z", has=["192.0.2.16"])
    found = allocator.begin(map(wish_of, [young, old, has]))
    assert [found["shop", name] for name in "cba"] == [
        Given((f"192.0.2.{n}",), ("small",)) for n in (16, 17, 18)
    ]


def test_of_two_that_have_one_address_the_older_keeps_it() -> None:
    one, other = (
        service(n, has=["192.0.2.16"], created=f"2026-0{m}-01T00:00:00Z") for n, m in (("a", 2), ("b", 1))
    )
    found = Allocator([SMALL]).begin(map(wish_of, [one, other]))
    assert found["shop", "b"] == Given(("192.0.2.16",), ("small",))
    assert found["shop", "a"] == Given(("192.0.2.17",), ("small",))


KEY = {"bastion.dev/lb-sharing-key": "k"}
SHARED: list[tuple[str, dict[str, Any], bool]] = [
    ("another port", {"ports": [{"port": 81}]}, True),
    ("another protocol", {"ports": [{"port": 80, "protocol": "UDP"}]}, True),
    ("the same port", {}, False),
    ("no key", {"ports": [{"port": 81}], "says": None}, False),
    ("another key", {"ports": [{"port": 81}], "says": {"bastion.dev/lb-sharing-key": "x"}}, False),
    ("the key by another name", {"ports": [{"port": 81}], "says": {"metallb.io/allow-shared-ip": "k"}}, True),
    ("another namespace", {"ports": [{"port": 81}], "namespace": "other"}, False),
    (
        "the endpoints of one node",
        {"ports": [{"port": 81}], "externalTrafficPolicy": "Local", "selector": {"a": "b"}},
        False,
    ),
]


@pytest.mark.parametrize(("fields", "shares"), [row[1:] for row in SHARED], ids=[row[0] for row in SHARED])
def test_sharing(fields: dict[str, Any], shares: bool) -> None:
    allocator = Allocator([SMALL])
    assert given(allocator, service("a", says=KEY)) == ("192.0.2.16",)
    found = given(allocator, service("b", **{"says": KEY, **fields}))
    assert found == (("192.0.2.16",) if shares else ("192.0.2.17",))
    asked = given(allocator, service("b", **{"says": KEY, **fields}, loadBalancerIP="192.0.2.16"))
    assert (asked == ("192.0.2.16",)) == shares
    allocator.drop(("shop", "a"))
    assert given(allocator, service("c", loadBalancerIP="192.0.2.16")) == (
        "192.0.2.16 is asked for, and Service b has it" if shares else ("192.0.2.16",)
    )


def test_nothing_is_told_of_other_namespaces() -> None:
    allocator = Allocator([SMALL])
    given(allocator, service("secret", "hidden"))
    assert given(allocator, service("b", loadBalancerIP="192.0.2.16")) == (
        "192.0.2.16 is asked for, and a Service of another namespace has it"
    )


def test_pools_for_some_alone() -> None:
    pools = [
        Pool("shop", (range_of("192.0.2.0/30"),), namespaces=frozenset(["shop"]), priority=1),
        Pool("outer", (range_of("192.0.2.8/30"),), labels={"tier": "outer"}, priority=2),
        Pool("asked", (range_of("192.0.2.16/30"),), auto=False),
        Pool("all", (range_of("192.0.2.32/30"),)),
    ]
    allocator = Allocator(pools)
    assert given(allocator, service("a")) == ("192.0.2.0",)
    assert given(allocator, service("b", labels={"tier": "outer"})) == ("192.0.2.8",)
    assert given(allocator, service("c", "other")) == ("192.0.2.32",)
    assert given(allocator, service("d", "other", says={"bastion.dev/lb-pool": "asked"})) == ("192.0.2.16",)
    assert given(allocator, service("e", "other", loadBalancerIP="192.0.2.17")) == ("192.0.2.17",)
    refused = given(allocator, service("f", "other", loadBalancerIP="192.0.2.1"))
    assert refused == "192.0.2.1 is asked for, and is in no pool that this Service may use"


def test_a_large_pool_is_no_trouble() -> None:
    allocator = Allocator([Pool("large", (range_of("10.0.0.0/8"), range_of("2001:db8::/64")))])
    wishes = [wish_of(service(f"s{n}", **BOTH)) for n in range(3000)]
    assert (
        len({found.addresses for found in allocator.begin(wishes).values() if isinstance(found, Given)})
        == 3000
    )


def test_a_refused_service_can_be_put_again() -> None:
    allocator = Allocator([SMALL])
    assert isinstance(allocator.put(wish_of(service(loadBalancerIP="x"))), Refused)
    assert given(allocator, service()) == ("192.0.2.16",)


WANTED: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"loadBalancerClass": "ours.example/lb"}, True),
    ({"loadBalancerClass": "theirs.example/lb"}, False),
    ({"type": "NodePort"}, False),
]


@pytest.mark.parametrize(("fields", "wanted"), WANTED)
def test_which_services_are_ours(fields: dict[str, Any], wanted: bool) -> None:
    assert is_wanted(service(**fields), CLASSES) == wanted
    strict = Classes("ours.example/lb", classless=False)
    assert is_wanted(service(**fields), strict) == (wanted and "loadBalancerClass" in fields)


def test_a_status_without_a_mode_is_that_of_an_older_cluster() -> None:
    assert says(service(has=["192.0.2.16"]), ("192.0.2.16",))
    assert not says(service(has=["192.0.2.16"]), ("192.0.2.17",))
    assert not says(service(has=["192.0.2.16"]), ())


FILE = """
pools:
- {name: a, addresses: [192.0.2.0/28], namespaces: [shop], autoAssign: false, avoidBuggyIPs: true,
   priority: 3}
- {name: b, addresses: [198.51.100.1-198.51.100.9], serviceSelector: {matchLabels: {tier: outer}}}
"""


def test_pools_of_flags_and_a_file() -> None:
    pools = pools_of(
        [("", ("203.0.113.0/28",)), ("x", ("2001:db8::/120", "203.0.113.99"))], FILE, "pools.yaml"
    )
    assert [pool.name for pool in pools] == ["default", "x", "a", "b"]
    assert pools[2] == Pool("a", (range_of("192.0.2.0/28"),), False, True, frozenset(["shop"]), {}, 3)
    assert pools[3].labels == {"tier": "outer"}
    assert "203.0.113.99" in pools[1]
    assert "203.0.113.98" not in pools[1]


WRONG = [
    ([("a", ("192.0.2.1/28",))], None, ["--pool: '192.0.2.1/28' is not a range such as 192.0.2.0/28"]),
    ([("a", ("192.0.2.9-192.0.2.1",))], None, ["--pool: '192.0.2.9-192.0.2.1' is not a range"]),
    ([("a", ("192.0.2.0/28",)), ("b", ("192.0.2.15",))], None, ["pools a and b have addresses in common"]),
    ([("a", ("192.0.2.0/28",)), ("a", ("192.0.2.16",))], None, ["pool a: there are two"]),
    ([], "pools: [{name: a}]", ["pools.yaml: Object missing required field `addresses`"]),
    ([], "pools: [{name: a, addresses: [], address: x}]", ["pools.yaml: Object contains unknown field"]),
    ([], "a: [", ["pools.yaml: line "]),
]


@pytest.mark.parametrize(("flags", "text", "lines"), WRONG)
def test_pools_that_are_wrong(flags: Any, text: str | None, lines: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        pools_of(flags, text, "pools.yaml")
    assert all(said.startswith(line) for said, line in zip(raised.value.mistakes, lines, strict=True))
