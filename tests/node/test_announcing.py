"""Which node answers for an address, from where it may be announced, and what is said on the link."""

from __future__ import annotations

import struct
from collections import Counter
from ipaddress import IPv6Address
from typing import Any

import msgspec
import pytest

from bastion.node.balancers import packets
from bastion.node.balancers.claims import claims_of
from bastion.node.balancers.ownership import DURATION, TRUST, Lease, Members, owned, owner
from bastion.node.balancers.packets import Asked
from bastion.node.balancers.pools import Pool, range_of
from bastion.node.balancers.services import Classes
from bastion.node.objects import EndpointSlice, Node, Service
from tests.node.build import endpoint, endpoints, service

VIP, OTHER = "192.0.2.1", "2001:db8::1"
NODES = ["n1", "n2", "n3"]


def lease(node: str, version: int, date: str = "", holder: str | None = None) -> Lease:
    spec = {"holderIdentity": node if holder is None else holder, "renewTime": date or f"{node}-{version}"}
    return msgspec.convert(
        {"metadata": {"name": f"bastion-{node}", "resourceVersion": str(version)}, "spec": spec}, Lease
    )


class Cluster:
    """Nodes that renew their Leases, and what each of them makes of it."""

    def __init__(self, *nodes: str) -> None:
        self.version, self.now = 0, 0.0
        self.begun: dict[str, float] = {}
        self.members = {node: Members(node, self.begun.get) for node in nodes}
        self.deaf: set[str] = set()  # their watches bring nothing
        self.mute: set[str] = set()  # they do not renew

    def pass_time(self, seconds: float) -> None:
        """In steps of a tenth; each node renews every second."""
        for _ in range(round(seconds * 10)):
            self.now = round(self.now + 0.1, 1)
            if self.now % 1 == 0:
                for node in self.members:
                    if node not in self.mute:
                        self.renew(node)

    def renew(self, node: str) -> None:
        self.version += 1
        one = lease(node, self.version)
        self.begun[one.spec.renew_time or ""] = self.now
        self.tell(one)

    def tell(self, one: Lease) -> None:
        for other, members in self.members.items():
            if other not in self.deaf:
                members.put(one, self.now)

    def who(self, nodes: frozenset[str] | None = None) -> list[str]:
        """Those that answer for VIP."""
        return [n for n, m in self.members.items() if VIP in owned(n, {VIP: nodes}, m, self.now)]


def test_exactly_one_of_those_that_live_answers() -> None:
    cluster = Cluster(*NODES)
    assert cluster.who() == []
    cluster.pass_time(4)
    first = cluster.who()
    assert first == [owner(VIP, NODES)]
    assert cluster.who(frozenset(["n2"])) == ["n2"]
    assert cluster.who(frozenset(["gone"])) == []


@pytest.mark.parametrize("how", ["killed", "cannot write", "cannot hear", "neither"])
def test_the_next_one_answers_within_four_seconds_and_never_two(how: str) -> None:
    cluster = Cluster(*NODES)
    cluster.pass_time(4.4)
    (first,) = cluster.who()
    if how == "killed":
        gone = cluster.members.pop(first)
        assert gone is not None
    if how in ("cannot write", "neither"):
        cluster.mute.add(first)
    if how in ("cannot hear", "neither"):
        cluster.deaf.add(first)
    answered = []
    for _ in range(60):
        cluster.pass_time(0.1)
        who = cluster.who()
        assert len(who) <= 1
        answered.append(who[0] if who else "")
    if how == "cannot hear":  # it renews and answers nothing: its watch is begun anew
        assert set(answered[20:]) == {""}
        return
    assert answered[39] not in ("", first)
    cluster.mute.clear()
    cluster.deaf.clear()
    if how != "killed":
        cluster.pass_time(4)
        assert cluster.who() == [first]


def test_what_comes_late_makes_nothing_younger() -> None:
    """Of a process that was stopped: the renewal that it had begun comes back when another node has taken
    over.
    """
    cluster = Cluster("n1", "n2")
    cluster.pass_time(4)
    (first,) = cluster.who()
    cluster.version += 1
    late = lease(first, cluster.version)
    cluster.begun[late.spec.renew_time or ""] = cluster.now
    cluster.mute.add(first)
    cluster.pass_time(DURATION + 0.2)
    cluster.members[first].put(late, cluster.now)
    (second,) = cluster.who()
    assert second != first


@pytest.mark.parametrize("deaf", [False, True], ids=["heard", "not heard"])
@pytest.mark.parametrize("new", NODES)
def test_a_node_that_joins_takes_over_once_the_others_know_or_have_stopped(new: str, deaf: bool) -> None:
    """Where the others hear nothing from that moment on they stop after two seconds."""
    cluster = Cluster(*NODES)
    late = cluster.members.pop(new)
    cluster.pass_time(4)
    (first,) = cluster.who()
    for other in list(cluster.members):
        late.put(lease(other, cluster.version + 100), cluster.now)  # its first list
    cluster.members[new] = late
    if deaf:
        cluster.deaf = set(cluster.members) - {new}
    silent = 0
    for _ in range(40):
        cluster.pass_time(0.1)
        who = cluster.who()
        assert len(who) <= 1
        silent += not who
    assert deaf or silent <= 1
    assert cluster.who() == [owner(VIP, NODES)] or deaf
    assert first in NODES


def test_a_clock_that_jumps_changes_nothing() -> None:
    """The dates are compared with nothing: that of the leader goes back by a day, then far ahead."""
    cluster = Cluster("n1", "n2")
    cluster.pass_time(4)
    (first,) = cluster.who()
    for date in ("2026-01-02", "2026-01-01", "2036-01-01", "1970-01-01"):
        for node in cluster.members:
            cluster.version += 1
            cluster.begun[f"{node} {date}"] = cluster.now
            cluster.tell(lease(node, cluster.version, f"{node} {date}"))
        cluster.mute = set(cluster.members)
        cluster.pass_time(1)
        assert cluster.who() == [first]


def test_a_lease_of_a_process_before_is_not_ours() -> None:
    members = Members("n1", lambda _: None)
    members.put(lease("n1", 1), 0.0)
    assert not members.sure(0.0)
    assert members.alive(0.0) == frozenset()


def test_one_that_is_given_up_is_gone_at_once() -> None:
    members = Members("n1", lambda _: 0.0)
    members.put(lease("n2", 1), 0.0)
    assert members.alive(1.0) == {"n2"}
    members.put(lease("n2", 2, holder=""), 1.0)
    assert members.alive(1.0) == frozenset()


def test_addresses_are_spread_and_only_those_of_one_that_leaves_move() -> None:
    addresses = [f"192.0.2.{n}" for n in range(256)]
    before = {address: owner(address, NODES) for address in addresses}
    assert all(60 < count < 110 for count in Counter(before.values()).values())
    after = {address: owner(address, ["n1", "n2"]) for address in addresses}
    assert all(after[address] == node for address, node in before.items() if node != "n3")
    assert owner(VIP, []) == ""


def test_a_node_stops_before_another_begins() -> None:
    assert TRUST < DURATION


# --- from where


def balancer(**fields: Any) -> Service:
    given = fields.pop("loadBalancerClass", None)
    one = service(type="LoadBalancer", ingress=({"ip": VIP},), **fields)
    return msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, load_balancer_class=given))


OURS = Classes("ours")


def claims(one: Service, *slices: EndpointSlice, classes: Classes = OURS, pools: Any = ()) -> Any:
    return claims_of([(one, slices)], classes, tuple(pools))


HERE, THERE = endpoint("10.244.1.10", "n1"), endpoint("10.244.2.10", "n2")
ENDING = endpoint("10.244.2.11", "n3", ready=False, serving=True, terminating=True)
AWAY = endpoint("10.244.2.12", "n3", ready=False)


FROM: list[tuple[str, dict[str, Any], list[Any], Any]] = [
    ("every node", {}, [HERE], {VIP: None}),
    ("nowhere without an endpoint", {}, [], {}),
    ("nowhere without one that is ready", {}, [AWAY], {}),
    ("everywhere while one still serves", {}, [ENDING], {VIP: None}),
    ("nodes with an endpoint", {"externalTrafficPolicy": "Local"}, [HERE, THERE, AWAY], {VIP: {"n1", "n2"}}),
    ("ready ones go before", {"externalTrafficPolicy": "Local"}, [HERE, ENDING], {VIP: {"n1"}}),
    ("those that still serve", {"externalTrafficPolicy": "Local"}, [ENDING], {VIP: {"n3"}}),
    ("another class", {"loadBalancerClass": "theirs"}, [HERE], {}),
    ("our class", {"loadBalancerClass": "ours"}, [HERE], {VIP: None}),
]


@pytest.mark.parametrize(("why", "fields", "found", "wanted"), FROM)
def test_from_where_it_may_be_announced(
    why: str, fields: dict[str, Any], found: list[Any], wanted: Any
) -> None:
    assert claims(balancer(**fields), endpoints(*found)) == wanted


def test_only_addresses_of_the_pools_where_there_are_any() -> None:
    outside, inside = Pool("a", (range_of("198.51.100.0/28"),)), Pool("b", (range_of("192.0.2.0/28"),))
    assert claims(balancer(), endpoints(HERE), pools=[outside]) == {}
    assert claims(balancer(), endpoints(HERE), pools=[outside, inside]) == {VIP: None}
    assert claims(balancer(), endpoints(HERE), classes=Classes("ours", classless=False)) == {}


def test_a_node_may_say_that_it_takes_none() -> None:
    def node(**metadata: Any) -> Node:
        return msgspec.convert({"metadata": metadata}, Node)

    assert node().takes_balancers
    assert not node(labels={"node.kubernetes.io/exclude-from-external-load-balancers": ""}).takes_balancers
    assert not node(deletionTimestamp="2026-01-01T00:00:00Z").takes_balancers


# --- on the link

MAC, THEIRS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ARP = "ffffffffffff02000000000208060001080006040001020000000002c0000264000000000000c0000201"
ANSWER = "02000000000202000000000108060001080006040002020000000001c0000201020000000002c0000264"


def test_arp() -> None:
    frame = bytes.fromhex(ARP)
    asked = packets.read_arp(frame)
    assert asked == Asked(VIP, THEIRS, bytes([192, 0, 2, 100]))
    reply = packets.arp_reply(asked, MAC)
    assert reply[:42].hex() == ANSWER
    assert len(reply) == 60
    assert packets.read_arp(reply) is None
    assert packets.read_arp(frame[:41]) is None
    for frame in packets.gratuitous_arp(VIP, MAC):
        assert frame[:6] == b"\xff" * 6
        assert frame[28:32] == frame[38:42] == bytes([192, 0, 2, 1])
    # a station that probes whether an address is free has none yet (RFC 5227)
    assert packets.read_arp(bytes.fromhex(ARP.replace("c0000264", "00000000"))) is not None


def solicitation(source: str, hops: int = 255) -> bytes:
    body = struct.pack("!BBHI", 135, 0, 0, 0) + IPv6Address(OTHER).packed + b"\1\1" + THEIRS
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, hops) + IPv6Address(source).packed
    return b"\x33\x33\xff\0\0\1" + THEIRS + b"\x86\xdd" + head + packets.solicited_group(OTHER) + body


def checksum_holds(frame: bytes) -> bool:
    body = frame[54:]
    pseudo = frame[22:54] + struct.pack("!II", len(body), 58) + body
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    return (total & 0xFFFF) + (total >> 16) in (0xFFFF, 0x1FFFE)


def test_neighbour_discovery() -> None:
    asked = packets.read_solicitation(solicitation("fe80::2"))
    assert asked == Asked(OTHER, THEIRS, IPv6Address("fe80::2").packed)
    answer = packets.advertisement(asked, MAC, "fe80::1")
    assert answer[:12] == THEIRS + MAC
    assert (answer[21], answer[54], answer[58]) == (255, 136, 0x60)  # solicited, overrides
    assert answer[62:78] == IPv6Address(OTHER).packed
    assert answer[78:86] == b"\x02\x01" + MAC
    assert checksum_holds(answer)
    assert packets.read_solicitation(answer) is None


def test_from_afar_nothing_is_asked() -> None:
    assert packets.read_solicitation(solicitation("fe80::2", hops=64)) is None
    assert packets.read_solicitation(solicitation("fe80::2")[:77]) is None


def test_a_station_without_an_address_is_told_as_all_are() -> None:
    asked = packets.read_solicitation(solicitation("::"))
    assert asked is not None
    answer = packets.advertisement(asked, MAC, "fe80::1")
    assert answer == packets.unsolicited(OTHER, MAC, "fe80::1")
    assert answer[38:54] == IPv6Address("ff02::1").packed
    assert answer[58] == 0x20
    assert checksum_holds(answer)


def test_the_group_that_is_asked() -> None:
    assert IPv6Address(packets.solicited_group("fd30::d0")) == IPv6Address("ff02::1:ff00:d0")
