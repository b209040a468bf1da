"""TCP to a Service's address: accepted, led to an endpoint, relayed until both sides ended."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from bastion.network.sockets import linger_none, prepare_relayed
from bastion.network.tcp.joining import Dial, Joiner
from bastion.network.tcp.listener import Listener
from bastion.network.tcp.places import Places
from bastion.network.tcp.poller import Poller
from bastion.network.tcp.relay import Relay
from bastion.network.udp import Choose
from bastion.runtime.deadlines import Deadlines

TRIES = (0.25, 0.5, 1.0, 2.0)  # seconds for a connection to an endpoint; the next try takes the next one

_log = logging.getLogger("bastion.node")


class Connections:
    """All that is relayed, TCP connections and UDP flows: at most `most` at a time."""

    def __init__(self, poller: Poller, deadlines: Deadlines, most: int) -> None:
        self.places = Places(most)
        self.deadlines = deadlines
        self.joiner = Joiner(poller, deadlines, prepare_relayed)
        self.relays: set[Relay] = set()
        self.at: Counter[str] = Counter()  # by the address that clients asked for
        self.released: list[Callable[[str], None]] = []  # told of an address that none is left at

    def begin(self, relay: Relay, address: str) -> None:
        self.relays.add(relay)
        self.at[address] += 1

    def end(self, relay: Relay, address: str) -> None:
        self.relays.discard(relay)
        self.at[address] -= 1
        if not self.at[address]:
            del self.at[address]
            for told in self.released:
                told(address)

    def close(self) -> None:
        self.joiner.close()
        for relay in list(self.relays):
            relay.end("the proxy ends")
        self.joiner.poller.end()


class TcpListener:
    """`choose` says where a client goes, `failed` is told of a client whose endpoint could not be reached."""

    def __init__(self, connections: Connections, choose: Choose, failed: Callable[[str], None]) -> None:
        self.connections = connections
        self.choose = choose
        self.failed = failed
        self._listener: Listener | None = None

    def listen(self, sock: socket.socket) -> None:
        prepare_relayed(sock)  # what it accepts inherits it
        self._listener = Listener(self.connections.joiner.poller, sock, self._accepted)

    def close(self) -> None:
        """No more connections; those that are there go on."""
        if self._listener is not None:
            self._listener.close()

    def _accepted(self, sock: socket.socket, peer: Any) -> None:
        if not self.connections.places.enter(peer[0]):
            linger_none(sock)
            sock.close()
            return
        self.connections.joiner.join(sock, _Connection(self, peer[0], sock.getsockname()[0]))


class _Connection:
    """Implements `network.tcp.joining.Forwarded`."""

    __slots__ = ("_address", "_client", "_listener", "_tries")

    def __init__(self, listener: TcpListener, client: str, address: str) -> None:
        """`address`: the one of this node that it came to."""
        self._listener = listener
        self._client = client
        self._address = address
        self._tries = 0

    def next(self) -> Dial | None:
        if self._tries == len(TRIES):
            return None
        chosen = self._listener.choose(self._client)
        self._tries += 1
        return Dial(chosen, TRIES[self._tries - 1]) if chosen is not None else None

    def failed(self, error: OSError) -> None:
        self._listener.failed(self._client)

    def joined(self, relay: Relay) -> None:
        self._listener.connections.begin(relay, self._address)

    def over(self, relay: Relay | None, reason: str) -> None:
        connections = self._listener.connections
        connections.places.leave(self._client)
        if relay is not None:
            connections.end(relay, self._address)
