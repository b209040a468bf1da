"""Does a server accept connections?  What is asked of those that are no API servers."""

from __future__ import annotations

import asyncio
import socket

from bastion.balance.readiness import Outcome
from bastion.network.sockets import linger_none

DEADLINE = 0.8  # seconds


class ConnectProber:
    """Implements `servers.Prober`.  A connection that is reset at once leaves nothing behind at the
    server.
    """

    def __init__(self, place: tuple[str, int]) -> None:
        self._place = place

    async def probe(self) -> Outcome:
        family = socket.AF_INET6 if ":" in self._place[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            try:
                async with asyncio.timeout(DEADLINE):
                    await asyncio.get_running_loop().sock_connect(sock, self._place)
            except TimeoutError:
                return Outcome.SILENT
            except OSError:
                return Outcome.REFUSED
            linger_none(sock)
        return Outcome.WELL

    def close(self) -> None:
        """Nothing is kept."""
