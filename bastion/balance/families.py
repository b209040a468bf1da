"""· Does a target's address family lead anywhere?

Outcomes of dials in, which family goes last out; time is an argument.

A cluster may have a second family whose routes end nowhere, or rules that drop it.  Two dials in a row that
nobody answered, and none that was, put that family last for its target; now and then one request tries it
first again. Only the order changes: where a pod has no other address, that one is dialled.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

SILENT = 2  # dials in a row that nobody answered
PAUSE_FIRST, PAUSE_MOST = 15.0, 240.0  # seconds until it is tried first again
MAX_TRACKED = 8192  # targets and families


class _Silence:
    __slots__ = ("count", "pause", "until")

    def __init__(self) -> None:
        self.count = 0
        self.pause = PAUSE_FIRST
        self.until = 0.0


class Families:
    """Remembers only what does not answer, per target: what one tenant's pods do changes nothing for
    another's.
    """

    def __init__(self) -> None:
        self._silent: OrderedDict[tuple[Hashable, str], _Silence] = OrderedDict()

    def silent(self, target: Hashable, family: str, now: float) -> None:
        """A dial of it was not answered: not even refused, which somebody does who is there."""
        run = self._silent.get((target, family))
        if run is None:
            if len(self._silent) >= MAX_TRACKED:
                self._silent.popitem(last=False)
            run = self._silent[target, family] = _Silence()
        run.count += 1
        # later ones are those of requests that had nothing else, and put off no probe
        if run.count == SILENT:
            run.until = now + run.pause

    def answered(self, target: Hashable, family: str) -> None:
        if self._silent:
            self._silent.pop((target, family), None)

    def is_last(self, target: Hashable, family: str, now: float) -> bool:
        """A no for one that was silent is the probe: the next is due later, and ever later."""
        run = self._silent.get((target, family)) if self._silent else None
        if run is None or run.count < SILENT:
            return False
        if now < run.until:
            return True
        run.pause = min(run.pause * 2, PAUSE_MOST)
        run.until = now + run.pause
        return False

    def __len__(self) -> int:
        return len(self._silent)
