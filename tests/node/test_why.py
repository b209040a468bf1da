"""`bastion node why`: a packet's way in words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bastion.node.model import Model
from bastion.node.rules import Detection, Rules
from bastion.node.why import explained, parse_target
from bastion.runtime.errors import ConfigError
from tests.node.build import endpoint, endpoints, service

RULES = Rules(
    "IPv4", Detection(("10.244.0.0/16",)), node_ports=("172.30.0.11/32",), service_cidrs=("10.96.0.0/16",)
)
PORTS = ({"name": "http", "port": 80, "nodePort": 30080},)


def model() -> Model:
    made = Model("node1", lambda: None)
    made.stand(("172.30.0.11",))
    made.put_service(
        ("shop", "web"),
        service(
            ports=PORTS,
            externalTrafficPolicy="Local",
            ingress=({"ip": "192.0.2.1"},),
            loadBalancerSourceRanges=["172.30.0.0/24", "10.244.0.0/16"],
        ),
    )
    made.put_slice(("shop", "web-1"), endpoints(endpoint("10.244.2.10", "node2")))
    made.put_service(("shop", "empty"), service("empty", ("10.96.1.2",)))
    made.put_service(
        ("shop", "young"), service("young", ("10.96.1.3",), externalIPs=["192.0.2.1"], created="2027")
    )
    made.take("IPv4")
    return made


POD, CLIENT, NODE = "10.244.1.10", "172.30.0.100", "172.30.0.11"
SAID = [  # what is asked, from where, what is said among others
    ("10.96.1.1:80", POD, ["cluster IP of Service shop/web:http", "10.244.2.10:8080", "not masqueraded"]),
    ("10.96.1.1:80/tcp", CLIENT, ["masqueraded: it is no pod of the cluster"]),
    ("10.96.1.1:81", POD, ["has no such port: it has 80/tcp", "refused"]),
    ("10.96.1.1:80/udp", POD, ["has no such port"]),
    ("10.96.1.2:80", POD, ["refused", "no ready endpoint"]),
    ("10.96.77.7:80", POD, ["dropped: no Service has the address"]),
    ("198.51.100.9:80", POD, ["left alone"]),
    ("192.0.2.1:80", CLIENT, ["load-balancer IP", "dropped: the policy is Local", "10.244.2.10:8080"]),
    ("192.0.2.1:80", CLIENT, ["Service shop/young asks for it, too"]),
    ("192.0.2.1:80", "203.0.113.9", ["dropped: loadBalancerSourceRanges allow"]),
    ("192.0.2.1:80", "", ["give --from"]),
    ("192.0.2.1:80", POD, ["binds neither the node nor its pods", "not masqueraded"]),
    ("172.30.0.11:30080", NODE, ["node port", "the node itself", "masqueraded: the node itself"]),
    ("172.30.0.12:30080", CLIENT, ["left alone", "NodePorts are taken on 172.30.0.11/32"]),
]


@pytest.mark.parametrize(("target", "source", "expected"), SAID)
def test_what_is_said(target: str, source: str, expected: list[str]) -> None:
    text = "\n".join(explained(parse_target(target), source, "nftables", model(), RULES))
    for part in expected:
        assert part in text


def test_modes_differ_where_they_do() -> None:
    asked = parse_target("10.96.1.1:81")
    assert "left alone" in "\n".join(explained(asked, POD, "iptables", model(), RULES))
    assert "the port is closed" in "\n".join(explained(asked, POD, "userspace", model(), RULES))
    asked = parse_target("10.96.1.1:80")
    assert "relayed" in "\n".join(explained(asked, POD, "userspace", model(), RULES))
    asked, empty = parse_target("192.0.2.1:80"), model()
    empty.put_slice(("shop", "web-1"), None)
    empty.take("IPv4")
    refused = explained(parse_target("10.96.1.1:80"), POD, "userspace", empty, RULES)
    assert "the port is closed" in "\n".join(refused)
    for mode, said in (("nftables", "dropped: loadBalancerSourceRanges"), ("iptables", "no ready endpoint")):
        assert said in "\n".join(explained(asked, "203.0.113.9", mode, empty, RULES))
    for target, left in (("192.0.2.1:80", True), ("172.30.0.11:30080", False), ("10.96.1.1:80", False)):
        lines = explained(parse_target(target), NODE, "iptables", empty, RULES)
        assert ("routing decides" in "\n".join(lines)) is left
    asked = parse_target("10.96.1.1:80")
    unknown = replace(RULES, detection=Detection())
    assert "nothing to tell it by" in "\n".join(explained(asked, POD, "nftables", model(), unknown))


@pytest.mark.parametrize(
    "text", ["", "web:80", "10.96.1.1", "10.96.1.1:0", "10.96.1.1:80/icmp", "10.96.1.1:x", ":80"]
)
def test_what_cannot_be_asked(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_target(text)


def test_the_source_must_be_of_the_same_family() -> None:
    with pytest.raises(ConfigError):
        explained(parse_target("10.96.1.1:80"), "fd00::1", "nftables", model(), RULES)
    assert str(parse_target("[FD00::1]:53/udp")) == "[fd00::1]:53/udp"
