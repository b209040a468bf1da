"""What is under way for long, and what ends it?  Tunnels, event streams, watches, slow transfers.

An exchange that outlives the interval in which access is asked about again is as long as a stream, and is
held to the same: it is asked about, has the limits of streams, and ends with its pod or node.  Before that it
costs a place in a set.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import msgspec

from bastion.kube.endpoint import Endpoint
from bastion.kube.errors import error_of
from bastion.kube.errorwords import ACCESS_REVOKED
from bastion.kube.errorwords import STOPPING as ENDED
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.exchange import Exchange
from bastion.runtime.deadlines import Deadlines
from bastion.settings.sections import StreamLimits

Tell = Callable[[Record, Exchange], None]
# what was admitted, what to call once it no longer is, how many seconds ago it was -> what ends the watch
Watch = Callable[[Admitted, Callable[[str], None], float], Callable[[], None]]

AT_ONCE = 64  # grow long in one turn of the loop
POD_GONE, NODE_GONE, STOPPING = "the pod is gone", "the node is gone", "the bastion is stopping"
TOO_LONG, IDLE = "the longest duration of a stream is over", "idle"


LONG = 60.0  # seconds after which an exchange is a stream, where access is never checked again

Place = tuple[bool, str]  # (whether a node, or else a pod, is served from there; address)


class Tunnel(Protocol):
    """A connection that was taken over.  `revoked`: its client may not have it any more."""

    def end(self, reason: str, *, revoked: bool) -> None: ...

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes from the client and to it."""
        ...


class Destination(Protocol):
    @property
    def to_node(self) -> bool:
        """Whether a node is where it goes, or else a pod."""
        ...


class UnderWay(msgspec.Struct, eq=False):
    """One exchange, from before its backend is asked.

    One is made per request, so what only long ones need is with `long`.
    """

    streams: Streams
    exchange: Exchange
    route: Destination
    admitted: Admitted
    record: Record
    task: asyncio.Task[None] | None
    endpoint: Endpoint | None = None  # where it is served from
    began: float = 0.0  # seconds of the loop's clock; 0 until it was seen to be under way
    long: Long | None = None
    tunnel: Tunnel | None = None
    reason: str = ""  # why it was ended from outside; empty: it was not
    revoked: bool = False

    def lasts(self) -> None:
        """It is about to be a long one: what was spared until now is made up for."""

    def moved(self) -> None:
        """It is served from elsewhere by now."""
        if self.long is not None:
            self.long.leave()
            self.long.join()

    def switched(self, tunnel: Tunnel) -> None:
        """From here on it is a stream."""
        self.tunnel = tunnel
        if self.long is None:
            self.streams.lasts(self)
        else:
            self.long.idle_at = math.inf

    @property
    def bytes_moved(self) -> tuple[int, int]:
        """In and out."""
        if self.tunnel is not None:
            return self.tunnel.moved
        return self.exchange.bytes_in, self.exchange.bytes_out

    def end(self, reason: str, *, revoked: bool = True) -> None:
        if self.tunnel is not None:
            self.tunnel.end(reason, revoked=revoked)
        elif not self.reason and self.task is not None:
            self.reason, self.revoked = reason, revoked
            self.task.cancel()

    def conclude(self) -> None:
        """In its own task, after it was cancelled by `end`: the client is told.

        Raises StatusError where no answer has begun.
        """
        if self.task is not None:
            self.task.uncancel()
        if not self.exchange.status:
            raise error_of(
                ACCESS_REVOKED if self.revoked else ENDED,
                f"this request took long and was ended: {self.reason}",
                details={} if self.revoked else None,
            )
        self.exchange.abort()


class Long:
    """What one that lasts long is held to; in the sweep of deadlines."""

    def __init__(
        self, of: UnderWay, limits: StreamLimits, now: float, places: dict[Place, set[UnderWay]]
    ) -> None:
        self._of = of
        self._idle = limits.idle_timeout
        self._places = places
        self._place: Place = (False, "")
        self._moved = self._bytes()
        self._end_at = of.began + limits.max_duration if limits.max_duration else math.inf
        # What moves in a tunnel its relay knows.
        self.idle_at = now + limits.idle_timeout if limits.idle_timeout and of.tunnel is None else math.inf
        self.deadline: float | None = min(self._end_at, self.idle_at)
        self.unwatch: Callable[[], None] = _nothing

    def join(self) -> None:
        self._place = (
            self._of.route.to_node,
            self._of.endpoint.address if self._of.endpoint is not None else "",
        )
        self._places.setdefault(self._place, set()).add(self._of)

    def leave(self) -> None:
        there = self._places[self._place]
        there.discard(self._of)
        if not there:
            del self._places[self._place]

    def expired(self) -> None:
        now = self._of.streams.now()
        if now >= self._end_at:
            self._of.end(TOO_LONG, revoked=False)
        elif now >= self.idle_at and not self._has_moved():
            self._of.end(IDLE, revoked=False)
        else:
            if now >= self.idle_at:
                self.idle_at = now + self._idle
            self.deadline = min(self._end_at, self.idle_at)

    def _has_moved(self) -> bool:
        """How long an answer may be waited for is not a stream's affair."""
        before, self._moved = self._moved, self._bytes()
        return self._moved != before or not self._of.exchange.status

    def _bytes(self) -> int:
        return self._of.exchange.bytes_in + self._of.exchange.bytes_out


class StreamStatistics(NamedTuple):
    """`long`: the long exchanges under way."""

    long: int


class Streams:
    """All exchanges under way.

    `watch` asks again about what admitted one, `tell` is told of each that becomes long.
    """

    def __init__(
        self,
        deadlines: Deadlines,
        limits: StreamLimits,
        watch: Watch,
        tell: Tell = lambda record, exchange: None,
    ) -> None:
        self._limits = limits
        self._long_after = min(limits.recheck_interval or LONG, limits.max_duration or math.inf)
        self._watch = watch
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._young: set[UnderWay] = set()
        self._long: dict[Place, set[UnderWay]] = {}
        self._stopping = False
        self._deadlines = deadlines
        self.deadline: float | None = 0.0
        deadlines.add(self)

    def begin(self, exchange: Exchange, route: Destination, admitted: Admitted, record: Record) -> UnderWay:
        """In the exchange's own task.  `over` must follow, however it ends."""
        under_way = UnderWay(self, exchange, route, admitted, record, asyncio.current_task())
        self.enter(under_way)
        return under_way

    def enter(self, under_way: UnderWay) -> None:
        self._young.add(under_way)

    def over(self, under_way: UnderWay) -> None:
        self._young.discard(under_way)
        if under_way.long is not None:
            self._deadlines.discard(under_way.long)
            under_way.long.leave()
            under_way.long.unwatch()
            under_way.long = None

    def expired(self) -> None:
        """Twice a second: which of the young ones have grown long?"""
        now = self.now()
        self.deadline = now
        grown = 0
        for under_way in list(self._young):
            if not under_way.began:
                under_way.began = now
            elif now - under_way.began >= self._long_after:
                self.lasts(under_way)
                grown += 1
                if grown == AT_ONCE:
                    self._loop.call_soon(self.expired)  # others have a turn
                    return

    def lasts(self, under_way: UnderWay) -> None:
        """It is a long one from now on."""
        now = self.now()
        under_way.lasts()
        under_way.began = under_way.began or now
        under_way.exchange.lasting = True
        under_way.long = long = Long(under_way, self._limits, now, self._long)
        self._young.discard(under_way)
        self._deadlines.add(long)
        long.join()
        self._tell(under_way.record, under_way.exchange)
        long.unwatch = self._watch(under_way.admitted, under_way.end, now - under_way.began)
        if self._stopping:
            under_way.end(STOPPING, revoked=False)

    def under_way(self) -> Iterator[UnderWay]:
        """All exchanges, the short ones too."""
        yield from self._young
        for there in self._long.values():
            yield from there

    def statistics(self) -> StreamStatistics:
        return StreamStatistics(sum(map(len, self._long.values())))

    # --- what ends them from outside

    def address_gone(self, address: str) -> None:
        """Its pod is no more."""
        self._end_at((False, address), POD_GONE)

    def node_gone(self, address: str) -> None:
        """Its node is no more, and with it whatever shares its address."""
        self._end_at((True, address), NODE_GONE)
        self._end_at((False, address), NODE_GONE)

    def any_at(self, address: str) -> bool:
        return (False, address) in self._long

    def end_at(self, address: str, reason: str, those: Callable[[UnderWay], bool]) -> None:
        """Those of the pods at an address."""
        for under_way in list(self._long.get((False, address), ())):
            if those(under_way):
                under_way.end(reason, revoked=False)

    def _end_at(self, place: Place, reason: str) -> None:
        for under_way in list(self._long.get(place, ())):
            under_way.end(reason, revoked=False)

    def end_all(self) -> None:
        self._stopping = True
        for place in list(self._long):
            self._end_at(place, STOPPING)


def _nothing() -> None:
    pass
