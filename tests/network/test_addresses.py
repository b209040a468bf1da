"""Which address may be dialled?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.network.addresses import Address, DialPolicy, leads_to, parse_address, unmapped
from bastion.settings.kinds import network


def literal(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address


PERMITTED = [
    "10.0.0.1",  # private networks are where pods live
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",  # CGNAT
    "100.100.100.201",
    "192.0.0.193",
    "8.8.8.8",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "223.255.255.255",
    "1.0.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "fd00::1",
    "fd00:ec2::253",
    "2001:db8::1",
    "fec0::1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "2002:a00:1::",  # 6to4 of 10.0.0.1
    "::ffff:0:10.0.0.1",  # translated
    "2001:db8::5efe:a00:1",  # ISATAP
    "2001:1::1",
    "64:ff9b:2::1",
    "2001:db8::5eff:7f00:1",
]
REFUSED = [
    "0.0.0.0",
    "0.255.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.255.255",
    "100.100.100.200",  # Alibaba Cloud
    "168.63.129.16",  # Azure
    "192.0.0.192",  # Oracle Cloud
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd00:0ec2:0:0:0:0:0:254",
    "fd20:ce::254",
    "fd00:ec2::23",
    "fd00:c1::a9fe:a9fe",
    "fd00:a9fe:a9fe::1",
    "fd00:42::42",
    "240.0.0.1",
    "255.255.255.254",
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "64:ff9b:1::1",  # NAT64 for local use
    "64:ff9b:1::a00:1",
    "64:ff9b:1:7f00:0:100::",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    # an IPv4 address in other clothes
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "::ffff:0:7f00:1",  # translated
    "::ffff:0:169.254.169.254",
    "2001:db8::5efe:127.0.0.1",  # ISATAP
    "fd00::200:5efe:a9fe:a9fe",
    "::ffff:240.0.0.1",
    "64:ff9b::f000:1",
    # no literal address
    "",
    "localhost",
    "example.com",
    "10.0.0.1:80",
    "[::1]",
    "10.0.0",
    "010.0.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "127.1",
    "2130706433",
    " 10.0.0.1",
    "10.0.0.1\n",
    "١٠.0.0.1",
    "fe80::1%eth0",
    "fd00::1%eth0",
    "10.0.0.1/8",
]


@pytest.mark.parametrize("address", PERMITTED)
def test_an_ordinary_address_is_dialled(address: Any) -> None:
    assert DialPolicy().permits(address, 80)


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_leads_elsewhere_is_refused(address: Any) -> None:
    policy = DialPolicy()
    assert not policy.permits(address, 80)
    assert not policy.permits(address, 80)  # also when the verdict is remembered


@pytest.mark.parametrize(
    ("allowed", "address", "permitted"),
    [
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.2/32", "127.0.0.1", False),
        ("169.254.0.0/16", "169.254.169.254", True),
        ("::1/128", "::1", True),
        ("::1/128", "127.0.0.1", False),
        ("10.0.0.0/8", "127.0.0.1", False),
        ("10.0.0.0/8", "192.168.0.1", True),  # allowing is no restriction
        ("127.0.0.0/8", "localhost", False),
    ],
)
def test_a_network_may_be_allowed(allowed: Any, address: Any, permitted: Any) -> None:
    assert DialPolicy([network(allowed)]).permits(address, 80) is permitted


OWN = [
    ("10.0.0.5", 8443, False),
    ("10.0.0.5", 8080, True),
    ("10.0.0.6", 8443, True),
    ("::ffff:10.0.0.5", 8443, False),
    ("::ffff:a00:5", 8443, False),
    ("64:ff9b::10.0.0.5", 8443, False),
    ("fd00::5", 6443, False),
    ("fd00:0::5", 6443, False),
    ("FD00::5", 6443, False),
    ("fd00::5", 6444, True),
    ("::ffff:0:10.0.0.5", 8443, False),
    ("2001:db8::5efe:10.0.0.5", 8443, False),
    ("2002:a00:5::1", 8443, False),
    ("2002:a00:5::1", 8444, True),
]


@pytest.mark.parametrize(("address", "port", "permitted"), OWN)
def test_own_sockets_are_refused_however_they_are_written(address: Any, port: Any, permitted: Any) -> None:
    policy = DialPolicy(own=[("10.0.0.5", 8443), ("fd00::5", 6443)])
    assert policy.permits(address, port) is permitted


def test_own_sockets_are_refused_also_where_their_network_is_allowed() -> None:
    policy = DialPolicy([network("10.0.0.0/8")], own=[("10.0.0.5", 8443)])
    assert policy.permits("10.0.0.5", 80)
    assert not policy.permits("10.0.0.5", 8443)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "2001::80ff:fffe", "64:ff9b:1::7f00:1"],
)
def test_a_loopback_socket_of_its_own_is_refused_in_every_form(address: Any) -> None:
    policy = DialPolicy([network("0.0.0.0/0"), network("::/0")], own=[("127.0.0.1", 8080)])
    assert not policy.permits(address, 8080)
    assert policy.permits(address, 8081)


def test_the_api_servers_are_asked_for_each_time() -> None:
    servers: list[Any] = []
    policy = DialPolicy([network("10.0.0.0/8")], api_servers=lambda: servers)
    assert policy.permits("10.0.0.7", 6443)
    servers.append(("10.0.0.7", 6443))
    assert not policy.permits("10.0.0.7", 6443)
    assert not policy.permits("::ffff:10.0.0.7", 6443)
    assert policy.permits("10.0.0.7", 6444)
    servers.clear()
    assert policy.permits("10.0.0.7", 6443)


def test_a_kubelet_is_known_however_its_address_is_written() -> None:
    policy = DialPolicy(
        is_kubelet=lambda address, port: (address, port) in {("10.0.0.7", 10250), ("fd00::7", 10250)}
    )
    for address in ("10.0.0.7", "::ffff:10.0.0.7", "64:ff9b::a00:7", "fd00:0::7", "FD00::7"):
        assert policy.reaches_kubelet(address, 10250)
        assert not policy.reaches_kubelet(address, 10251)
    assert not policy.reaches_kubelet("10.0.0.8", 10250)


def test_verdicts_are_bounded_and_stay_right() -> None:
    policy = DialPolicy()
    for i in range(1 << 16):
        policy.permits(str(i), 80)
    assert policy.permits("10.9.9.9", 80)
    assert not policy.permits("127.0.0.1", 80)
    assert all(len(known) <= 1 << 16 for known in vars(policy).values() if isinstance(known, dict))


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("10.0.0.1", ["10.0.0.1"]),
        ("::ffff:10.0.0.1", ["::ffff:10.0.0.1", "10.0.0.1"]),
        ("::10.0.0.1", ["::10.0.0.1", "10.0.0.1"]),
        ("::ffff:0:10.0.0.1", ["::ffff:0:a00:1", "10.0.0.1"]),
        ("2002:a00:1::5", ["2002:a00:1::5", "10.0.0.1"]),
        ("64:ff9b::a00:1", ["64:ff9b::a00:1", "10.0.0.1"]),
        ("64:ff9b:1::a00:1", ["64:ff9b:1::a00:1", "10.0.0.1"]),
        ("2001:0:a00:2::f5ff:fffe", ["2001:0:a00:2::f5ff:fffe", "10.0.0.2", "10.0.0.1"]),
        ("fd00::5efe:a00:1", ["fd00::5efe:a00:1", "10.0.0.1"]),
        ("fd00::1", ["fd00::1"]),
        ("::1", ["::1"]),
        ("::", ["::"]),
    ],
)
def test_where_an_address_leads(text: Any, places: Any) -> None:
    assert list(leads_to(literal(text))) == [parse_address(place) for place in places]


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fd00::1", "fd00::1"),
        # forms that whoever sends may choose
        ("2002:a00:1::5", "2002:a00:1::5"),
        ("2001:db8::5efe:a00:1", "2001:db8::5efe:a00:1"),
        ("64:ff9b::a00:1", "64:ff9b::a00:1"),
    ],
)
def test_a_peer_is_an_ipv4_one_only_where_the_kernel_says_so(text: Any, peer: Any) -> None:
    assert unmapped(literal(text)) == parse_address(peer)
