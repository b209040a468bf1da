"""What the first bytes of a connection say: PROXY headers, and the host that a TLS client names."""

from __future__ import annotations

import ssl
import struct

import pytest

from bastion.l4 import clienthello
from bastion.l4.clienthello import NoHello
from bastion.l4.proxyprotocol import SIGNATURE, BadHeader, Header, read, written

A4, B4, A6, B6 = ("192.0.2.1", 40000), ("192.0.2.2", 443), ("2001:db8::1", 40000), ("2001:db8::2", 443)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("client", "to"), [(A4, B4), (A6, B6)], ids=["IPv4", "IPv6"])
def test_what_is_written_is_read(version: str, client: tuple[str, int], to: tuple[str, int]) -> None:
    header = written(version, client, to)
    assert read(header + b"GET /") == Header(client, to, len(header))
    assert all(read(header[:size]) is None for size in range(1, len(header)))


def test_families_that_differ_are_written_as_ipv6() -> None:
    assert written("v1", A4, B6) == b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 40000 443\r\n"


def binary(command: int, family: int, body: bytes, version: int = 2) -> bytes:
    return SIGNATURE + struct.pack("!BBH", version << 4 | command, family, len(body)) + body


SAID_NOTHING = [
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
    binary(0, 0, b""),
    binary(0, 0x11, bytes(12)),
    binary(1, 0x31, bytes(216)),
]


@pytest.mark.parametrize("data", SAID_NOTHING)
def test_a_balancer_may_speak_for_itself(data: bytes) -> None:
    assert read(data + b"x") == Header(None, None, len(data))


def test_extensions_of_version_2_are_passed_over() -> None:
    data = binary(1, 0x11, bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 1, 2) + b"\x04\0\x01x")
    assert read(data) == Header(("192.0.2.1", 1), ("192.0.2.2", 2), len(data))


NO_HEADERS = [
    b"GET / HTTP/1.1\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    b"PROXY TCP4 host 192.0.2.2 1 2\r\n",
    b"PROXY SCTP 192.0.2.1 192.0.2.2 1 2\r\n",
    b"PROXY TCP4 " + b"1" * 200,
    binary(1, 0x11, bytes(11)),
    binary(1, 0x21, bytes(35)),
    binary(2, 0x11, bytes(12)),
    binary(1, 0x11, bytes(12), version=1),
    SIGNATURE + b"\x21\x11\xff\xff",
    b"\x16\x03\x01",
]


@pytest.mark.parametrize("data", NO_HEADERS)
def test_no_headers(data: bytes) -> None:
    with pytest.raises(BadHeader):
        read(data)


# --- the host that a TLS client names


def hello(name: str | None) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("name", "found"), [("a.example", "a.example"), (None, ""), ("X.Example", "x.example")]
)
def test_the_host_that_is_named(name: str | None, found: str) -> None:
    data = hello(name)
    assert clienthello.read(data + b"more") == clienthello.Hello(found)
    assert all(clienthello.read(data[:size]) is None for size in range(len(data)))


def test_a_hello_in_several_records() -> None:
    body = hello("a.example")[5:]
    pieces = [body[:1], body[1:3], body[3:50], body[50:]]
    data = b"".join(b"\x16\x03\x01" + struct.pack("!H", len(one)) + one for one in pieces)
    assert clienthello.read(data) == clienthello.Hello("a.example")
    assert clienthello.read(data[:-1]) is None


def _cut(data: bytes) -> bytes:
    """The message says that it is as long as what is there, and what is in it ends too early."""
    body = data[5:60]
    body = body[:1] + (len(body) - 4).to_bytes(3, "big") + body[4:]
    return b"\x16\x03\x01" + struct.pack("!H", len(body)) + body


NO_HELLOS = [
    b"GET / HTTP/1.1\r\n",
    b"\x15\x03\x01\x00\x02\x02\x70",
    b"\x16\x02",
    b"\x16\x03\x01\x00\x00",
    b"\x16\x03\x01\xff\xff",
    b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
    b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
    _cut(hello("a.example")),
]


@pytest.mark.parametrize("data", NO_HELLOS, ids=range(len(NO_HELLOS)))
def test_what_is_no_hello(data: bytes) -> None:
    with pytest.raises(NoHello):
        clienthello.read(data)
