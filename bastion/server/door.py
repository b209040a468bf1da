"""May another client connect?  Counts connections, all in all and per client (an IPv6 client is a /64); pure.

The total comes from the descriptors this process may open: each connection may need one more towards a
backend.  From CROWDED on only the bastion's own paths are answered, so that health stays visible; at the
total accepting pauses.
"""

from __future__ import annotations

from collections.abc import Callable

from bastion.network.addresses import client_of
from bastion.runtime.limits import Concurrency

RESERVED = 128  # descriptors for files, the API server, logs
CROWDED = 0.9  # of the total
BUSY = 0.5  # from here on no client has more than a share


def room(descriptors: int) -> int:
    """For connections of clients, and for as many to backends."""
    return max((descriptors - RESERVED) // 2, 16)


class Door:
    """`exempt(address)`: trusted proxies, behind which there are many clients."""

    def __init__(self, descriptors: int, per_address: int, exempt: Callable[[str], bool]) -> None:
        self.total = room(descriptors)
        self._per_address = Concurrency(per_address)
        self._exempt = exempt
        self.inside = 0
        self.turned_away = 0

    def limit(self, per_address: int) -> None:
        """From now on."""
        self._per_address.most = per_address

    def enter(self, address: str) -> bool:
        """False where this address has reached its limit.  Every True is followed by one `leave`."""
        if not self._exempt(address) and not self._enter(client_of(address)):
            self.turned_away += 1
            return False
        self.inside += 1
        return True

    def leave(self, address: str) -> None:
        self.inside -= 1
        if not self._exempt(address):
            self._per_address.leave(client_of(address))

    def enter_stream(self) -> bool:
        """One more of a connection that has one: each may need a connection to a backend.

        False where no descriptor is left for it.  Every True is followed by one `leave_stream`.
        """
        if self.full:
            return False
        self.inside += 1
        return True

    def leave_stream(self) -> None:
        self.inside -= 1

    def _enter(self, client: str) -> bool:
        # With few descriptors the limit of one client may be all of them: room for one more client stays.
        if (
            self._per_address.most
            and self.inside >= self.total * BUSY
            and self._per_address.of(client) >= self.total // (len(self._per_address) + 1)
        ):
            return False
        return self._per_address.enter(client)

    def is_crowded(self) -> bool:
        return self.inside >= self.total * CROWDED

    @property
    def full(self) -> bool:
        return self.inside >= self.total
