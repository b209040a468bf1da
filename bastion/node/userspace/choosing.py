"""· Which endpoint does a new connection of this client go to?

In turn, in an order of their own for each port of a Service; with session affinity the one that the client
had, for as long as it comes back in time.  An endpoint that could not be reached is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bastion.node.addresses import contains, network_of
from bastion.node.endpoints import Backend
from bastion.node.fronts import Front
from bastion.node.rules import Rules

MOST_REMEMBERED = 65536  # clients of one port


class Turns:
    """One for each port of a Service, whichever of its addresses is used; `shuffle` is given a list."""

    def __init__(self, shuffle: Callable[[list[Backend]], None]) -> None:
        self._shuffle = shuffle
        self._order: list[Backend] = []
        self._next = 0
        self._remembered: OrderedDict[str, tuple[Backend, float]] = OrderedDict()

    def take(self, backends: tuple[Backend, ...], client: str, affinity: int, now: float) -> Backend:
        """`affinity` in seconds, 0 for none.  There is one at least."""
        chosen = None
        if affinity:
            known = self._remembered.pop(client, None)
            if known is not None and now < known[1] and known[0] in backends:
                chosen = known[0]
        chosen = chosen or self._in_turn(backends)
        if affinity:
            self._remembered[client] = (chosen, now + affinity)
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return chosen

    def failed(self, client: str) -> None:
        self._remembered.pop(client, None)

    def _in_turn(self, backends: tuple[Backend, ...]) -> Backend:
        if not set(backends) <= set(self._order):
            self._order = list(backends)
            self._shuffle(self._order)
        allowed = set(backends)
        while True:
            chosen = self._order[self._next % len(self._order)]
            self._next += 1
            if chosen in allowed:
                return chosen


def backends_for(front: Front, rules: Rules, client: str, own: frozenset[str]) -> tuple[Backend, ...]:
    """Empty where the client may not come, or no endpoint is meant for it; `own` are this node's
    addresses.
    """
    if front.sources and not _within(front.sources, client):
        return ()
    if front.splits and (client in own or _within(rules.detection.cidrs, client)):
        return front.cluster
    return front.backends


def _within(texts: tuple[str, ...], address: str) -> bool:
    return contains(filter(None, map(network_of, texts)), address)
