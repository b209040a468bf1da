"""A name server of a handful of names, over TCP and UDP."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.probe.recorded.seen import Tell

SOA = "ns.{0} host.{0} 2026010199 3600 600 86400 300"
ADDRESSES = {"two.probe.test.": ["192.0.2.1", "192.0.2.2"], "none.probe.test.": []}


def answer(query: bytes) -> bytes:
    """Empty where it keeps silent."""
    asked = dns.message.from_wire(query)
    question = asked.question[0]
    name = question.name.to_text().lower()
    if name == "silent.probe.test.":
        return b""
    told = dns.message.make_response(asked, recursion_available=True)
    soa = dns.rrset.from_text(question.name, 300, "IN", "SOA", SOA.format(name))
    if name == "missing.probe.test.":
        told.set_rcode(dns.rcode.NXDOMAIN)
        told.authority.append(soa)
    elif name == "refused.probe.test.":
        told.set_rcode(dns.rcode.REFUSED)
    elif question.rdtype == dns.rdatatype.SOA:
        told.answer.append(soa)
    elif found := ADDRESSES.get(name, ["192.0.2.1"]):
        told.answer.append(dns.rrset.from_text(question.name, 300, "IN", "A", *found))
    return told.to_wire()


async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
    (size,) = struct.unpack(">H", await reader.readexactly(2))
    told = answer(await reader.readexactly(size))
    writer.write(struct.pack(">H", len(told)) + told)
    await writer.drain()


class OverUdp(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if told := answer(data):
            self._transport.sendto(told, addr)
