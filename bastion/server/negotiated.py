"""Which version of HTTP does a client's connection speak?  What its TLS handshake agreed on (RFC 7301)."""

from __future__ import annotations

import asyncio

from bastion.server.http1.protocol import HttpProtocol
from bastion.server.state import ServerState

ALPN = ("h2", "http/1.1")  # as we prefer them


class Negotiated(asyncio.Protocol):
    """Gives way to the protocol proper as soon as the handshake is done."""

    def __init__(self, server: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        protocol: asyncio.Protocol
        if tls.selected_alpn_protocol() == ALPN[0]:
            # loaded with the first client that speaks it: four megabytes
            from bastion.network.http2.library import new_codec
            from bastion.server.http2.protocol import Http2Protocol

            protocol = Http2Protocol(self._server, self._loop, new_codec())
        else:
            protocol = HttpProtocol(self._server, self._loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
