"""Answers on the link for the addresses that are this node's: ARP and neighbour discovery.

The addresses are on no interface: the rules of the node proxy catch what comes before it is routed.  So
nothing remains that would answer when this process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network

import msgspec

from bastion.node.balancers.claims import Claims
from bastion.node.balancers.link import Link, mac_of
from bastion.node.balancers.ownership import DURATION, TRUST, Lease, Members, owned
from bastion.node.balancers.renewal import LABEL, Renewal
from bastion.node.kernel import Attached
from bastion.node.watching import Key, Lists, Watching

TICK = 0.1  # seconds between looks at who lives
LINKS_EVERY = 5.0  # seconds between looks at the interfaces
REPEATS = (1.1, 2.2, 3.3, 4.4)  # seconds after taking over, for who did not hear it (RFC 5227, 2.3)

_log = logging.getLogger("bastion.node")


def steady() -> float:
    """Seconds; a machine that was suspended knows it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Settings(msgspec.Struct, frozen=True):
    """`interfaces` empty: each whose network an address is of."""

    node: str
    namespace: str
    prefix: str
    interfaces: tuple[str, ...] = ()


class Announcer:
    """`attached` tells the interfaces' addresses; `opened` is told of each on which we announce."""

    def __init__(
        self,
        api: Lists,
        renewal: Renewal,
        settings: Settings,
        attached: Callable[[], list[Attached]],
        opened: Callable[[Iterable[str]], None] = lambda _: None,
        carry: Callable[[frozenset[str]], None] = lambda _: None,
    ) -> None:
        """`carry` is told of the addresses that are ours whenever they change."""
        self.members = Members(settings.node, renewal.began)
        self.mine: frozenset[str] = frozenset()
        self._api = api
        self._renewal = renewal
        self._settings = settings
        self._attached = attached
        self._opened = opened
        self._carry = carry
        self._claims: Claims = {}
        self._links: dict[str, tuple[Link, tuple[Attached, ...]]] = {}
        self._repeats: dict[str, list[float]] = {}  # by address, when it is to be said again
        self._failing: set[str] = set()

    def claim(self, claims: Claims) -> None:
        """What is to be announced, and from where it may be."""
        if claims != self._claims:
            self._claims = claims
            self._look_at_links()
            self._look()

    def answers(self, address: str) -> bool:
        """Asked for each packet: a process that was stopped for a while must not answer before it looks."""
        return address in self.mine and self.members.sure(steady())

    async def run(self) -> None:
        """Until cancelled."""
        watching = asyncio.create_task(self._watch(), name="watching leases")
        renewing = asyncio.create_task(self._renewal.keep(), name="renewing the lease")
        links_due = 0.0
        try:
            while True:
                now = steady()
                if now >= links_due:
                    self._look_at_links()
                    links_due = now + LINKS_EVERY
                self._look()
                await asyncio.sleep(TICK)
        finally:
            self.mine = frozenset()
            self._carry(self.mine)
            for task in (watching, renewing):
                task.cancel()
            await asyncio.gather(watching, renewing, return_exceptions=True)
            await self._renewal.give_up()
            for link, _ in self._links.values():
                link.close()

    # --- who lives

    async def _watch(self) -> None:
        """One that brings nothing while renewals succeed is begun anew."""
        settings = self._settings
        path = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        source = (path, Lease, {"labelSelector": f"{LABEL}={settings.prefix}"})
        while True:
            began = steady()
            task = asyncio.create_task(Watching("leases", self._api, self._put, source=source).run())
            try:
                while not self._is_stale(began):
                    await asyncio.sleep(TICK)
                    if task.done():
                        await task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _is_stale(self, began: float) -> bool:
        now = steady()
        heard = max(self.members.own_seen, began)
        return now - heard > TRUST and now - self._renewal.renewed < TRUST

    def _put(self, key: Key, lease: Lease | None) -> None:
        now = steady()
        if lease is None:
            self.members.drop(key[1])
        else:
            self.members.put(lease, now)

    def _look(self) -> None:
        now = steady()
        before = self.mine
        self.mine = owned(self._settings.node, self._claims, self.members, now)
        if self.mine != before:
            self._carry(self.mine)
        for address in self.mine - before:
            _log.info("announcing %s from now on", address)
            self._repeats[address] = [now + seconds for seconds in REPEATS]
            self._hear()
            self._announce(address)
        for address in before - self.mine:
            _log.info("no longer announcing %s", address)
            self._repeats.pop(address, None)
        if before - self.mine:
            self._hear()
        for address, times in list(self._repeats.items()):
            if times and now >= times[0]:
                times.pop(0)
                self._announce(address)
            elif not times:
                del self._repeats[address]

    # --- the links

    def _look_at_links(self) -> None:
        wanted: dict[str, tuple[Attached, ...]] = {}
        for one in self._attached():
            wanted[one.interface] = (*wanted.get(one.interface, ()), one)
        used = {
            name: attached
            for name, attached in wanted.items()
            if any(self._is_for(name, attached, address) for address in self._claims)
        }
        for name, (link, known) in list(self._links.items()):
            if used.get(name) != known:
                link.close()
                del self._links[name]
        for name in used.keys() - self._links.keys():
            self._open(name, used[name])
        self._hear()

    def _is_for(self, name: str, attached: Iterable[Attached], address: str) -> bool:
        if self._settings.interfaces:
            return name in self._settings.interfaces
        found = ip_address(address)
        return any(
            found in ip_network(f"{one.address}/{one.length}", strict=False) and not _is_host(one)
            for one in attached
            if (":" in one.address) == (":" in address)
        )

    def _open(self, name: str, attached: tuple[Attached, ...]) -> None:
        try:
            if not mac_of(name):
                return
            v6 = sorted((one.address for one in attached if ":" in one.address), key=_link_local_first)
            link = Link(name, socket.if_nametoindex(name), v6[0] if v6 else "", self.answers)
        except OSError as error:
            if name not in self._failing:
                _log.error("nothing can be announced on %s: %s", name, error.strerror)
            self._failing.add(name)
            return
        self._failing.discard(name)
        self._links[name] = (link, attached)
        self._opened([name])
        for address in self.mine:
            if self._is_for(name, attached, address):
                link.announce(address)

    def _hear(self) -> None:
        for name, (link, attached) in self._links.items():
            link.hear(frozenset(one for one in self.mine if self._is_for(name, attached, one)))

    def _announce(self, address: str) -> None:
        for name, (link, attached) in self._links.items():
            if self._is_for(name, attached, address):
                with contextlib.suppress(OSError):
                    link.announce(address)


def _is_host(one: Attached) -> bool:
    """An address that has no network of its own, as on the links to pods."""
    return one.length == (128 if ":" in one.address else 32)


def _link_local_first(address: str) -> tuple[bool, str]:
    return (not address.startswith("fe80:"), address)


assert TRUST < DURATION
