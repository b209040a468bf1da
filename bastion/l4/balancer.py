"""From an accepted connection to a server: who is the client, and which servers does it mean?"""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from bastion.l4 import clienthello, proxyprotocol
from bastion.l4.accessline import CLEAN, Ended
from bastion.l4.opening import Opening
from bastion.l4.servers import Group, Server
from bastion.network.addresses import Network, unmapped
from bastion.network.sockets import linger_none
from bastion.network.tcp.joining import Dial, Joiner
from bastion.network.tcp.places import Places
from bastion.network.tcp.relay import Relay

Peer = tuple[str, int]

_log = logging.getLogger("bastion.lb")


class Ways(NamedTuple):
    """`groups` by the host that a TLS client names, `*.example` for all below; `others`: where all else
    goes.
    """

    groups: Mapping[str, Group]
    others: Group | None

    def group_of(self, name: str) -> Group | None:
        found = self.groups.get(name)
        while found is None and "." in name:
            name = name.partition(".")[2]
            found = self.groups.get(f"*.{name}")
        return found or self.others

    @property
    def all(self) -> tuple[Group, ...]:
        others = (self.others,) if self.others is not None else ()
        return (*dict.fromkeys(self.groups.values()), *others)


class Balancer:
    """`told` is called for each connection that is over; `send` is v1, v2 or none."""

    def __init__(
        self,
        ways: Ways,
        joiner: Joiner,
        places: Places,
        patience: float,
        *,
        send: str = "none",
        trusted: tuple[Network, ...] = (),
        told: Callable[[Ended], None] = lambda ended: None,
    ) -> None:
        """`patience` in seconds, for a connection to a server; `trusted`: who sends PROXY headers."""
        self.ways = ways
        self.joiner = joiner
        self.places = places
        self.patience = patience
        self.send = send
        self.told = told
        self.connections: set[Connection] = set()
        self.turned_away: Counter[str] = Counter()  # by reason
        self._trusted = trusted

    def accepted(self, sock: socket.socket, peer: Any) -> None:
        """Of a `Listener`."""
        client = (peer[0], peer[1])
        if self._trusted and self._is_trusted(peer[0]):
            Opening(
                self.joiner.poller,
                sock,
                b"",
                proxyprotocol.read,
                proxyprotocol.BadHeader,
                lambda header, data: self._introduced(sock, client, header, data),
            )
        else:
            self._enter(sock, client, b"")

    def _is_trusted(self, text: str) -> bool:
        address = unmapped(ip_address(text.partition("%")[0]))
        return any(address in network for network in self._trusted)

    def _introduced(
        self, sock: socket.socket, peer: Peer, header: proxyprotocol.Header | None, data: bytes
    ) -> None:
        if header is None:
            return self._turn_away(sock, "no PROXY header")
        return self._enter(sock, header.client or peer, data[header.size :], header.to)

    def _enter(self, sock: socket.socket, client: Peer, early: bytes, to: Peer | None = None) -> None:
        """`to`: where the client went, where a balancer in front says so."""
        if not self.places.enter(client[0]):
            return self._turn_away(sock, "too many connections")
        connection = Connection(self, sock, client, to)
        self.connections.add(connection)
        if not self.ways.groups:
            connection.lead(self.ways.others, early)
            return None
        Opening(
            self.joiner.poller,
            sock,
            early,
            clienthello.read,
            clienthello.NoHello,
            connection.named,
        )
        return None

    def _turn_away(self, sock: socket.socket, reason: str) -> None:
        self.turned_away[reason] += 1
        linger_none(sock)
        self.joiner.poller.close(sock)


class Connection:
    """Implements `network.tcp.joining.Forwarded`."""

    __slots__ = (
        "_at",
        "_balancer",
        "_began",
        "_client",
        "_group",
        "_name",
        "_server",
        "_sock",
        "_to",
        "_tried",
        "relay",
    )

    def __init__(self, balancer: Balancer, sock: socket.socket, client: Peer, to: Peer | None) -> None:
        self._to = to
        self._balancer = balancer
        self._sock = sock
        self._client = client
        self._at = time.time()
        self._began = balancer.joiner.poller.loop.time()
        self._name = ""
        self._group: Group | None = None
        self._server: Server | None = None
        self._tried: tuple[Server, ...] = ()
        self.relay: Relay | None = None

    def named(self, hello: clienthello.Hello | None, data: bytes) -> None:
        """What is not TLS goes where all else goes."""
        ways = self._balancer.ways
        self._name = hello.name if hello is not None else ""
        if hello is None and not data:
            self._leave("no hello")
            return
        group = ways.group_of(self._name)
        if group is None:
            self._sock.send(clienthello.UNRECOGNIZED_NAME)
            self._leave("no server of that name")
            return
        self.lead(group, data)

    def lead(self, group: Group | None, early: bytes) -> None:
        self._group = group
        send, prefix = self._balancer.send, b""
        if send != "none":
            to = self._to or self._sock.getsockname()[:2]
            prefix = proxyprotocol.written(send, self._client, to)
        self._balancer.joiner.join(self._sock, self, early, prefix)

    def _leave(self, reason: str) -> None:
        """Before it was led anywhere."""
        self._balancer.joiner.poller.close(self._sock)
        self.over(None, reason)

    # --- what the joiner asks

    def next(self) -> Dial | None:
        now = self._balancer.joiner.poller.loop.time()
        server = self._group.choose(now, self._tried) if self._group is not None else None
        if server is None:
            return None
        self._server = server
        server.load.begin()
        return Dial(server.place, self._balancer.patience)

    def failed(self, error: OSError) -> None:
        server, group = self._server, self._group
        assert server is not None and group is not None
        server.load.end(self._balancer.joiner.poller.loop.time())
        self._server = None
        self._tried = (*self._tried, server)
        group.undialled(server, error)

    def joined(self, relay: Relay) -> None:
        server = self._server
        assert server is not None
        self.relay = relay
        server.made += 1
        server.relays.add(relay)

    def over(self, relay: Relay | None, reason: str) -> None:
        balancer, server = self._balancer, self._server
        balancer.connections.discard(self)
        balancer.places.leave(self._client[0])
        moved = (relay.client.received, relay.backend.received) if relay is not None else (0, 0)
        if server is not None:
            server.load.end(balancer.joiner.poller.loop.time())
            if relay is not None:
                server.relays.discard(relay)
                server.moved[0] += moved[0]
                server.moved[1] += moved[1]
        if relay is None:
            balancer.turned_away[reason] += 1
        balancer.told(self._ended(server, moved, reason))

    def _ended(self, server: Server | None, moved: tuple[int, int], reason: str) -> Ended:
        loop = self._balancer.joiner.poller.loop
        return Ended(
            at=self._at,
            client=self._client,
            server=server.name if server is not None else "",
            seconds=loop.time() - self._began,
            bytes_in=moved[0],
            bytes_out=moved[1],
            end=reason or CLEAN,
            name=self._name,
        )

    def end(self, reason: str) -> None:
        """Whatever it is doing."""
        if self.relay is not None:
            self.relay.end(reason)
