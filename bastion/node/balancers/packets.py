"""· Frames by which an address is claimed on a link: ARP (RFC 826, RFC 5227) and neighbour discovery (RFC
4861).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

ARP, IPV6 = 0x0806, 0x86DD
BROADCAST = b"\xff" * 6
REQUEST, REPLY = 1, 2
SOLICITATION, ADVERTISEMENT = 135, 136
ICMPV6 = 58
ALL_NODES = IPv6Address("ff02::1").packed
SOLICITED, OVERRIDE = 0x40000000, 0x20000000
_ARP = struct.Struct("!HHBBH6s4s6s4s")


class Asked(NamedTuple):
    """Who has `address`?  Asked by a station with `mac` and `source`, which is empty while it has none."""

    address: str
    mac: bytes
    source: bytes


def read_arp(frame: bytes) -> Asked | None:
    """None where it is no request for an IPv4 address."""
    if len(frame) < 42:
        return None
    kind, protocol, size, length, operation, mac, source, _, wanted = _ARP.unpack_from(frame, 14)
    if (kind, protocol, size, length, operation) != (1, 0x0800, 6, 4, REQUEST):
        return None
    return Asked(str(IPv4Address(wanted)), mac, source)


def arp_reply(asked: Asked, mac: bytes) -> bytes:
    return _arp(asked.mac, REPLY, mac, asked.address, asked.mac, asked.source)


def gratuitous_arp(address: str, mac: bytes) -> tuple[bytes, bytes]:
    """As a request and as a reply: some stations learn from one of them only."""
    own = IPv4Address(address).packed
    return (
        _arp(BROADCAST, REQUEST, mac, address, bytes(6), own),
        _arp(BROADCAST, REPLY, mac, address, BROADCAST, own),
    )


def _arp(to: bytes, operation: int, mac: bytes, address: str, target: bytes, target_address: bytes) -> bytes:
    own = IPv4Address(address).packed
    body = _ARP.pack(1, 0x0800, 6, 4, operation, mac, own, target, target_address)
    return (struct.pack("!6s6sH", to, mac, ARP) + body).ljust(60, b"\0")


# --- neighbour discovery


def read_solicitation(frame: bytes) -> Asked | None:
    """None where it is none, or not of this link (its hop limit is 255)."""
    if len(frame) < 14 + 40 + 24:
        return None
    next_header, hops = frame[20], frame[21]
    if next_header != ICMPV6 or hops != 255 or frame[54:56] != bytes((SOLICITATION, 0)):
        return None
    source, wanted = frame[22:38], frame[62:78]
    return Asked(str(IPv6Address(wanted)), frame[6:12], source if any(source) else b"")


def advertisement(asked: Asked, mac: bytes, own: str) -> bytes:
    """`own` is an address of the interface.  A station that has no address yet is told as all are."""
    if not asked.source:
        return unsolicited(asked.address, mac, own)
    return _advertisement(asked.address, mac, own, asked.mac, asked.source, SOLICITED | OVERRIDE)


def unsolicited(address: str, mac: bytes, own: str) -> bytes:
    return _advertisement(address, mac, own, b"\x33\x33\0\0\0\1", ALL_NODES, OVERRIDE)


def _advertisement(address: str, mac: bytes, own: str, to_mac: bytes, to: bytes, flags: int) -> bytes:
    source = IPv6Address(own).packed
    # with the option of the target's link-layer address (RFC 4861, 4.6.1)
    body = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, flags) + IPv6Address(address).packed + b"\x02\x01" + mac
    checksum = _checksum(source + to + struct.pack("!II", len(body), ICMPV6) + body)
    body = body[:2] + struct.pack("!H", checksum) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), ICMPV6, 255) + source + to
    return struct.pack("!6s6sH", to_mac, mac, IPV6) + head + body


def _checksum(data: bytes) -> int:
    """RFC 1071; of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def solicited_group(address: str) -> bytes:
    """The multicast group that stations ask (RFC 4291, 2.7.1)."""
    return IPv6Address("ff02::1:ff00:0").packed[:13] + IPv6Address(address).packed[13:]
