"""What is under way for long, and what ends it?  Tunnels, event streams, watches, slow transfers.

An exchange that outlives the interval in which access is asked about again is as long as a stream, and is held to the same: it
is asked about, has the limits of streams, and ends with its pod or node.  Before that it costs a place in the sweep of deadlines.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

import msgspec

from bastion.clock import Deadlines
from bastion.kube.endpoint import Endpoint
from bastion.kube.status import refused, service_unavailable
from bastion.proxy.exchange import Exchange
from bastion.proxy.router import Route

Watch = Callable[[Callable[[str], None], float], Callable[[], None]]

POD_GONE, NODE_GONE, STOPPING = "the pod is gone", "the node is gone", "the bastion is stopping"
TOO_LONG, IDLE = "the longest duration of a stream is over", "idle"


class StreamLimits(msgspec.Struct, frozen=True):
    """Seconds, 0 for no limit; `long` is when an exchange becomes one of those that last long."""

    idle: float = 3600.0
    duration: float = 43200.0
    long: float = 60.0


class Switched(Protocol):
    """A connection that was taken over.  `revoked`: its client may not have it any more."""

    def end(self, reason: str, *, revoked: bool) -> None: ...


class UnderWay:
    """One exchange, from before its backend is asked; `watch` asks about its access, given what ends it and how long ago it was allowed."""

    __slots__ = (
        "_began",
        "_endpoint",
        "_exchange",
        "_long",
        "_revoked",
        "_route",
        "_streams",
        "_switched",
        "_task",
        "_watch",
        "deadline",
        "reason",
    )

    def __init__(self, streams: Streams, exchange: Exchange, route: Route, watch: Watch) -> None:
        self._streams = streams
        self._exchange = exchange
        self._route = route
        self._watch = watch
        self._task = asyncio.current_task()
        self._began = now = streams.now()
        self._endpoint: Endpoint | None = None
        self._long: _Long | None = None
        self._switched: Switched | None = None
        self._revoked = False
        self.deadline: float | None = now + streams.long_after
        self.reason = ""  # why it was ended from outside; empty: it was not

    def reached(self, endpoint: Endpoint) -> None:
        """It is served from there."""
        if self._long is not None:
            self._streams.leave(self, self._place())
        self._endpoint = endpoint
        if self._long is not None:
            self._streams.join(self, self._place())

    def switched(self, tunnel: Switched) -> None:
        """From here on it is a stream."""
        self._switched = tunnel
        if self._long is None:
            self._become_long()
        else:
            self._long.idle_at = math.inf

    def over(self) -> None:
        """Called once, however it ended."""
        self._streams.over(self)
        if self._long is not None:
            self._streams.leave(self, self._place())
            self._long.unwatch()

    def end(self, reason: str, *, revoked: bool = True) -> None:
        if self._switched is not None:
            self._switched.end(reason, revoked=revoked)
        elif not self.reason and self._task is not None:
            self.reason, self._revoked = reason, revoked
            self._task.cancel()

    def conclude(self) -> None:
        """In its own task, after it was cancelled by `end`: the client is told.  Raises StatusError where no answer has begun."""
        if self._task is not None:
            self._task.uncancel()
        if not self._exchange.status:
            raise (refused if self._revoked else service_unavailable)(f"this request took long and was ended: {self.reason}")
        self._exchange.abort()

    def expired(self) -> None:
        if self._long is None:
            self._become_long()
            return
        now = self._streams.now()
        if now >= self._long.end_at:
            self.end(TOO_LONG, revoked=False)
        elif now >= self._long.idle_at and not self._has_moved(self._long):
            self.end(IDLE, revoked=False)
        else:
            if now >= self._long.idle_at:
                self._long.idle_at = now + self._streams.limits.idle
            self.deadline = min(self._long.end_at, self._long.idle_at)

    def _become_long(self) -> None:
        now, limits = self._streams.now(), self._streams.limits
        self._exchange.lasting = True
        end_at = self._began + limits.duration if limits.duration else math.inf
        # What moves in a tunnel its relay knows.
        idle_at = now + limits.idle if limits.idle and self._switched is None else math.inf
        self.deadline = min(end_at, idle_at)
        self._long = _Long(end_at, idle_at)
        self._streams.join(self, self._place())
        self._long.unwatch = self._watch(self.end, now - self._began)

    def _has_moved(self, long: _Long) -> bool:
        """How long an answer may be waited for is not a stream's affair."""
        before, long.moved = long.moved, self._exchange.bytes_in + self._exchange.bytes_out
        return long.moved != before or not self._exchange.status

    def _place(self) -> Place:
        return self._route.to_node, self._endpoint.address if self._endpoint is not None else ""


Place = tuple[bool, str]  # (whether a node, or else a pod, is served from there; address)


class _Long:
    """What is known of a long one alone; `end_at` and `idle_at` in seconds of the loop's clock."""

    __slots__ = ("end_at", "idle_at", "moved", "unwatch")

    def __init__(self, end_at: float, idle_at: float) -> None:
        self.end_at = end_at
        self.idle_at = idle_at
        self.moved = -1
        self.unwatch: Callable[[], None] = _nothing


class Streams:
    """All that is under way; its length is how many of them are long."""

    def __init__(self, deadlines: Deadlines, limits: StreamLimits) -> None:
        self.limits = limits
        self.long_after = min(limits.long, limits.duration or math.inf)
        self.now = asyncio.get_running_loop().time
        self._deadlines = deadlines
        self._long: dict[Place, set[UnderWay]] = {}
        self._stopping = False

    def begin(self, exchange: Exchange, route: Route, watch: Watch) -> UnderWay:
        """In the exchange's own task.  `over` of what is returned must be called."""
        under_way = UnderWay(self, exchange, route, watch)
        self._deadlines.add(under_way)
        return under_way

    def over(self, under_way: UnderWay) -> None:
        self._deadlines.discard(under_way)

    def join(self, under_way: UnderWay, place: Place) -> None:
        self._long.setdefault(place, set()).add(under_way)
        if self._stopping:
            under_way.end(STOPPING, revoked=False)

    def leave(self, under_way: UnderWay, place: Place) -> None:
        there = self._long[place]
        there.discard(under_way)
        if not there:
            del self._long[place]

    def __len__(self) -> int:
        return sum(map(len, self._long.values()))

    # --- what ends them from outside

    def address_gone(self, address: str) -> None:
        """Its pod is no more."""
        self._end_at((False, address), POD_GONE)

    def node_gone(self, address: str) -> None:
        """Its node is no more, and with it whatever shares its address."""
        self._end_at((True, address), NODE_GONE)
        self._end_at((False, address), NODE_GONE)

    def _end_at(self, place: Place, reason: str) -> None:
        for under_way in list(self._long.get(place, ())):
            under_way.end(reason, revoked=False)

    def end_all(self) -> None:
        self._stopping = True
        for place in list(self._long):
            self._end_at(place, STOPPING)


def _nothing() -> None:
    pass
