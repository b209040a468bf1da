"""The values of all rows, made once for all who listen.

A thousand listeners cost one look at the targets a second, and each of them only what has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from bastion.web.charts import line
from bastion.web.openable.plan import Rights
from bastion.web.portal.inventory import Inventory
from bastion.web.portal.rows import Row

EVERY = 1.0  # seconds, at least
PART = 20  # a look takes at most the so-manieth part of the time

Values = tuple[str, str, str, str, int, int, str]  # ref, state, word, latency, ready, of, path of the trend


def values_of(row: Row) -> Values:
    return (row.ref, row.state, row.word, row.latency, row.ready, row.of, line(row.trend)[0])


class Board:
    """Of one kind of target.  `clock` in seconds."""

    def __init__(self, inventory: Inventory, resource: str, clock: Callable[[], float]) -> None:
        self._inventory = inventory
        self._resource = resource
        self._clock = clock
        self._next = 0.0
        self._values: dict[str, tuple[Values, int]] = {}
        self.version = 0

    async def look(self) -> None:
        """Where the last look is old enough."""
        if self._clock() < self._next:
            return
        began = self._clock()
        self._next = began + EVERY
        await self._inventory.probes.look()
        self.version += 1
        found = {}
        for subject in self._inventory.subjects(self._resource):
            new = values_of(self._inventory.row(subject, _ALL))
            old = self._values.get(subject.ref)
            found[subject.ref] = old if old is not None and old[0] == new else (new, self.version)
        self._values = found
        self._next = began + max(EVERY, PART * (self._clock() - began))

    def states(self, refs: Collection[str]) -> dict[str, str]:
        return {ref: known[0][1] for ref in refs if (known := self._values.get(ref)) is not None}

    def changed(self, refs: Collection[str], since: int) -> list[Values]:
        """Of these, what is newer than the version `since`."""
        if since >= self.version:
            return []
        return [known[0] for ref in refs if (known := self._values.get(ref)) is not None and known[1] > since]


_ALL = Rights()  # values are the same for all: who may see them is asked elsewhere
