"""Where do audit events go, and by which policy are they made?"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bastion.observe.audit.counts import AuditCounts
from bastion.observe.audit.policy import Policy


class Outlet(Protocol):
    """Where events go."""

    def add(self, events: bytes, count: int) -> bool:
        """Those of each request in their order, with line ends between them.  Whether they were taken."""
        ...


# Returns whether they were taken, which may be minutes later.
Deliver = Callable[[Sequence[bytes]], Awaitable[bool]]


class EventLog:
    """`policy` is read for each request: it may change.  `pod_at` names the pod of an endpoint, empty where
    it is none's.  `awaited` delivers events that their requests wait for; `gathers`:
    those of several requests are written together.  `strict`: a request fails whose
    first event is not taken.  `wall` in seconds of the epoch.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        outlets: Sequence[Outlet],
        counts: AuditCounts,
        pod_at: Callable[[str], str] = lambda endpoint: "",
        *,
        awaited: Deliver | None = None,
        gathers: bool = False,
        strict: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self.awaited = awaited
        self.gathers = gathers
        self.strict = strict
        self.wall = wall
        self.pod_at = pod_at
        self._counts = counts
        self._outlets = tuple(outlets)

    def count(self, level: str, requests: int = 1) -> None:
        levels = self._counts.levels
        levels[level] = levels.get(level, 0) + requests

    def emit(self, events: bytes, count: int = 1) -> bool:
        """As `Outlet.add`: whether they were taken everywhere, or wait there to be written."""
        self._counts.events += count
        taken = True
        for outlet in self._outlets:
            taken = outlet.add(events, count) and taken
        return taken
