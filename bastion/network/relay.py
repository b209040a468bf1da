"""Two connections joined: what comes from one goes to the other, as fast as the slower one reads.

Works by callbacks alone: a message costs no task and no future.  An end of input is passed on and the other
direction goes on (half-close); an error ends both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from bastion.network.sockets import CutTransport, is_reset, reset_on_close
from bastion.runtime.deadlines import Deadlines

BUFFERED = 65536  # bytes written to a side that does not read, before reading from the other side pauses
# for what is written to go out, and for the client to end, too, where we ended the tunnel
CLOSE_SECONDS = 2.0
# without progress, where both sides ended by themselves: nothing that was sent is lost to a slow reader
FLUSH_SECONDS = 60.0
CLIENT_RESET, BACKEND_RESET = "the client reset the connection", "the backend reset the connection"
LOOK_SECONDS = 1.0  # between looks at a side that is not read from, because it sees no reset


class Stream(msgspec.Struct, frozen=True):
    """A raw connection taken over: `early` came already; `lost` is called when it is gone; `ended`: no
    more will come.
    """

    transport: asyncio.Transport
    early: bytes
    lost: Callable[[], None]
    ended: bool = False


class Side(asyncio.Protocol):
    """One of the two ends; `seen`, if given, is called with what comes from it.

    `reset`: the reason of an end where it resets the connection.
    """

    def __init__(
        self, relay: Relay, stream: Stream, reset: str, seen: Callable[[bytes], None] | None = None
    ) -> None:
        self.transport = stream.transport
        self.received = 0
        self.ended = False  # it will send no more
        self.gone = False
        self.other: Side
        self.reset = reset
        self._relay = relay
        self._seen = seen
        self._lost = stream.lost

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self._seen is not None:
            self._seen(data)
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other.ended or not self.other.transport.can_write_eof():
            self._relay.end("")
            return False
        self.other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = self.gone = True
        self._lost()
        self._relay.end("" if exc is None else self.reset)
        self._relay.gone()

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()
        self._relay.watch(self.other)

    def resume_writing(self) -> None:
        self._relay.unwatch(self.other)
        if not self.other.ended:
            self.other.transport.resume_reading()


class Discard(asyncio.Protocol):
    """Drops what a client still sends until it ends, too: closing earlier would reset the connection, and the
    last bytes would be lost unread.
    """

    def __init__(self, side: Side) -> None:
        self._side = side

    def connection_lost(self, exc: Exception | None) -> None:
        self._side.connection_lost(exc)


class Relay:
    """`finished` is done at the end, with the reason (empty: both sides ended by themselves).

    `idle` in seconds, 0 for never: without a byte for so long (at most twice) the tunnel ends.
    """

    def __init__(
        self,
        client: Stream,
        backend: Stream,
        deadlines: Deadlines,
        idle: float,
        seen: Callable[[bytes], None] | None,
        *,
        cuts: bool = False,
    ) -> None:
        """`seen` is called with what comes from the backend.  `cuts`: nothing but the end of a connection
        delimits what it carries, so one that is no end in good order must not look like one.
        """
        self.loop = asyncio.get_running_loop()
        self.client = Side(self, client, CLIENT_RESET)
        self.backend = Side(self, backend, BACKEND_RESET, seen)
        self.client.other, self.backend.other = self.backend, self.client
        self.finished: asyncio.Future[str] = self.loop.create_future()
        self._cuts = cuts
        self._idle = idle
        self._idle_at = self.loop.time() + idle if idle else float("inf")
        self._moved = 0
        self._paused: set[Side] = set()
        self._unsent = 0
        self.deadline: float | None = self._idle_at
        self._deadlines = deadlines
        deadlines.add(self)
        sides = ((self.client, client.early), (self.backend, backend.early))
        for side, _ in sides:
            side.transport.set_write_buffer_limits(high=BUFFERED)
            side.transport.set_protocol(side)
        for side, early in sides:
            if early:
                side.data_received(early)
        for side, stream in ((self.client, client), (self.backend, backend)):
            if stream.ended:
                side.eof_received()
        for side, _ in sides:
            if side.transport.is_closing():
                side.gone = True  # its own protocol may have been told, and there is no second call
                self.end("")
            else:
                side.transport.resume_reading()

    def end(self, reason: str, last: bytes = b"") -> None:
        """Close both sides; the bytes `last` still go to the client."""
        if self.finished.done():
            return
        self.finished.set_result(reason)
        client = self.client.transport
        last = last if not self.backend.ended else b""
        if last:
            client.write(last)
        if last and not self.client.ended:
            client.set_protocol(Discard(self.client))
            client.write_eof()
            client.resume_reading()
        else:
            self._close(client, orderly=not (reason and self._cuts))
        self._unsent = self._pending()
        self.deadline = self.loop.time() + (CLOSE_SECONDS if reason else FLUSH_SECONDS)
        self._close(self.backend.transport, orderly=not (reason and self._cuts))
        self.gone()

    def _close(self, transport: asyncio.Transport, *, orderly: bool) -> None:
        if orderly:
            transport.close()
        elif isinstance(transport, CutTransport):
            transport.cut()
        else:
            reset_on_close(transport)
            transport.abort()

    def gone(self) -> None:
        if self.client.gone and self.backend.gone:
            self._deadlines.discard(self)

    def watch(self, side: Side) -> None:
        """Reading from it is paused."""
        self._paused.add(side)
        if not self.finished.done():
            self.deadline = self.loop.time() + LOOK_SECONDS

    def unwatch(self, side: Side) -> None:
        self._paused.discard(side)
        if not self.finished.done():
            self.deadline = self._idle_at

    def expired(self) -> None:
        now = self.loop.time()
        if self.finished.done():
            self._close_late(now)
        # Where both directions ended in good order the socket is closed as well, with bytes still to be read.
        elif gone := [one for one in self._paused if not one.other.ended and is_reset(one.transport)]:
            self.end(gone[0].reset)
        elif now >= self._idle_at and not self._has_moved():
            self.end("idle")
        else:
            if now >= self._idle_at:
                self._idle_at = now + self._idle
            self.deadline = now + LOOK_SECONDS if self._paused else self._idle_at

    def _has_moved(self) -> bool:
        before, self._moved = self._moved, self.client.received + self.backend.received
        return self._moved != before

    def _pending(self) -> int:
        return self.client.transport.get_write_buffer_size() + self.backend.transport.get_write_buffer_size()

    def _close_late(self, now: float) -> None:
        """A slow reader is waited for as long as it takes something; not where we ended the tunnel."""
        pending = self._pending()
        if not self.finished.result() and pending < self._unsent:
            self._unsent = pending
            self.deadline = now + FLUSH_SECONDS
            return
        for side in (self.client, self.backend):
            if not side.gone:
                side.transport.abort()
