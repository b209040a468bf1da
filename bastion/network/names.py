"""Which sockets do the API servers' URLs lead to?

Names are resolved at start and every 30 seconds, never while a request waits.

No target is ever resolved: this is only to know what may not be dialled.  An address counts for an hour after
a name last had it, because names with many addresses return a few at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from bastion.network.addresses import parse_address

EVERY = 30.0  # seconds
KEPT = 3600.0  # seconds after a name last had an address
MOST = 1024  # sockets kept for names; no API server has as many
PATIENCE = 5.0  # seconds that one look may take

Socket = tuple[str, int]
Resolve = Callable[[str, int], Awaitable[Iterable[str]]]

_log = logging.getLogger("bastion.network")


async def addresses_of(host: str, port: int) -> Iterable[str]:
    """Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {str(address[0]).partition("%")[0] for *_, address in found}


class ApiSockets:
    """Call it for all (address, port).

    `clock` in seconds from any start; `more` is awaited at each look, too.
    """

    def __init__(
        self,
        urls: Iterable[str],
        clock: Callable[[], float],
        resolve: Resolve = addresses_of,
        more: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        sockets = {_socket_of(url) for url in urls}
        self._names = sorted((host, port) for host, port in sockets if parse_address(host) is None)
        self._literal = tuple(sorted(sockets - set(self._names)))
        self._seen: dict[Socket, float] = {}
        self._failing: set[str] = set()
        self._clock = clock
        self._resolve = resolve
        self._more = more
        self._now = self._literal

    def __call__(self) -> tuple[Socket, ...]:
        return self._now

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self.look()

    async def look(self) -> None:
        """Resolve every name once."""
        if self._more is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._more()
        await asyncio.gather(*(self._look(host, port) for host, port in self._names))
        oldest = self._clock() - KEPT
        self._seen = {one: seen for one, seen in self._seen.items() if seen >= oldest}
        self._now = (*self._literal, *self._seen)

    async def _look(self, host: str, port: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._resolve(host, port)
        except (OSError, TimeoutError, UnicodeError) as error:
            if host not in self._failing:  # said once, not every 30 seconds
                _log.warning(
                    "cannot resolve %s, an API server: a target with its address would not be refused (%s)",
                    host,
                    _cause(error),
                )
            self._failing.add(host)
            return
        self._failing.discard(host)
        for address in found:
            if len(self._seen) < MOST or (address, port) in self._seen:
                self._seen[(address, port)] = self._clock()


def _socket_of(url: str) -> Socket:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _cause(error: Exception) -> str:
    return "timed out" if isinstance(error, TimeoutError) else str(error)
