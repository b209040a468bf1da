"""The healthCheckNodePorts: one listener for each Service that wants one, on the addresses that take
NodePorts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from bastion.network.responder import Page, Responder
from bastion.node.claims import ServiceKey
from bastion.node.health import Health, service_health

_log = logging.getLogger("bastion.node")

Check = tuple[ServiceKey, str]  # of a family
Failed = Callable[[ServiceKey, int, OSError], None]


class Checks:
    """`addresses` says where to listen now for a family; `failed` is told of a port that is taken."""

    def __init__(self, health: Health, addresses: Callable[[str], list[str]], failed: Failed) -> None:
        self._health = health
        self._addresses = addresses
        self._failed = failed
        self._open: dict[Check, tuple[int, Responder | None]] = {}
        self._local: dict[Check, int] = {}
        self._due = asyncio.Event()

    def look(self) -> None:
        """What is in force has changed."""
        self._due.set()

    async def keep(self, wanted: Callable[[], dict[Check, tuple[int, int]]]) -> None:
        """Until cancelled: see `settle`."""
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                await self.settle(wanted())
        finally:
            self.close()

    async def settle(self, wanted: dict[Check, tuple[int, int]]) -> None:
        """`wanted`: (port, endpoints here); those of another family are another check."""
        self._local = {key: local for key, (_, local) in wanted.items()}
        for key, (port, responder) in list(self._open.items()):
            if wanted.get(key, (0, 0))[0] != port:
                if responder is not None:
                    responder.close()
                del self._open[key]
        for key, (port, _) in wanted.items():
            if key not in self._open:
                self._open[key] = (port, await self._listen(key, port))

    def close(self) -> None:
        for _, responder in self._open.values():
            if responder is not None:
                responder.close()

    async def _listen(self, key: Check, port: int) -> Responder | None:
        """None where the port is taken: the Service works nevertheless."""
        responder = Responder(lambda _: self._page(key))
        try:
            await responder.listen(self._addresses(key[1]), port)
        except OSError as error:
            self._failed(key[0], port, error)
            return None
        return responder

    def _page(self, key: Check) -> Page:
        healthy = self._health.healthy(time.time_ns())
        status, body, fields = service_health(key[0], self._local.get(key, 0), healthy)
        return Page(status, body, "application/json", fields)
