"""What do the connections of one server share?

Its application, its limits in time and number, and the set of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from bastion.kube.status import StatusError
from bastion.message.person import ErrorFacts, ErrorPage
from bastion.observe.auditids import AuditIds
from bastion.proxy.callplan import CallPlan
from bastion.proxy.exchange import Exchange
from bastion.proxy.plan import Plan, Plans
from bastion.runtime.deadlines import Deadlines
from bastion.server.dates import DateLine
from bastion.server.door import Door
from bastion.server.http2.response import Written
from bastion.settings.sections import Timeouts

BODY_GRACE = 30.0


class ClientConnection(Protocol):
    """Of any version of HTTP.  `lasting`: a long exchange is under way."""

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
        """Answer a request whose head could not be read, and record it."""
        ...


@dataclass(frozen=True, slots=True)
class Remembering:
    """`begin` carries out a plan without a task, or returns False; `go_on` is for one that a task has now."""

    plans: Plans
    begin: Callable[[Exchange, Plan | CallPlan], bool]
    go_on: Callable[[Any], Awaitable[None]]


def nothing() -> None:
    pass


def unrecorded(exchange: Exchange) -> None:
    pass


class ServerStatistics(NamedTuple):
    """`turned_away`: connections that were closed because too many were open; `http2` of them speak that."""

    connections: int
    exchanges: int
    turned_away: int
    http2: int


@dataclass(slots=True)
class ServerState:
    app: Application
    deadlines: Deadlines
    door: Door = field(default_factory=lambda: Door(1 << 20, 0, lambda address: False))
    timeouts: Timeouts = field(default_factory=Timeouts)
    end_tunnels: Callable[[], None] = nothing
    end_watches: Callable[[], None] = (
        nothing  # once nothing new is accepted: their clients come again elsewhere
    )
    connections: set[ClientConnection] = field(default_factory=set)
    hijacked: set[ClientConnection] = field(default_factory=set)  # of the connections, those that are tunnels
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    left: Callable[[Exchange], None] = unrecorded  # its client left before it was served
    http2_connections: int = 0  # of the connections
    direct: int = 0  # exchanges under way that have no task
    remembering: Remembering | None = None  # None: nothing is remembered
    # readiness fails from then on; requests are still served for a while
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False
    any_target: bool = False  # request targets may hold bytes that no URI does
    tunnels: bool = False  # it is a proxy for tunnels and absolute URLs, too
    body_grace: float = BODY_GRACE  # seconds for which a body is waited for in all before its rate counts
    date_line: Callable[[], bytes] = field(default_factory=DateLine)
    audit_id: Callable[[], str] = field(default_factory=AuditIds)
    error_page: Callable[[ErrorFacts], ErrorPage] | None = None  # for people; None: all get a Status
    written: Written = field(default_factory=Written)
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

    def ended(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step never began to serve: not even its own `finally`
        would say that it is over.
        """
        if task.cancelled():
            self.left(exchange)

    def begin_directly(self, exchange: Exchange, plan: Plan | CallPlan | None) -> bool:
        """Without a task, for as long as that goes; False where it needs one from the start."""
        remembering = self.remembering
        if plan is None or remembering is None:
            return False
        self.direct += 1
        if remembering.begin(exchange, plan):
            return True
        self.direct -= 1
        return False

    def go_on(self, exchange: Exchange) -> Callable[[], Awaitable[None]]:
        """What a task does from here on with what was begun without one."""
        direct, exchange.direct = exchange.direct, None
        assert self.remembering is not None
        self.direct -= 1
        return partial(self.remembering.go_on, direct)

    @property
    def plans(self) -> Plans | None:
        """None where nothing is remembered."""
        return self.remembering.plans if self.remembering is not None else None

    @property
    def exchanges(self) -> int:
        return len(self.tasks) + self.direct

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(
            len(self.connections), self.exchanges, self.door.turned_away, self.http2_connections
        )
