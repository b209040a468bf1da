"""· The PROXY protocol: who is the client of a connection that another balancer made?

HAProxy's specification, `proxy-protocol.txt`: version 1 is a line of text, version 2 is binary.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_LINE = 107  # bytes of version 1, its end included
LONGEST = 16 + 4096  # bytes of version 2: its length field allows 64 KiB, for extensions that are few
_IPV4, _IPV6, _UNIX = 1, 2, 3

Peer = tuple[str, int]


class BadHeader(Exception):
    """What came is none; the connection means nothing."""


class Header(NamedTuple):
    """`client` and `to` are None where the balancer speaks for itself; `size` in bytes."""

    client: Peer | None
    to: Peer | None
    size: int


def read(data: bytes) -> Header | None:
    """None while more must come.  Raises BadHeader."""
    if data.startswith(b"PROXY "):
        return _line(data)
    if data.startswith(SIGNATURE):
        return _binary(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise BadHeader("no PROXY header")


def _line(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, LONGEST_LINE)
    if end < 0:
        if len(data) >= LONGEST_LINE:
            raise BadHeader("a PROXY line without an end")
        return None
    words = data[:end].split(b" ")
    if words[1:2] == [b"UNKNOWN"]:
        return Header(None, None, end + 2)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise BadHeader("a PROXY line that is not of TCP4, TCP6 or UNKNOWN")
    version = 4 if words[1] == b"TCP4" else 6
    client, to = (_peer(words[n], words[n + 2], version) for n in (2, 3))
    return Header(client, to, end + 2)


def _peer(address: bytes, port: bytes, version: int) -> Peer:
    try:
        found = ipaddress.ip_address(address.decode("ascii"))
    except ValueError as error:
        raise BadHeader("a PROXY line with an address that is none") from error
    if found.version != version or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise BadHeader("a PROXY line with an address or port that is none")
    return str(found), int(port)


def _binary(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    version, family, length = struct.unpack_from("!BBH", data, 12)
    if version >> 4 != 2 or version & 15 > 1 or 16 + length > LONGEST:
        raise BadHeader("a PROXY header of another version, or too long")
    if len(data) < 16 + length:
        return None
    if version & 15 == 0:  # LOCAL: a check of the balancer's own
        return Header(None, None, 16 + length)
    kind, size = family >> 4, {_IPV4: 4, _IPV6: 16}.get(family >> 4, 0)
    if not size:  # unspecified, or a Unix socket: there is no address
        return Header(None, None, 16 + length)
    if length < 2 * size + 4:
        raise BadHeader(f"a PROXY header that is too short for addresses of kind {kind}")
    one, other = data[16 : 16 + size], data[16 + size : 16 + 2 * size]
    ports = struct.unpack_from("!HH", data, 16 + 2 * size)
    return Header(
        (str(ipaddress.ip_address(one)), ports[0]), (str(ipaddress.ip_address(other)), ports[1]), 16 + length
    )


def written(version: str, client: Peer, to: Peer) -> bytes:
    """`version` is v1 or v2."""
    texts = [client[0], to[0]]
    if len({":" in text for text in texts}) > 1:
        texts = [text if ":" in text else f"::ffff:{text}" for text in texts]
    v6 = ":" in texts[0]
    if version == "v1":
        return f"PROXY TCP{6 if v6 else 4} {texts[0]} {texts[1]} {client[1]} {to[1]}\r\n".encode()
    family = (_IPV6 if v6 else _IPV4) << 4 | 1  # of a stream
    one, other = map(ipaddress.ip_address, texts)
    body = one.packed + other.packed + struct.pack("!HH", client[1], to[1])
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(body)) + body
