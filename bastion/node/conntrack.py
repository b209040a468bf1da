"""Tracked UDP flows that lead to endpoints that are gone: found and deleted over netlink.

A UDP flow is renewed by every packet, so that a client that goes on sending from one port would go on to an
endpoint that is no more.  TCP connections are never touched.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

import msgspec

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_NETFILTER = 12
_GET, _DELETE = 0x0101, 0x0102
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_TUPLE_ORIG, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUM, _PROTO_SRC_PORT, _PROTO_DST_PORT = 1, 2, 3
_TYPE = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_IP = {"IPv4": (socket.AF_INET, 1, 2), "IPv6": (socket.AF_INET6, 3, 4)}
UDP = 17
RECEIVED = 1 << 18  # bytes of one read of a dump


class Flow(msgspec.Struct, frozen=True, gc=False):
    """`to`: where the first packet went, `by`: where responses come from, `tuple`: its name in the kernel."""

    to: tuple[str, int]
    by: tuple[str, int]
    tuple: bytes


def delete_flows(family: str, stale: Callable[[Flow], bool]) -> int:
    """How many were deleted.  Raises OSError where the kernel has no connection tracking over netlink."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(5.0)
        found = [flow for flow in _udp(netlink, family) if stale(flow)]
        return sum(_delete(netlink, family, flow) for flow in found)


def _udp(netlink: socket.socket, family: str) -> Iterator[Flow]:
    number = _IP[family][0]
    netlink.send(struct.pack("=IHHIIBBH", 20, _GET, _REQUEST | _DUMP, 1, 0, number, 0, 0))
    while True:
        for kind, body in _messages(netlink.recv(RECEIVED)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", body)[0]
                raise OSError(code, "the tracked connections cannot be listed")
            flow = flow_of(body[4:], family)
            if flow is not None:
                yield flow


def _delete(netlink: socket.socket, family: str, flow: Flow) -> bool:
    """False where it has ended meanwhile."""
    attribute = struct.pack("=HH", len(flow.tuple) + 4, 0x8000 | _TUPLE_ORIG) + flow.tuple
    head = struct.pack("=IHHIIBBH", 20 + len(attribute), _DELETE, _REQUEST | _ACK, 2, 0, _IP[family][0], 0, 0)
    netlink.send(head + attribute)
    return any(
        kind == _ERROR and struct.unpack_from("=i", body)[0] == 0
        for kind, body in _messages(netlink.recv(RECEIVED))
    )


def flow_of(attributes: bytes, family: str) -> Flow | None:
    """None for what is no UDP flow of this family."""
    found = dict(_attributes(attributes))
    to = _end(found.get(_TUPLE_ORIG, b""), family, destination=True)
    by = _end(found.get(_TUPLE_REPLY, b""), family, destination=False)
    return Flow(to, by, found[_TUPLE_ORIG]) if to is not None and by is not None else None


def _end(side: bytes, family: str, *, destination: bool) -> tuple[str, int] | None:
    number, source, sink = _IP[family]
    parts = dict(_attributes(side))
    protocol = dict(_attributes(parts.get(_TUPLE_PROTO, b"")))
    if protocol.get(_PROTO_NUM, b"\0")[0] != UDP:
        return None
    address = dict(_attributes(parts.get(_TUPLE_IP, b""))).get(sink if destination else source)
    port = protocol.get(_PROTO_DST_PORT if destination else _PROTO_SRC_PORT)
    if address is None or port is None:
        return None
    return socket.inet_ntop(number, address), int(struct.unpack("!H", port)[0])


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & _TYPE, data[4:length]
        data = data[(length + 3) & ~3 :]
