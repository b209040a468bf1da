"""What do the connections of one server share?  Its application, its limits in time and number, and who is connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bastion.clock import Deadlines
from bastion.kube.status import StatusError
from bastion.observe.auditids import AuditIds
from bastion.server.door import Door
from bastion.server.exchange import DateLine, HttpExchange

if TYPE_CHECKING:
    from bastion.server.protocol import HttpProtocol


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.  `head` runs from the connection (or the first byte of a later request) to the end of the head."""

    head: float = 10.0
    keep_alive: float = 60.0
    body_idle: float = 60.0
    write_stall: float = 60.0


class Application(Protocol):
    async def serve(self, exchange: HttpExchange) -> None: ...

    def refuse(self, exchange: HttpExchange, error: StatusError) -> None:
        """A request whose head could not be read: answer it, and tell the observers."""
        ...


def nothing() -> None:
    pass


@dataclass(slots=True)
class ServerState:
    app: Application
    deadlines: Deadlines
    door: Door = field(default_factory=lambda: Door(1 << 20, 0, lambda address: False))
    timeouts: Timeouts = Timeouts()
    end_tunnels: Callable[[], None] = nothing
    connections: set[HttpProtocol] = field(default_factory=set)
    hijacked: set[HttpProtocol] = field(default_factory=set)  # of the connections, those that are tunnels
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
    date_line: Callable[[], bytes] = field(default_factory=DateLine)
    audit_id: Callable[[], str] = field(default_factory=AuditIds)
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # set while there is no connection

    def __post_init__(self) -> None:
        self.idle.set()

    def opened(self, connection: HttpProtocol) -> None:
        self.connections.add(connection)
        self.deadlines.add(connection)
        self.idle.clear()

    def lost(self, connection: HttpProtocol) -> None:
        self.connections.discard(connection)
        self.deadlines.discard(connection)
        if not self.connections:
            self.idle.set()

    @property
    def exchanges(self) -> int:
        return len(self.tasks)
