"""Who is at the other end of a connection, as far as the connection itself says?"""

from __future__ import annotations

import asyncio

from bastion.network.addresses import parse_address, unmapped
from bastion.server.http1.connection import Peer
from bastion.server.tls import peer_certificates


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    name = transport.get_extra_info("peername")
    address = client_address(name[0]) if name else ""
    tls = transport.get_extra_info("ssl_object")
    return Peer(address) if tls is None else Peer(address, b"https", peer_certificates(tls))


def client_address(text: str) -> str:
    """Without a scope, and an IPv4 address as such also where it came over an IPv6 socket."""
    address = parse_address(text.partition("%")[0])
    return str(unmapped(address)) if address is not None else text
