"""Puts fronts into force by listening on them.

An address of a Service is put on an interface of ours; where that is not allowed it is served where
--userspace-address-map says, and else not at all.  A port is open while an endpoint is there: closed, the
kernel refuses.  Who may not come, and whom the policy Local has no endpoint for, is met with silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from bastion.network.sockets import admit
from bastion.network.tcp.listener import listening_socket
from bastion.network.udp import UdpListener
from bastion.node.addresses import LOOPBACK, address_of, contains, network_of, of_family
from bastion.node.endpoints import Backend
from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.metrics import Metrics
from bastion.node.rules import Rules
from bastion.node.userspace.admission import gates, program
from bastion.node.userspace.carried import Carried
from bastion.node.userspace.choosing import Turns, backends_for
from bastion.node.userspace.interface import Interface
from bastion.node.userspace.mapping import Mapped, mapped
from bastion.node.userspace.tcp import Connections, TcpListener

_log = logging.getLogger("bastion.node")

AGAIN = 1.0  # seconds until a place that could not be had is tried again; each time twice as long
AGAIN_AT_MOST = 30.0
KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


class Opened(NamedTuple):
    listener: TcpListener | UdpListener
    sock: socket.socket


class UserspaceWriter:
    """Implements `proxier.Writer`; `interface` is None where addresses cannot be put on one; `local` tells
    this node's addresses now.
    """

    def __init__(
        self,
        family: str,
        connections: Connections,
        interface: Interface | None,
        mapping: tuple[Mapped, ...],
        local: Callable[[], list[str]],
    ) -> None:
        self._family = family
        self._connections = connections
        self._mapping = mapping
        self._local = local
        self._rules = Rules(family)
        self._fronts: Fronts = {}
        self._listeners: dict[FrontKey, list[Opened]] = {}
        self._bound: dict[tuple[str, int, str], FrontKey] = {}  # SO_REUSEPORT would let two share it
        self._incomplete: set[FrontKey] = set()  # fronts that lack a place which something else has
        self._one_at_a_time = asyncio.Lock()
        self._trying: asyncio.Task[None] | None = None
        self._turns: dict[tuple[str, str], Turns] = {}
        self._users: Counter[tuple[str, str]] = Counter()  # of turns
        self._carried = Carried(interface, connections)
        self._here: frozenset[str] = frozenset()  # addresses of this node that are not Services'

    async def full(self, rules: Rules, fronts: Fronts) -> None:
        self._rules = rules
        gone = dict.fromkeys(self._fronts.keys() - fronts.keys())
        await self.change({**gone, **fronts})

    async def change(self, changes: Mapping[FrontKey, Front | None]) -> None:
        async with self._one_at_a_time:
            await self._change(changes)
            if self._incomplete and (self._trying is None or self._trying.done()):
                self._trying = asyncio.create_task(self._try_again(), name="ports that were taken")

    async def _change(self, changes: Mapping[FrontKey, Front | None]) -> None:
        self._here = frozenset(self._local()) - self._carried.addresses
        closed = False
        # what goes first makes room for what comes
        for key, front in sorted(changes.items(), key=lambda item: item[1] is not None):
            before = self._fronts.pop(key, None)
            if front is not None:
                self._fronts[key] = front
                self._users[front.owner, key.protocol] += 1
                self._turns.setdefault((front.owner, key.protocol), Turns(random.shuffle))
                if before is None:
                    self._carry(key)
            if before is not None:
                self._forget(before.owner, key.protocol)
                if front is None:
                    self._carried.leave(key.address)
            wanted = front is not None and front.anywhere
            if wanted and key not in self._listeners:
                await self._open(key)
            elif wanted:
                self._admit(key, [opened.sock for opened in self._listeners[key]])
            elif key in self._listeners:
                self._close(key)
                closed = True
        if closed:  # what could not be had may be free now
            await self._complete()

    async def _complete(self) -> None:
        for key in sorted(self._incomplete):
            await self._open(key)

    async def _try_again(self) -> None:
        """What another program listens at is not told when it is free."""
        pause = AGAIN
        while self._incomplete:
            await asyncio.sleep(pause)
            pause = min(2 * pause, AGAIN_AT_MOST)
            async with self._one_at_a_time:
                await self._complete()

    async def intact(self) -> bool:
        return True

    async def disturbed(self) -> None:
        await asyncio.Event().wait()

    def failures(self, metrics: Metrics, family: str, *, partial: bool) -> None:
        """Each listener fails by itself, and says so."""

    def close(self) -> None:
        if self._trying is not None:
            self._trying.cancel()
        for key in list(self._listeners):
            self._close(key)
        self._carried.close()

    # --- one front

    async def _open(self, key: FrontKey) -> None:
        """At each address that it does not listen at yet."""
        kind = KINDS.get(key.protocol)
        if kind is None:
            _log.warning("%s: %s is not served in userspace mode", self._fronts[key].owner, key.protocol)
            return
        listeners = self._listeners.setdefault(key, [])
        lacking = ""
        for address in self._where(key):
            place = (address, key.port, key.protocol)
            holder = self._bound.get(place)
            if holder == key:
                continue
            try:
                if holder is not None:
                    raise OSError(errno.EADDRINUSE, "another Service is mapped there")
                listeners.append(await self._listening(key, address, kind))
            except OSError as error:
                lacking = f"{address} port {key.port}/{key.protocol}: {error.strerror or error}"
                continue
            self._bound[place] = key
        self._told(key, lacking)

    async def _listening(self, key: FrontKey, address: str, kind: int) -> Opened:
        """Raises OSError."""
        sock = listening_socket(address, key.port, kind)
        self._admit(key, [sock])
        if kind == socket.SOCK_STREAM:
            tcp = TcpListener(self._connections, self._chooser(key), self._failed(key))
            tcp.listen(sock)
            return Opened(tcp, sock)
        places, deadlines = self._connections.places, self._connections.deadlines
        udp = UdpListener(places, deadlines, self._chooser(key), self._serves(key))
        await udp.listen(sock)
        return Opened(udp, sock)

    def _admit(self, key: FrontKey, socks: list[socket.socket]) -> None:
        """Others are met with silence, or reset where the kernel takes no such filter."""
        wanted = program(gates(self._fronts[key], self._rules), self._family)
        for sock in socks:
            with contextlib.suppress(OSError):
                admit(sock, wanted)

    def _told(self, key: FrontKey, lacking: str) -> None:
        """Once, and once more when it is all right."""
        owner = self._fronts[key].owner
        if lacking and key not in self._incomplete:
            _log.warning("%s: cannot listen at %s; it is tried again", owner, lacking)
            self._incomplete.add(key)
        elif not lacking and key in self._incomplete:
            _log.info("%s: port %d/%s is free now: listening", owner, key.port, key.protocol)
            self._incomplete.discard(key)

    def _where(self, key: FrontKey) -> list[str]:
        """The addresses to listen at; empty, with a word, where it cannot be served."""
        if not key.address:
            ranges = [*of_family(self._rules.node_ports, self._family)]
            loopback = network_of(LOOPBACK[self._family])
            assert loopback is not None
            return [
                address
                for address in sorted(self._here)
                if address_of(address, self._family)
                and (contains(ranges, address) if ranges else True)
                and not address.startswith("fe80:")
                and (self._rules.localhost_node_ports or not contains([loopback], address))
            ]
        elsewhere = mapped(key.address, self._mapping)
        return (
            [elsewhere or key.address]
            if elsewhere or key.address in self._here or self._carried.has(key.address)
            else []
        )

    def _close(self, key: FrontKey) -> None:
        for opened in self._listeners.pop(key):
            opened.listener.close()
        self._incomplete.discard(key)
        self._bound = {place: owner for place, owner in self._bound.items() if owner != key}

    def _carry(self, key: FrontKey) -> None:
        """Also where there is no endpoint: what is closed there the kernel refuses."""
        address = key.address
        if address and not mapped(address, self._mapping) and address not in self._here:
            self._carried.carry(address, self._fronts[key].owner)

    def _forget(self, owner: str, protocol: str) -> None:
        self._users[owner, protocol] -= 1
        if not self._users[owner, protocol]:
            del self._users[owner, protocol]
            del self._turns[owner, protocol]

    # --- what listeners ask

    def _chooser(self, key: FrontKey) -> Callable[[str], Backend | None]:
        def choose(client: str) -> Backend | None:
            front = self._fronts.get(key)
            if front is None:
                return None
            backends = backends_for(front, self._rules, client, self._here | self._carried.addresses)
            if not backends:
                return None
            now = asyncio.get_running_loop().time()
            return self._turns[front.owner, key.protocol].take(backends, client, front.affinity, now)

        return choose

    def _failed(self, key: FrontKey) -> Callable[[str], None]:
        def failed(client: str) -> None:
            front = self._fronts.get(key)
            if front is not None:
                self._turns[front.owner, key.protocol].failed(client)

        return failed

    def _serves(self, key: FrontKey) -> Callable[[Backend], bool]:
        def serves(backend: Backend) -> bool:
            front = self._fronts.get(key)
            return front is not None and (backend in front.cluster or backend in front.local)

        return serves
