"""Is an API server ready?  Its /readyz over one kept connection, whose loss is news by itself."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from bastion.balance.readiness import Outcome
from bastion.kube.endpoint import Endpoint
from bastion.network.dial import Dialer
from bastion.network.errors import DialError, NetworkError
from bastion.network.http1.connection import Connection

DEADLINE = 0.8  # seconds


class Prober:
    """`head` gives the request; `lost` is called when the connection breaks between two probes."""

    def __init__(
        self,
        dialer: Dialer,
        endpoint: Endpoint,
        head: Callable[[Endpoint], Awaitable[bytes]],
        lost: Callable[[], None],
    ) -> None:
        self._dialer = dialer
        self._endpoint = endpoint
        self._head = head
        self._lost = lost
        self._kept: Connection | None = None
        self._was_well = False  # on this connection

    async def probe(self) -> Outcome:
        try:
            async with asyncio.timeout(DEADLINE):
                kept = self._kept is not None
                try:
                    status = await self._ask()
                except NetworkError as error:
                    # a server may close what it kept, at any moment
                    if not kept or isinstance(error, DialError):
                        raise
                    self.close()
                    status = await self._ask()
        except DialError as error:
            self.close()
            return outcome_of(error)
        except (TimeoutError, NetworkError):
            self.close()
            return Outcome.SILENT
        if status == 200:  # 403 is what a starting server says
            self._was_well = True
            return Outcome.WELL
        return Outcome.UNWELL if self._was_well else Outcome.STRANGE

    async def _ask(self) -> int:
        """Raises NetworkError."""
        head = await self._head(self._endpoint)
        connection = self._kept or await self._dial()
        connection.begin(head, to_head=False, answer_within=DEADLINE, body_idle=DEADLINE)
        connection.sent()
        response = await connection.answer()
        while await response.read():
            pass
        if connection.reusable:
            connection.rest()
        else:
            self._kept = None  # announced, and so no news
            connection.close()
        return response.status

    async def _dial(self) -> Connection:
        loop = asyncio.get_running_loop()
        self._was_well = False
        self._kept = await self._dialer.dial(
            self._endpoint, lambda: Connection(self._endpoint, loop, self._gone)
        )
        return self._kept

    def _gone(self, connection: Connection) -> None:
        if connection is self._kept:
            between = not connection.busy
            self._kept = None
            if between:
                self._lost()

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()


def outcome_of(error: DialError) -> Outcome:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return Outcome.UNTRUSTED
    return Outcome.SILENT if error.silent or isinstance(cause, TimeoutError) else Outcome.REFUSED
