"""Addresses of Services on this host: each is there for as long as a front or a connection needs it."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter

from bastion.node.userspace.interface import Interface
from bastion.node.userspace.tcp import Connections

_log = logging.getLogger("bastion.node")


class Carried:
    """`interface` is None where addresses cannot be put on one."""

    def __init__(self, interface: Interface | None, connections: Connections) -> None:
        self._interface = interface
        self._connections = connections
        self._users: Counter[str] = Counter()  # fronts, by the address on our interface
        connections.released.append(self._drop)

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(self._users)

    def has(self, address: str) -> bool:
        """Whether a front has it; a connection alone keeps it, too."""
        return self._users[address] > 0

    def carry(self, address: str, owner: str) -> None:
        """For one more front.  What cannot be is said."""
        if self._interface is None:
            why = "no CAP_NET_ADMIN, and no --userspace-address-map for it"
            _log.warning("%s: %s is not served: %s", owner, address, why)
            return
        try:
            self._interface.add(address)
        except OSError as error:
            _log.warning("%s: %s is not served: %s", owner, address, error.strerror)
            return
        self._users[address] += 1

    def leave(self, address: str) -> None:
        """One front less: what is relayed outlives its Service."""
        if self.has(address):
            self._users[address] -= 1
            if not self._connections.at[address]:
                self._drop(address)

    def close(self) -> None:
        for address in list(self._users):
            self._users[address] = 0
            self._drop(address)

    def _drop(self, address: str) -> None:
        """As soon as no front and no connection needs it."""
        if address in self._users and not self._users[address] and self._interface is not None:
            del self._users[address]
            with contextlib.suppress(OSError):
                self._interface.remove(address)
