"""What do the connections of one server share?

Its application, its limits in time and number, and who is connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bastion.kube.status import StatusError
from bastion.observe.auditids import AuditIds
from bastion.proxy.exchange import Exchange
from bastion.runtime.deadlines import Deadlines
from bastion.server.dates import DateLine
from bastion.server.door import Door
from bastion.settings.sections import Timeouts


class ClientConnection(Protocol):
    """One of a client's, under whatever version of HTTP.  `lasting`: what is under way there is a stream."""

    deadline: float | None

    @property
    def lasting(self) -> bool: ...

    def expired(self) -> None: ...

    def end_exchange(self, reason: str) -> None: ...

    def shut_down(self) -> None:
        """No more requests after the one under way."""
        ...


class Application(Protocol):
    async def serve(self, exchange: Exchange) -> None: ...

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        """A request whose head could not be read: answer it, and tell the observers."""
        ...


def nothing() -> None:
    pass


@dataclass(slots=True)
class ServerState:
    app: Application
    deadlines: Deadlines
    door: Door = field(default_factory=lambda: Door(1 << 20, 0, lambda address: False))
    timeouts: Timeouts = field(default_factory=Timeouts)
    end_tunnels: Callable[[], None] = nothing
    connections: set[ClientConnection] = field(default_factory=set)
    hijacked: set[ClientConnection] = field(default_factory=set)  # of the connections, those that are tunnels
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
    date_line: Callable[[], bytes] = field(default_factory=DateLine)
    audit_id: Callable[[], str] = field(default_factory=AuditIds)
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # set while there is no connection

    def __post_init__(self) -> None:
        self.idle.set()

    def opened(self, connection: ClientConnection) -> None:
        self.connections.add(connection)
        self.deadlines.add(connection)
        self.idle.clear()

    def lost(self, connection: ClientConnection) -> None:
        self.connections.discard(connection)
        self.deadlines.discard(connection)
        if not self.connections:
            self.idle.set()

    @property
    def exchanges(self) -> int:
        return len(self.tasks)
