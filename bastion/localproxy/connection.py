"""One client's connection: whose it is, and that it is kept alive while it is idle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import cast

from bastion.localproxy.dial import KEEPALIVE_SECONDS, keep_alive
from bastion.localproxy.owner import owner
from bastion.server.http1.protocol import HttpProtocol
from bastion.server.state import ServerState

_TEXT = b"Forbidden: this proxy serves the connections of one user of this machine alone (--only-user)\n"
REFUSED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    % (
        len(_TEXT),
        _TEXT,
    )
)


class RefusedPeer(asyncio.Protocol):
    """Takes what comes until the other side ends: closing at once would destroy the answer."""


class LocalConnection(HttpProtocol):
    """`only_user`: connections of other users of this machine are refused."""

    def __init__(self, server: ServerState, loop: asyncio.AbstractEventLoop, *, only_user: bool) -> None:
        super().__init__(server, loop)
        self._only_user = only_user

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                keep_alive(sock, round(KEEPALIVE_SECONDS))
        if self._only_user and owner(sock) != os.getuid():
            refused = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
            refused.write(REFUSED)
            if refused.can_write_eof():
                refused.write_eof()
            refused.set_protocol(RefusedPeer())
            return
        super().connection_made(transport)
