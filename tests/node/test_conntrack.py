"""Tracked flows as the kernel tells them, and which of them are stale."""

from __future__ import annotations

import socket
import struct

import pytest

from bastion.node.conntrack import flow_of
from bastion.node.model import Model
from bastion.node.stale import Stale
from tests.node.build import endpoint, endpoints, service

PORTS = (
    {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053},
    {"name": "http", "port": 80},
)
DNS = {"port": 5353, "port_name": "dns", "protocol": "UDP"}


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def side(kind: int, source: tuple[str, int], sink: tuple[str, int], protocol: int) -> bytes:
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    first, second = (3, 4) if family == socket.AF_INET6 else (1, 2)
    addresses = attribute(first, socket.inet_pton(family, source[0]))
    addresses += attribute(second, socket.inet_pton(family, sink[0]))
    ports = attribute(1, bytes([protocol])) + attribute(2, struct.pack("!H", source[1]))
    ports += attribute(3, struct.pack("!H", sink[1]))
    return attribute(0x8000 | kind, attribute(0x8001, addresses) + attribute(0x8002, ports))


@pytest.mark.parametrize(
    ("family", "client", "to", "by"),
    [
        ("IPv4", ("10.244.1.10", 4000), ("10.96.1.1", 53), ("10.244.2.10", 5353)),
        ("IPv6", ("fd44:1::10", 4000), ("fd96::1", 53), ("fd44:2::10", 5353)),
    ],
)
def test_flows_are_read(
    family: str, client: tuple[str, int], to: tuple[str, int], by: tuple[str, int]
) -> None:
    told = side(1, client, to, 17) + side(2, by, client, 17) + attribute(3, b"\0\0\0\1")
    flow = flow_of(told, family)
    assert flow is not None
    assert (flow.to, flow.by) == (to, by)
    assert attribute(0x8001, flow.tuple) == side(1, client, to, 17), "what names it is handed back unchanged"
    assert flow_of(side(1, client, to, 6) + side(2, by, client, 6), family) is None
    assert flow_of(b"", family) is None
    assert flow_of(b"\1\0\0", family) is None
    assert flow_of(told[:20], family) is None


def model(*found: dict[str, object]) -> Model:
    made = Model("node1", lambda: None)
    made.put_service(("shop", "web"), service(ports=PORTS, externalIPs=["198.51.100.1"]))
    made.put_slice(("shop", "web-1"), endpoints(*found, **DNS))  # type: ignore[arg-type]
    return made


SERVES = endpoint("10.244.1.10")
ENDING = endpoint("10.244.1.11", ready=False, serving=True, terminating=True)
GONE = ("10.244.2.10", 5353)
HERE = ("172.30.0.11", "127.0.0.1")


@pytest.mark.parametrize(
    ("to", "by", "stale"),
    [
        (("10.96.1.1", 53), GONE, True),
        (("198.51.100.1", 53), GONE, True),
        (("172.30.0.11", 30053), GONE, True),
        (("10.96.1.1", 53), ("10.96.1.1", 53), True),  # sent before there was an endpoint
        (("10.96.1.1", 53), ("10.244.1.10", 5353), False),
        (("10.96.1.1", 53), ("10.244.1.11", 5353), False),  # it terminates, and serves
        (("10.96.1.2", 53), GONE, False),
        (GONE, GONE, False),
        (("10.96.1.1", 80), GONE, False),
        (("203.0.113.5", 30053), ("203.0.113.5", 30053), False),  # of another host, or another Service
    ],
)
def test_which_are_stale(to: tuple[str, int], by: tuple[str, int], stale: bool) -> None:
    assert Stale(model(SERVES, ENDING), [("shop", "web")], "IPv4", HERE)(to, by) is stale


def test_a_port_without_serving_endpoints_is_left_alone() -> None:
    stale = Stale(model(), [("shop", "web")], "IPv4", HERE)
    assert not stale
    assert not stale(("10.96.1.1", 53), GONE)
    assert not Stale(model(SERVES), [("shop", "other")], "IPv4", HERE)
