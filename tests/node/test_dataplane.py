"""What connections do: the same in nftables and iptables mode, by the kernel's own netfilter."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bastion.node.conntrack import delete_flows
from bastion.node.fronts import Fronts
from bastion.node.iptables.layout import TABLES
from bastion.node.iptables.programs import Iptables
from bastion.node.iptables.ruleset import Ruleset, cleanup, saved
from bastion.node.kernel import local_addresses
from bastion.node.nftables.layout import TABLE
from bastion.node.nftables.library import Library, delete_tables, there
from bastion.node.nftables.table import Table
from bastion.node.rules import Detection, Rules
from tests.node.bed import NODE, PODS, TCP, UDP, Bed, inside, run, talk
from tests.node.build import endpoint, endpoints, fronts, service

WEB, WEB6, VIP, OUTSIDE = "10.96.1.1", "fd96::1", "192.0.2.1", "198.51.100.1"
NODE_PORT = 30080
PORTS = (
    {"name": "http", "port": 80, "nodePort": NODE_PORT},
    {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053},
)
HERE = ("172.30.0.11/32",)
RULES = {
    "IPv4": Rules("IPv4", Detection(("10.244.0.0/16",)), node_ports=HERE, service_cidrs=("10.96.0.0/16",)),
    "IPv6": Rules("IPv6", Detection(("fd44::/16",)), node_ports=("fd30::11/128",)),
}


CHANGES = int(os.environ.get("SOAK_ROUNDS", "20"))


class Nftables:
    """In force at once, by the writer's own parts."""

    def __init__(self) -> None:
        self.nft = Library()
        self.tables = {family: Table(rules) for family, rules in RULES.items()}

    def full(self, family: str, found: Fronts, rules: Rules) -> None:
        self.tables[family] = Table(rules)
        self.nft.run(self.tables[family].full(found, there(self.nft, family)))

    def change(self, family: str, found: Fronts) -> None:
        table = self.tables[family]
        self.nft.run(table.change({**dict.fromkeys(table.fronts), **found}))

    def clean(self) -> None:
        for family in RULES:
            delete_tables(self.nft, family, (TABLE,))


class ByIptables:
    def __init__(self) -> None:
        self.programs = {"IPv4": Iptables("iptables"), "IPv6": Iptables("ip6tables")}
        self.rulesets = {family: Ruleset(rules) for family, rules in RULES.items()}

    def full(self, family: str, found: Fronts, rules: Rules) -> None:
        self.rulesets[family] = Ruleset(rules)
        self.programs[family].restore(
            self.rulesets[family].full(found, saved(self.programs[family].save(*TABLES)))
        )

    def change(self, family: str, found: Fronts) -> None:
        ruleset = self.rulesets[family]
        text = ruleset.change({**dict.fromkeys(ruleset.fronts), **found})
        if text:
            self.programs[family].restore(text)

    def clean(self) -> None:
        for program in self.programs.values():
            text = cleanup(saved(program.save(*TABLES)))
            if text:
                program.restore(text)


Writing = Nftables | ByIptables


@pytest.fixture(params=[Nftables, ByIptables], ids=["nftables", "iptables"])
def writing(request: pytest.FixtureRequest, bed: Bed) -> Iterator[Writing]:
    with inside("node"):
        made: Writing = request.param()
    yield made
    with inside("node"):
        made.clean()
    run("node", "conntrack", "-F", check=False)


def at(*names: str, family: str = "IPv4", name: str = "http", **more: Any) -> Any:
    """A slice with these pods."""
    number, protocol = (TCP, "TCP") if name == "http" else (UDP, "UDP")
    found = [
        endpoint(PODS[pod][family == "IPv6"], "node2" if pod == "far" else "node1", **more) for pod in names
    ]
    return endpoints(
        *found, name=f"{name}-{family}", port=number, port_name=name, protocol=protocol, type=family
    )


@dataclasses.dataclass(frozen=True)
class Case:
    """`expected`: (from, to, protocol) -> by who answers the source that it sees."""

    spec: dict[str, Any]
    slices: tuple[Any, ...]
    expected: dict[tuple[str, tuple[str, int], str], dict[str, str]]
    rules: dict[str, Any] = dataclasses.field(default_factory=dict)


SILENCE, REFUSED = {"silence": ""}, {"refused": ""}
A_AND_FAR = (at("a", "far"),)
LOCAL: dict[str, Any] = {"externalTrafficPolicy": "Local"}
EVERYWHERE: dict[str, Any] = {
    "ports": PORTS,
    "externalIPs": [OUTSIDE],
    "ingress": ({"ip": VIP},),
}
CASES = {
    "cluster IP": Case(
        {},
        A_AND_FAR,
        {
            ("b", (WEB, 80), "TCP"): {"a": "b", "far": "b"},
            ("node", (WEB, 80), "TCP"): {"a": "node", "far": "node"},
            ("client", (WEB, 80), "TCP"): {"a": "node", "far": "node"},
            ("a", (WEB, 80), "TCP"): {"a": "node", "far": "a"},
        },
    ),
    "UDP": Case(
        {"ports": PORTS}, (at("a", "far", name="dns"),), {("b", (WEB, 53), "UDP"): {"a": "b", "far": "b"}}
    ),
    "every kind of address": Case(
        EVERYWHERE,
        A_AND_FAR,
        {
            ("client", (NODE[0], NODE_PORT), "TCP"): {"a": "node", "far": "node"},
            ("client", (OUTSIDE, 80), "TCP"): {"a": "node", "far": "node"},
            ("b", (VIP, 80), "TCP"): {"a": "node", "far": "node"},
            ("node", (NODE[0], NODE_PORT), "TCP"): {"a": "node", "far": "node"},
        },
    ),
    "policy Local outside": Case(
        {**EVERYWHERE, **LOCAL},
        A_AND_FAR,
        {
            ("client", (NODE[0], NODE_PORT), "TCP"): {"a": "client"},
            ("client", (VIP, 80), "TCP"): {"a": "client"},
            ("b", (VIP, 80), "TCP"): {"a": "b", "far": "b"},
            ("node", (NODE[0], NODE_PORT), "TCP"): {"a": "node", "far": "node"},
            ("b", (WEB, 80), "TCP"): {"a": "b", "far": "b"},
        },
    ),
    "policy Local with none here": Case(
        {**EVERYWHERE, **LOCAL, "internalTrafficPolicy": "Local"},
        (at("far"),),
        {
            ("client", (NODE[0], NODE_PORT), "TCP"): SILENCE,
            ("client", (OUTSIDE, 80), "TCP"): SILENCE,
            ("b", (OUTSIDE, 80), "TCP"): {"far": "b"},
            ("b", (WEB, 80), "TCP"): SILENCE,
        },
    ),
    "no endpoints": Case(
        EVERYWHERE,
        (),
        {
            ("b", (WEB, 80), "TCP"): REFUSED,
            ("node", (WEB, 80), "TCP"): REFUSED,
            ("client", (NODE[0], NODE_PORT), "TCP"): REFUSED,
            ("client", (VIP, 80), "TCP"): REFUSED,
            ("b", (WEB, 53), "UDP"): REFUSED,
        },
    ),
    "source ranges": Case(
        {**EVERYWHERE, "loadBalancerSourceRanges": ["172.30.0.0/24"]},
        (at("a"),),
        {
            ("client", (VIP, 80), "TCP"): {"a": "node"},
            ("b", (VIP, 80), "TCP"): SILENCE,
            ("b", (OUTSIDE, 80), "TCP"): {"a": "node"},
        },
    ),
    "affinity": Case(
        {**EVERYWHERE, "sessionAffinity": "ClientIP"},
        (at("a"),),
        {("client", (WEB, 80), "TCP"): {"a": "node"}, ("client", (VIP, 80), "TCP"): {"a": "node"}},
    ),
    "masquerade all": Case(
        {}, (at("far"),), {("b", (WEB, 80), "TCP"): {"far": "node"}}, {"masquerade_all": True}
    ),
    "pods cannot be told": Case(
        {}, (at("far"),), {("client", (WEB, 80), "TCP"): {"far": "client"}}, {"detection": Detection()}
    ),
    "pods by their interface": Case(
        {},
        (at("far"),),
        {("b", (WEB, 80), "TCP"): {"far": "b"}, ("client", (WEB, 80), "TCP"): {"far": "node"}},
        {"detection": Detection(prefix="pod-")},
    ),
    "policy Local reached from the pod itself": Case(
        {**EVERYWHERE, **LOCAL, "internalTrafficPolicy": "Local"},
        (at("a"),),
        {
            ("a", (VIP, 80), "TCP"): {"a": "node"},
            ("a", (NODE[0], NODE_PORT), "TCP"): {"a": "node"},
            ("a", (WEB, 80), "TCP"): {"a": "node"},
        },
    ),
    "policy Local, sources and affinity": Case(
        {
            **EVERYWHERE,
            **LOCAL,
            "sessionAffinity": "ClientIP",
            "loadBalancerSourceRanges": ["172.30.0.100/32", "10.244.1.11/32"],
        },
        (at("a"),),
        {
            ("client", (VIP, 80), "TCP"): {"a": "client"},
            ("b", (VIP, 80), "TCP"): {"a": "b"},
            ("a", (VIP, 80), "TCP"): SILENCE,
            ("node", (VIP, 80), "TCP"): SILENCE,
            ("node", (NODE[0], NODE_PORT), "TCP"): {"a": "node"},
        },
    ),
    "affinity with none here": Case(
        {**EVERYWHERE, **LOCAL, "internalTrafficPolicy": "Local", "sessionAffinity": "ClientIP"},
        (at("far"),),
        {
            ("client", (NODE[0], NODE_PORT), "TCP"): SILENCE,
            ("b", (NODE[0], NODE_PORT), "TCP"): {"far": "b"},
            ("b", (WEB, 80), "TCP"): SILENCE,
        },
    ),
    "a range of everything opens it": Case(
        {**EVERYWHERE, "loadBalancerSourceRanges": ["203.0.113.0/24", "0.0.0.0/0"]},
        (at("a"),),
        {("client", (VIP, 80), "TCP"): {"a": "node"}},
    ),
    "ranges of the other family alone": Case(
        {**EVERYWHERE, "loadBalancerSourceRanges": ["2001:db8::/32"]},
        (at("a"),),
        {("client", (VIP, 80), "TCP"): {"a": "node"}},
    ),
    "an external address that is the node's own": Case(
        {"externalIPs": [NODE[0]]},
        (at("far"),),
        {("client", (NODE[0], 80), "TCP"): {"far": "node"}, ("node", (NODE[0], 80), "TCP"): {"far": "node"}},
    ),
    "a balancer that ends connections itself": Case(
        {"ports": PORTS, "ingress": ({"ip": VIP, "ipMode": "Proxy"}, {"ip": OUTSIDE, "ipMode": "VIP"})},
        (at("a"),),
        {("b", (OUTSIDE, 80), "TCP"): {"a": "node"}},
    ),
    "a hint for this node": Case(
        {"trafficDistribution": "PreferSameNode"},
        (
            endpoints(
                endpoint(PODS["a"][0], nodes=["node1"], zones=["zone-b"]),
                endpoint(PODS["b"][0], nodes=["node2"], zones=["zone-a"]),
                name="http-IPv4",
                port=TCP,
                port_name="http",
            ),
        ),
        {("client", (WEB, 80), "TCP"): {"a": "node"}},
    ),
    "terminating alone": Case(
        {}, (at("a", ready=False, serving=True, terminating=True),), {("b", (WEB, 80), "TCP"): {"a": "b"}}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_connections(bed: Bed, writing: Writing, name: str) -> None:
    case = CASES[name]
    with inside("node"):
        found = fronts(service(addresses=(WEB,), **{"ports": PORTS, **case.spec}), *case.slices)
        writing.full("IPv4", found, msgspec.structs.replace(RULES["IPv4"], **case.rules))
    for (place, to, protocol), expected in case.expected.items():
        assert bed.asked(place, to, protocol) == expected, f"{place} to {to}"


def test_an_address_of_several_interfaces_is_one(bed: Bed) -> None:
    """As a gateway's that is on every pod's interface: a health check listens there once."""
    for interface in ("lo", "pod-a"):
        run("node", "ip", "addr", "add", "10.244.1.1/32", "dev", interface, check=False)
    try:
        with inside("node"):
            assert local_addresses().count("10.244.1.1") == 1
    finally:
        run("node", "ip", "addr", "del", "10.244.1.1/32", "dev", "lo")


def test_both_families_each_with_its_own_endpoints(bed: Bed, writing: Writing) -> None:
    one = service(addresses=(WEB, WEB6), ports=PORTS)
    pieces = (at("a"), at("far", family="IPv6"))
    with inside("node"):
        for family in RULES:
            writing.full(family, fronts(one, *pieces, family=family), RULES[family])
    assert bed.asked("b", (WEB, 80)) == {"a": "b"}
    assert bed.asked("b", (WEB6, 80)) == {"far": "b"}
    assert bed.asked("client", (NODE[1], NODE_PORT)) == {"far": "node"}


def test_the_choice_is_even(bed: Bed, writing: Writing) -> None:
    with inside("node"):
        writing.full("IPv4", fronts(service(addresses=(WEB,)), at("a", "b", "far")), RULES["IPv4"])
    seen = [bed.ask("node", (WEB, 80))[0] for _ in range(240)]
    # 80 of each; beyond 5 standard deviations (7.3) in less than one run of a million
    assert all(80 - 37 < seen.count(pod) < 80 + 37 for pod in PODS), {pod: seen.count(pod) for pod in PODS}


def test_connections_and_flows_outlive_changes_restarts_and_other_services(
    bed: Bed, writing: Writing
) -> None:
    """20 restarts, whatever the number of changes."""
    mine = fronts(service(addresses=(WEB,), ports=PORTS), at("a"), at("a", name="dns"))
    with inside("node"):
        writing.full("IPv4", mine, RULES["IPv4"])
    with (
        bed.open("b", (WEB, 80)) as sock,
        bed.open("client", (WEB, 80)) as outside,
        bed.open("b", (WEB, 53), "UDP") as flow,
        bed.open("client", (NODE[0], 30053), "UDP") as outer_flow,
    ):
        held = (sock, outside, flow, outer_flow)
        assert [talk(one) for one in held] == ["a"] * 4
        for number in range(CHANGES):
            other = fronts(service(f"s{number % 250}", (f"10.96.7.{number % 250}",)), at("b"))
            with inside("node"):
                writing.change("IPv4", {**mine, **other})
                if number % max(1, CHANGES // 20) == 0:
                    writing.full("IPv4", {**mine, **other}, RULES["IPv4"])
            assert [talk(one) for one in held] == ["a"] * 4, number
        with inside("node"):
            writing.change("IPv4", {})  # the Service itself is gone
        assert talk(sock) == talk(outside) == "a"


def test_affinity_is_the_kernels_memory(bed: Bed, writing: Writing) -> None:
    one = service(addresses=(WEB,), sessionAffinity="ClientIP")
    with inside("node"):
        writing.full("IPv4", fronts(one, at("far")), RULES["IPv4"])
    assert bed.asked("client", (WEB, 80), times=2) == {"far": "node"}
    with inside("node"):
        writing.change("IPv4", fronts(one, at("a", "b", "far")))
    assert bed.asked("client", (WEB, 80), times=12) == {"far": "node"}
    with inside("node"):  # a restart
        writing.full("IPv4", fronts(one, at("a", "b", "far")), RULES["IPv4"])
    assert bed.asked("client", (WEB, 80), times=12) == {"far": "node"}


def test_foreign_rules_stay_and_nothing_is_left_after_cleanup(bed: Bed, writing: Writing) -> None:
    run("node", "nft", "add table ip others; add chain ip others c { type filter hook forward priority 0; };"
        " add rule ip others c tcp dport 9999 drop")  # fmt: skip
    run("node", "iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "1234", "-j", "RETURN")
    for words in ("-N CNI-MARK", "-N KUBE-MARK-MASQ", "-A CNI-MARK -s 192.0.2.7 -j KUBE-MARK-MASQ"):
        run("node", "iptables", "-t", "nat", *words.split())  # as a network plugin wants it

    def foreign() -> tuple[str, list[str]]:
        nat = run("node", "iptables", "-t", "nat", "-S")
        return run("node", "nft", "list table ip others"), [
            line for line in nat.splitlines() if "1234" in line or "192.0.2.7" in line
        ]

    try:
        before = foreign()
        found = fronts(service(addresses=(WEB,), **EVERYWHERE), *A_AND_FAR)
        with inside("node"):
            writing.full("IPv4", found, RULES["IPv4"])
            writing.change("IPv4", {})
        assert foreign() == before
        with inside("node"):
            writing.clean()
        assert foreign() == before
        left = [line for line in run("node", "iptables-save").splitlines() if "KUBE-" in line]
        assert {line.split()[0] for line in left} == {":KUBE-MARK-MASQ", "-A"}
        assert len(left) == 2
        assert TABLE not in run("node", "nft", "list tables")
    finally:
        run("node", "nft", "delete table ip others")
        for words in ("-F PREROUTING", "-F CNI-MARK", "-X CNI-MARK", "-X KUBE-MARK-MASQ"):
            run("node", "iptables", "-t", "nat", *words.split())


def test_comments_of_others_may_be_of_any_bytes(bed: Bed) -> None:
    with inside("node"):
        writing = ByIptables()
        program = writing.programs["IPv4"]
        comment = "\udcff\x0b\u2028-A PREROUTING -j KUBE-SERVICES"
        program.restore(f'*nat\n-A PREROUTING -m comment --comment "{comment}" -j RETURN\nCOMMIT\n')
        try:
            before = program.save("nat")
            writing.full("IPv4", fronts(service(addresses=(WEB,)), at("a")), RULES["IPv4"])
            writing.clean()
            rules = [line for line in before.split("\n") if line.startswith("-A")]
            assert [line for line in program.save("nat").split("\n") if line.startswith("-A")] == rules
            assert len(rules) == 1
        finally:
            run("node", "iptables", "-t", "nat", "-F", "PREROUTING")


def test_udp_flows_of_an_endpoint_that_went_are_found_and_deleted(bed: Bed, writing: Writing) -> None:
    one = service(addresses=(WEB,), ports=PORTS)
    with inside("node"):
        writing.full("IPv4", fronts(one, at("a", name="dns")), RULES["IPv4"])
    with bed.open("b", (WEB, 53), "UDP") as flow, bed.open("b", (PODS["far"][0], UDP), "UDP") as direct:
        assert (talk(flow), talk(direct)) == ("a", "far")
        with inside("node"):
            writing.change("IPv4", fronts(one, at("far", name="dns")))
            assert talk(flow) == "a"  # every packet renews it
            deleted = delete_flows(
                "IPv4", lambda flow: flow.to == (WEB, 53) and flow.by != (PODS["far"][0], UDP)
            )
        assert deleted == 1
        assert (talk(flow), talk(direct)) == ("far", "far")


def test_a_change_is_in_force_at_once_among_many(bed: Bed) -> None:
    """One endpoint among a thousand Services: a few milliseconds of this process."""
    many = {}
    for number in range(1000):
        piece = endpoints(*(endpoint(f"10.245.{n}.{number % 250}", "node2") for n in range(5)))
        many.update(fronts(service(f"s{number}", (f"10.97.{number // 250}.{number % 250}",)), piece))
    one = service(addresses=(WEB,))
    with inside("node"):
        writing = Nftables()
        try:
            writing.full("IPv4", {**many, **fronts(one, at("a"))}, RULES["IPv4"])
            costs = []
            for pod in ("far", "a", "far", "a", "far"):
                began = time.process_time()
                writing.nft.run(writing.tables["IPv4"].change(fronts(one, at(pod))))
                costs.append(time.process_time() - began)
                assert bed.asked("b", (WEB, 80), times=3) == {pod: "b"}
        finally:
            writing.clean()
    assert sorted(costs)[2] < 0.02
