"""· Is a target reachable by each address family?  Pure: time is an argument.

In a cluster the second family may have no routes, or rules may drop it.  After two dials in a row without any
response that family is tried last for its target; from time to time one request tries it first again.  Only
the order changes: where a pod has no other address, that one is dialled.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

SILENT = 2  # dials in a row without a response
PAUSE_FIRST, PAUSE_MOST = 15.0, 240.0  # seconds until it is tried first again
MAX_TRACKED = 8192  # targets and families


class _SilentDials:
    __slots__ = ("count", "pause", "until")

    def __init__(self) -> None:
        self.count = 0
        self.pause = PAUSE_FIRST
        self.until = 0.0


class Families:
    """Keeps only families that do not respond, per target: pods of one tenant do not affect another's."""

    def __init__(self) -> None:
        self._silent: OrderedDict[tuple[Hashable, str], _SilentDials] = OrderedDict()

    def silent(self, target: Hashable, family: str, now: float) -> None:
        """A dial got no response, not even a refusal, which would prove that the address is reachable."""
        run = self._silent.get((target, family))
        if run is None:
            if len(self._silent) >= MAX_TRACKED:
                self._silent.popitem(last=False)
            run = self._silent[target, family] = _SilentDials()
        run.count += 1
        # later ones are of requests without another endpoint, and delay no probe
        if run.count == SILENT:
            run.until = now + run.pause

    def answered(self, target: Hashable, family: str) -> None:
        if self._silent:
            self._silent.pop((target, family), None)

    def is_last(self, target: Hashable, family: str, now: float) -> bool:
        """False for a silent family makes this request the probe; the next one is due later each time."""
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
