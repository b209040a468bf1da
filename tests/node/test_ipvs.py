"""IPVS: what a start writes and what a change writes, as text for the programs that take it."""

from __future__ import annotations

import subprocess
from typing import Any

import msgspec
import pytest

from bastion.node.addresses import of_family
from bastion.node.fronts import Fronts
from bastion.node.iptables.layout import FILTER, NAT
from bastion.node.iptables.ruleset import Saved, cleanup
from bastion.node.iptables.ruleset import saved as chains_saved
from bastion.node.ipvs.chains import chains
from bastion.node.ipvs.chains import ruleset as chains_text
from bastion.node.ipvs.ruleset import address_lines, ruleset
from bastion.node.ipvs.servers import node_port_addresses, restore_text, saved, servers
from bastion.node.ipvs.sets import LONGEST_NAME, TYPES, change_text, name_of, sets, whole_text
from bastion.node.rules import Detection, Rules
from tests.node.bed import Bed, inside, run
from tests.node.build import endpoint, endpoints, fronts, service

OWN = ("172.30.0.11", "192.168.7.1")
RULES = Rules("IPv4", Detection(("10.244.0.0/16",)))
HERE, ALSO, FAR = "10.244.1.10", "10.244.1.11", "10.244.2.10"
SLICE = endpoints(endpoint(HERE), endpoint(FAR, "node2"), port=80)
HTTP = {"name": "http", "port": 80, "nodePort": 30080}


def text_of(found: Fronts, own: tuple[str, ...] = OWN) -> list[str]:
    return restore_text({}, servers(found, "rr", own)).splitlines()


def test_a_node_port_is_a_virtual_server_at_each_address_of_the_node() -> None:
    assert text_of(fronts(service(ports=(HTTP,)), endpoints(endpoint(HERE), port=80))) == [
        "-A -t 172.30.0.11:30080 -s rr",
        "-a -t 172.30.0.11:30080 -r 10.244.1.10:80 -m -w 1",
        "-A -t 192.168.7.1:30080 -s rr",
        "-a -t 192.168.7.1:30080 -r 10.244.1.10:80 -m -w 1",
        "-A -t 10.96.1.1:80 -s rr",
        "-a -t 10.96.1.1:80 -r 10.244.1.10:80 -m -w 1",
    ]


@pytest.mark.parametrize(("protocol", "flag"), [("TCP", "-t"), ("UDP", "-u"), ("SCTP", "--sctp-service")])
def test_protocols(protocol: str, flag: str) -> None:
    one = service(ports=({**HTTP, "protocol": protocol},))
    lines = text_of(fronts(one, endpoints(endpoint(HERE), protocol=protocol)), ("172.30.0.11",))
    assert {" ".join(line.split()[1:3]) for line in lines} == {
        f"{flag} 172.30.0.11:30080",
        f"{flag} 10.96.1.1:80",
    }


LOCAL: dict[str, Any] = {"externalTrafficPolicy": "Local"}
CHOSEN: dict[str, tuple[dict[str, Any], Any, set[str], set[str]]] = {
    "Cluster": ({}, SLICE, {HERE, FAR}, {HERE, FAR}),
    "external Local": (LOCAL, SLICE, {HERE}, {HERE, FAR}),
    "external Local, none here": (LOCAL, endpoints(endpoint(FAR, "node2"), port=80), {FAR}, {FAR}),
    "internal Local": ({"internalTrafficPolicy": "Local"}, SLICE, {HERE, FAR}, {HERE}),
    "internal Local, none here": (
        {"internalTrafficPolicy": "Local"},
        endpoints(endpoint(FAR, "node2"), port=80),
        {FAR},
        set(),
    ),
    "no endpoint": ({}, endpoints(port=80), set(), set()),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_policies_choose_the_real_servers(name: str) -> None:
    spec, piece, by_node_port, by_cluster_ip = CHOSEN[name]
    found = servers(fronts(service(ports=(HTTP,), **spec), piece), "rr", ("172.30.0.11",))

    def real(server: str) -> set[str]:
        return {one.split()[1].rpartition(":")[0] for one in found[server][1:]}

    assert real("-t 172.30.0.11:30080") == by_node_port
    assert real("-t 10.96.1.1:80") == by_cluster_ip


def test_a_change_is_what_differs() -> None:
    one = service(sessionAffinity="ClientIP")
    before = servers(fronts(one, endpoints(endpoint(HERE), endpoint(ALSO), port=80)), "wlc", OWN)
    after = servers(fronts(one, SLICE), "wlc", OWN)
    assert restore_text({}, before).splitlines()[0] == "-A -t 10.96.1.1:80 -s wlc -p 10800"
    assert restore_text(before, after).splitlines() == [
        "-a -t 10.96.1.1:80 -r 10.244.2.10:80 -m -w 1",
        "-d -t 10.96.1.1:80 -r 10.244.1.11:80",
    ]
    without = servers(fronts(service(), SLICE), "wlc", OWN)
    assert restore_text(after, without) == "-E -t 10.96.1.1:80 -s wlc\n"
    assert restore_text(after, {}) == "-D -t 10.96.1.1:80\n"
    assert restore_text(after, after) == ""
    assert address_lines({"a"}, {"b"}, "IPv4") == (
        "addr add b/32 dev kube-ipvs0\naddr del a/32 dev kube-ipvs0\n"
    )


def test_a_restart_takes_over_what_is_there_but_for_excluded_ranges() -> None:
    found = servers(fronts(service(ports=(HTTP,), sessionAffinity="ClientIP"), SLICE), "rr", OWN)
    text = restore_text({}, found)
    assert saved(text, [], "IPv4") == found
    assert saved(text, [], "IPv6") == {}
    others = "-A -t 203.0.113.7:443 -s wlc\n-a -t 203.0.113.7:443 -r 203.0.113.8:443 -g -w 1\n"
    excluded = [*of_family(["203.0.113.0/24"], "IPv4")]
    assert restore_text(saved(text + others, excluded, "IPv4"), found) == ""
    assert restore_text(saved(text + others, [], "IPv4"), found) == "-D -t 203.0.113.7:443\n"
    v6 = servers(
        fronts(service(addresses=("fd96::1",)), endpoints(endpoint("fd44::1"), type="IPv6"), family="IPv6"),
        "rr",
        ("fd30::11",),
    )
    assert "-a -t [fd96::1]:80 -r [fd44::1]:8080 -m -w 1\n" in restore_text({}, v6)
    assert saved(restore_text({}, v6), [], "IPv6") == v6


def test_where_node_ports_answer() -> None:
    local = ["127.0.0.1", "172.30.0.11", "192.168.7.1", "fe80::1", "fd30::11", "::1"]
    assert node_port_addresses((), local, "IPv4") == ["172.30.0.11", "192.168.7.1"]
    assert node_port_addresses(("192.168.0.0/16",), local, "IPv4") == ["192.168.7.1"]
    assert node_port_addresses((), local, "IPv6") == ["fd30::11"]


BALANCER: dict[str, Any] = {
    "ingress": ({"ip": "192.0.2.1"},),
    "externalIPs": ["198.51.100.1"],
    "ports": (HTTP,),
}
RANGES: dict[str, Any] = {"loadBalancerSourceRanges": ["203.0.113.0/24", "172.30.0.0/24"]}
VIP, OUTSIDE = "192.0.2.1,tcp:80", "198.51.100.1,tcp:80"
ENTRIES: dict[str, tuple[dict[str, Any], dict[str, set[str]]]] = {
    "policy Cluster": (
        {},
        {
            "CLUSTER-IP": {"10.96.1.1,tcp:80"},
            "EXTERNAL-IP": {OUTSIDE},
            "LOAD-BALANCER": {VIP},
            "NODE-PORT-TCP": {"30080"},
            "LOOP-BACK": {f"{HERE},tcp:80,{HERE}"},
            "IPVS-IPS": {"10.96.1.1", "192.0.2.1", "198.51.100.1"},
        },
    ),
    "policy Local": (
        LOCAL,
        {
            "CLUSTER-IP": {"10.96.1.1,tcp:80"},
            "EXTERNAL-IP-LOCAL": {OUTSIDE},
            "LOAD-BALANCER": {VIP},
            "LOAD-BALANCER-LOCAL": {VIP},
            "NODE-PORT-TCP": {"30080"},
            "NODE-PORT-LOCAL-TCP": {"30080"},
            "LOOP-BACK": {f"{HERE},tcp:80,{HERE}"},
            "IPVS-IPS": {"10.96.1.1", "192.0.2.1", "198.51.100.1"},
        },
    ),
    "source ranges": (
        RANGES,
        {
            "CLUSTER-IP": {"10.96.1.1,tcp:80"},
            "EXTERNAL-IP": {OUTSIDE},
            "LOAD-BALANCER": {VIP},
            "LOAD-BALANCER-FW": {VIP},
            # the node is within a range, and sends from an address that it carries
            "LOAD-BALANCER-SOURCE-CIDR": {
                f"{VIP},203.0.113.0/24",
                f"{VIP},172.30.0.0/24",
                f"{VIP},192.0.2.1/32",
            },
            "NODE-PORT-TCP": {"30080"},
            "LOOP-BACK": {f"{HERE},tcp:80,{HERE}"},
            "IPVS-IPS": {"10.96.1.1", "192.0.2.1", "198.51.100.1"},
        },
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_of_sets(name: str) -> None:
    spec, expected = ENTRIES[name]
    found = sets(fronts(service(**BALANCER, **spec), SLICE), OWN)
    assert {kind: set(entries) for kind, entries in found.items() if entries} == expected
    assert found.keys() == TYPES.keys()


def test_sctp_node_ports_are_sockets() -> None:
    one = service(ports=({**HTTP, "protocol": "SCTP"},), **LOCAL)
    found = sets(fronts(one, endpoints(endpoint(HERE), protocol="SCTP")), OWN)
    for kind in ("NODE-PORT-SCTP-HASH", "NODE-PORT-LOCAL-SCTP-HASH"):
        assert found[kind] == {"172.30.0.11,sctp:30080", "192.168.7.1,sctp:30080"}


def test_texts_of_sets() -> None:
    before = sets(fronts(service(**BALANCER), SLICE), OWN)
    after = sets(fronts(service(ports=(HTTP,)), SLICE), OWN)
    whole = whole_text(after, "IPv4").splitlines()
    assert "create KUBE-CLUSTER-IP hash:ip,port family inet maxelem 1048576 -exist" in whole
    assert "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535 -exist" in whole
    at = whole.index("swap KUBE-CLUSTER-IP KUBE-BASTION-NEXT")
    assert whole[at - 1] == "add KUBE-BASTION-NEXT 10.96.1.1,tcp:80"
    assert whole[at + 1] == "destroy KUBE-BASTION-NEXT"
    assert change_text(before, after, "IPv4").splitlines() == [
        "del KUBE-EXTERNAL-IP 198.51.100.1,tcp:80 -exist",
        "del KUBE-LOAD-BALANCER 192.0.2.1,tcp:80 -exist",
        "del KUBE-IPVS-IPS 192.0.2.1 -exist",
        "del KUBE-IPVS-IPS 198.51.100.1 -exist",
    ]
    assert change_text(after, after, "IPv4") == ""
    for family in ("IPv4", "IPv6"):
        names = {name_of(kind, family) for kind in TYPES}
        assert len(names) == len(TYPES)
        assert max(map(len, names)) <= LONGEST_NAME


CLUSTER_RULES: dict[str, tuple[Rules, list[str]]] = {
    "pods are told by address": (
        RULES,
        [
            "-m set --match-set KUBE-CLUSTER-IP dst,dst -s 10.244.0.0/16 -j RETURN",
            "-m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ",
        ],
    ),
    "by interface": (
        Rules("IPv4", Detection(prefix="pod-")),
        [
            "-m set --match-set KUBE-CLUSTER-IP dst,dst -i pod-+ -j RETURN",
            "-m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ",
        ],
    ),
    "everything": (
        Rules("IPv4", Detection(("10.244.0.0/16",)), masquerade_all=True),
        ["-m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ"],
    ),
    "pods cannot be told": (
        Rules("IPv4"),
        ["-m set --match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ"],
    ),
}


@pytest.mark.parametrize("name", CLUSTER_RULES)
def test_what_is_masqueraded(name: str) -> None:
    rules, expected = CLUSTER_RULES[name]
    found = chains(rules)[NAT, "KUBE-SERVICES"]
    assert [rule for rule in found if "CLUSTER-IP" in rule and "ACCEPT" not in rule] == expected
    assert found[0] == "-m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER"


def test_node_ports_are_looked_for_at_the_ranges_alone() -> None:
    rules = msgspec.structs.replace(RULES, node_ports=("172.30.0.0/24", "192.168.7.1/32"))
    found = [rule for rule in chains(rules)[NAT, "KUBE-SERVICES"] if "KUBE-NODE-PORT" in rule]
    assert found == [
        "-d 172.30.0.0/24 -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
        "-d 192.168.7.1/32 -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
    ]


def test_a_source_that_may_not_come_is_dropped_before_the_virtual_server() -> None:
    found = chains(RULES)
    assert found[FILTER, "KUBE-PROXY-FIREWALL"] == (
        "-m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FIREWALL",
    )
    assert found[FILTER, "KUBE-SOURCE-RANGES-FIREWALL"][-1] == "-j DROP"


def test_chains_of_the_mode_iptables_go_and_those_of_this_one_are_found_again() -> None:
    before = Saved(
        frozenset({(NAT, "KUBE-SVC-X"), (FILTER, "KUBE-SERVICES")}),
        ((FILTER, "FORWARD", "-j KUBE-SERVICES"),),
    )
    text = chains_text(RULES, before)
    assert "-X KUBE-SVC-X\n" in text
    assert "-D FORWARD -j KUBE-SERVICES\n" in text
    assert text.count("-I ") == 7


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_the_kernel_takes_sets_and_chains_twice_and_cleanup_leaves_nothing(bed: Bed, family: str) -> None:
    """IPVS itself apart, which this kernel may not have."""
    program = "iptables" if family == "IPv4" else "ip6tables"
    rules = RULES if family == "IPv4" else Rules("IPv6", Detection(("fd44::/16",)))
    full = sets(fronts(service(**BALANCER, **RANGES), SLICE), OWN)
    less = sets(fronts(service(), SLICE), OWN)
    if family == "IPv6":
        v6 = service(addresses=("fd96::1",), ports=(HTTP,), externalIPs=["2001:db8::1"])
        full = sets(fronts(v6, endpoints(endpoint("fd44::1"), type="IPv6"), family="IPv6"), ("fd30::11",))
        less = sets({}, ())
    with inside("node"):
        if subprocess.run(["ipset", "list"], capture_output=True).returncode:
            pytest.skip("this kernel has no sets (ip_set)")
        try:
            for number in range(2):
                taken("ipset restore", whole_text(full, family))
                there = chains_saved(run("node", f"{program}-save"))
                text = chains_text(rules, there)
                assert ("-I " in text) == (not number), "a second time nothing is hung in again"
                taken(f"{program}-restore --noflush", text)
            assert entries("IPVS-IPS", family) == set(full["IPVS-IPS"])
            taken("ipset restore", change_text(full, less, family))
            assert entries("IPVS-IPS", family) == set(less["IPVS-IPS"])
            text = cleanup(chains_saved(run("node", f"{program}-save")))
            taken(f"{program}-restore --noflush", text)
            assert "KUBE-" not in run("node", f"{program}-save")
        finally:
            run("node", f"{program}-restore", "/dev/null", check=False)
            run("node", "nft", "flush", "ruleset")
            run("node", "ipset", "destroy")


def taken(words: str, text: str) -> None:
    done = subprocess.run(words.split(), input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def entries(kind: str, family: str) -> set[str]:
    text = run("node", "ipset", "save", name_of(kind, family))
    return {line.split()[2] for line in text.splitlines() if line.startswith("add ")}


def test_the_whole_of_a_start_names_each_program() -> None:
    text = ruleset(fronts(service(**BALANCER), SLICE), RULES, "rr", OWN)
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        "# sysctl -p - (IPv4)",
        "# ip -batch - (IPv4)",
        "# ipset restore (IPv4)",
        "# iptables-restore --noflush (IPv4)",
        "# ipvsadm --restore (IPv4)",
    ]
    for line in (
        "addr add 192.0.2.1/32 dev kube-ipvs0",
        "-A -t 172.30.0.11:30080 -s rr",
        "-A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE",
    ):
        assert line in text.splitlines()
