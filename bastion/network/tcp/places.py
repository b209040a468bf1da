"""· May this client have one more connection?  Pure."""

from __future__ import annotations

from bastion.network.addresses import client_of
from bastion.runtime.limits import Concurrency

BUSY = 0.5  # of all: from here on no client has more than an even share


class Places:
    """At most `most` at a time, and `per_client` of one client (an IPv6 client is a /64), 0 for no limit.

    Where so many (`busy`, a part of all) are taken, a client has its even share at most, and one more could
    come.
    """

    def __init__(self, most: int, per_client: int = 0, busy: float = BUSY) -> None:
        self.most = most
        self._busy = busy
        self.inside = 0
        self._clients = Concurrency(per_client)

    def enter(self, client: str) -> bool:
        """False where there is no room for it.  Every True is followed by one `leave`."""
        key = client_of(client)
        if self.inside >= self.most:
            return False
        if self.inside >= self.most * self._busy and self._clients.of(key) >= self._share():
            return False
        if not self._clients.enter(key):
            return False
        self.inside += 1
        return True

    def _share(self) -> int:
        return self.most // (len(self._clients) + 1)

    def leave(self, client: str) -> None:
        self.inside -= 1
        self._clients.leave(client_of(client))
