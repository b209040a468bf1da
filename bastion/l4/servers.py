"""Which servers are there, and how are they?

Each is checked twice a second, and sooner after a connection to it failed.  One that says no gets nothing
new and keeps what it has.  One that falls silent loses what it has, so that its clients go on elsewhere:
no reset would come from a machine that is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

from bastion.balance.checking import LEAST, Prober, keep_checking
from bastion.balance.readiness import Health, Outcome, State, doubted, observe
from bastion.l4.choice import Load, fit
from bastion.network.tcp.relay import Relay

EVERY, EVERY_WHILE_AWAY = 0.5, 0.25  # seconds
LOOK = 1.0  # seconds between looks at which servers there are

_log = logging.getLogger("bastion.lb")


class Named(NamedTuple):
    """`readyz`: it is an API server; `server_name` is what its certificate must be for, `secure` False: plain
    HTTP.
    """

    address: str
    port: int
    readyz: bool = False
    server_name: str = ""
    secure: bool = True

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Server:
    """`made` and `failed` count its connections."""

    def __init__(self, named: Named) -> None:
        self.named = named
        self.name = str(named)
        self.place = (named.address, named.port)
        self.health = Health()
        self.leaving = False
        self.load = Load()
        self.made = self.failed = 0
        self.moved = [0, 0]  # bytes from clients and to them, of connections that are over
        self.relays: set[Relay] = set()
        self.due = asyncio.Event()  # the next check


Choose = Callable[[tuple[Server, ...], int, float], Server]


class Group:
    """The servers that connections of one kind go to.

    `members` are those of the moment; `prober` makes what checks one of them, with what is to be called where
    it loses its connection; None: they are never checked.  `pick` is one of `choice`.
    """

    def __init__(
        self,
        name: str,
        members: Callable[[], Collection[Named]],
        prober: Callable[[Named, Callable[[], None]], Prober] | None,
        pick: Choose,
    ) -> None:
        self.name = name
        self._members = members
        self._prober = prober
        self._pick = pick
        self._known: dict[Named, Server] = {}
        self._tasks: dict[Server, asyncio.Task[None]] = {}
        self._tiers: tuple[tuple[Server, ...], ...] = ()
        self._turn = 0

    @property
    def servers(self) -> Collection[Server]:
        return self._known.values()

    @property
    def serves(self) -> bool:
        """Whether a connection would be led anywhere."""
        return bool(self._tiers)

    def choose(self, now: float, tried: Collection[Server] = ()) -> Server | None:
        """None where none may be asked, or all that may were tried."""
        self._turn += 1
        for tier in self._tiers:
            left = tuple(one for one in tier if one not in tried) if tried else tier
            if left:
                return self._pick(left, self._turn, now) if len(left) > 1 else left[0]
        return None

    def undialled(self, server: Server, error: OSError) -> None:
        """A connection could not be made: where it was refused no check is needed."""
        server.failed += 1
        if self._prober is None:
            return
        # many connections miss it at once, which is one miss
        if not isinstance(error, TimeoutError):
            self._observed(server, Outcome.REFUSED)
        server.due.set()

    # --- health

    async def begin(self) -> None:
        """Returns once each was checked."""
        self._update()
        while any(one.health == Health() for one in self.servers):  # noqa: ASYNC110 within a second
            await asyncio.sleep(LEAST / 5)

    async def keep(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK)
                self._update()
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _update(self) -> None:
        members = frozenset(self._members())
        for named in members - self._known.keys():
            server = self._known[named] = Server(named)
            if self._prober is None:
                server.health = Health(State.READY)
            else:
                self._tasks[server] = asyncio.create_task(self._watch(server), name=f"check {named}")
        for named, server in list(self._known.items()):
            server.leaving = named not in members
            if server.leaving and not server.load.busy:
                if (task := self._tasks.pop(server, None)) is not None:
                    task.cancel()
                del self._known[named]
        self._arrange()

    def _arrange(self) -> None:
        # in one order, so that turns are even
        self._tiers = fit(sorted(self.servers, key=lambda one: one.name))

    async def _watch(self, server: Server) -> None:
        def lost() -> None:
            server.health = doubted(server.health)
            self._arrange()
            server.due.set()

        assert self._prober is not None
        prober = self._prober(server.named, lost)
        await keep_checking(prober, partial(self._observed, server), server.due, EVERY, EVERY_WHILE_AWAY)

    def _observed(self, server: Server, outcome: Outcome) -> Health:
        before = server.health
        server.health = health = observe(before, outcome)
        if health != before:
            self._arrange()
        if health.state is not before.state:
            self._changed(server, outcome)
        return health

    def _changed(self, server: Server, outcome: Outcome) -> None:
        state = server.health.state
        log = _log.info if state is State.READY else _log.warning
        log("the server %s is %s (%s)", server.name, state.value, outcome.value)
        # one that refuses connections may still end those that it has in good order
        if state is State.DEAD and outcome is Outcome.SILENT:
            for relay in list(server.relays):
                relay.end("the server is silent", reset=True)
