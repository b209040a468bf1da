"""Who is taken at a Service's port in userspace mode; the kernel drops the others' packets."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from ipaddress import ip_address, ip_network

import pytest

from bastion.network.sockets import admit
from bastion.node.fronts import Scope
from bastion.node.rules import Detection, Rules
from bastion.node.userspace.admission import MOST_STEPS, Gate, gates, program
from tests.node.build import endpoint, endpoints, fronts, service

RULES = Rules("IPv4", Detection(("10.244.0.0/16",)))
HERE, FAR = endpoints(endpoint("10.244.1.10")), endpoints(endpoint("10.244.2.10", "node2"))
PODS, NOBODY, RANGES = Gate(("10.244.0.0/16",), own=True), Gate(()), Gate(("203.0.113.0/24",))
GATES = {  # the slices, whether policies are Local, gates of the cluster IP, gates of the balancer's
    "everybody": ((HERE,), False, (), (RANGES,)),
    "Local, with one here": ((HERE,), True, (), (RANGES,)),
    "Local, with none here": ((FAR,), True, (NOBODY,), (RANGES, PODS)),
}


@pytest.mark.parametrize("name", GATES)
def test_gates_of_a_front(name: str) -> None:
    slices, local, inside, outside = GATES[name]
    policy = "Local" if local else "Cluster"
    one = service(
        internalTrafficPolicy=policy,
        externalTrafficPolicy=policy,
        ingress=({"ip": "192.0.2.1"},),
        loadBalancerSourceRanges=["203.0.113.0/24"],
    )
    found = {front.scope: gates(front, RULES) for front in fronts(one, *slices).values()}
    assert found[Scope.CLUSTER] == inside
    assert found[Scope.BALANCER] == outside


def taken(code: bytes, source: str, interface: int) -> bool:
    """As the kernel runs it, for a packet from there."""
    packed, head = ip_address(source).packed, 12 if "." in source else 8
    at, value = 0, 0
    while True:
        kind, yes, no, k = struct.unpack_from("=HBBI", code, 8 * at)
        at += 1
        match kind:
            case 0x20 if k >= 0xFFFFF000:
                value = interface
            case 0x20:
                offset = k - 0xFFF00000 - head
                value = int.from_bytes(packed[offset : offset + 4])
            case 0x54:
                value &= k
            case 0x15:
                at += yes if value == k else no
            case 0x05:
                at += k
            case 0x06:
                return bool(k)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_the_program_says_what_the_ranges_say(family: str) -> None:
    chance, bits = random.Random(7), 32 if family == "IPv4" else 128

    def address() -> int:
        return chance.getrandbits(bits)

    make = ip_network("0.0.0.0/0") if family == "IPv4" else ip_network("::/0")
    for _ in range(300):
        ranges = [
            str(type(make)((address(), chance.choice((1, 8, 24, 31, 32, bits - 1, bits))), strict=False))
            for _ in range(chance.randrange(5))
        ]
        own, second = chance.random() < 0.5, Gate((str(make),))
        code = program((Gate(tuple(ranges), own), second), family)
        networks = [ip_network(text) for text in ranges]
        for _ in range(20):
            inside = chance.choice(networks) if networks and chance.random() < 0.5 else None
            source = ip_address(make[address()])
            if inside is not None:
                source = inside[address() % inside.num_addresses]
            interface = chance.choice((1, 2))
            wanted = any(source in network for network in networks) or (own and interface == 1)
            assert taken(code, str(source), interface) == wanted, (ranges, source)


def test_no_program_where_everybody_may_come_or_the_kernel_would_not_take_it() -> None:
    assert program((), "IPv4") == b""
    many = tuple(f"10.{n // 250}.{n % 250}.0/24" for n in range(MOST_STEPS // 4))
    assert program((Gate(many),), "IPv4") == b""


def test_the_kernel_drops_what_others_send_and_takes_it_again() -> None:
    with contextlib.ExitStack() as stack:
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        tcp, udp = (stack.enter_context(socket.socket(socket.AF_INET, kind)) for kind in kinds)
        for sock in (tcp, udp):
            sock.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.settimeout(0.2)

        def reached(source: str) -> tuple[bool, bool]:
            with socket.socket() as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                for sock in (one, other):
                    sock.bind((source, 0))
                other.sendto(b"?", udp.getsockname())
                try:
                    got = udp.recvfrom(16)[1][0] == source
                except TimeoutError:
                    got = False
                one.settimeout(5 if got else 0.2)
                with contextlib.suppress(TimeoutError):
                    one.connect(tcp.getsockname())
                    return True, got
                return False, got

        only = program((Gate(("127.0.0.5/32",)),), "IPv4")
        for code, others in ((only, False), (b"", True), (program((NOBODY,), "IPv4"), False)):
            for sock in (tcp, udp):
                admit(sock, code)
            assert reached("127.0.0.6") == (others, others)
            assert reached("127.0.0.5") == ((True, True) if code == only or others else (False, False))
        for sock in (tcp, udp):
            admit(sock, program((Gate((), own=True),), "IPv4"))
        assert reached("127.0.0.6") == (True, True)
