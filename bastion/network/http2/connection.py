"""One HTTP/2 connection to a backend: many round trips at once, and may another be added?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from bastion.kube.endpoint import Endpoint
from bastion.kube.errorwords import ANSWER_NOT_UNDERSTOOD
from bastion.network.errors import DialError
from bastion.network.http2.codec import (
    MAX_HEAD,
    STREAM_WINDOW,
    Code,
    ConnectionFault,
    NewCodec,
    Pair,
    Setting,
)
from bastion.network.http2.head import logs_in
from bastion.network.http2.output import Output
from bastion.network.http2.trip import StreamTrip

STREAMS = 100  # at once, where the backend sets no limit
UNSENT = 262144  # bytes written ahead of the backend before bodies are made to wait
LOOK_SECONDS = 1.0
IDLE_SECONDS = 60.0
STALL_SECONDS = 60.0  # a backend that takes nothing of what is written for so long is given up

ANNOUNCED: dict[int, int] = {
    Setting.ENABLE_PUSH: 0,
    Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    Setting.MAX_HEADER_LIST_SIZE: MAX_HEAD,
}


def no_http2(endpoint: Endpoint, why: str) -> DialError:
    return DialError(f"dial {endpoint}: it does not speak HTTP/2: {why}", ANSWER_NOT_UNDERSTOOD)


class Http2Connection(asyncio.Protocol):
    """Implements `codec.Handler`, and `trip.Connection`.

    `settled` is done once the backend's first SETTINGS have come, which say how many streams it takes; a
    DialError where something else came.  `lost` is called once, when the connection is gone.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        loop: asyncio.AbstractEventLoop,
        new_codec: NewCodec,
        lost: Callable[[Http2Connection], None],
    ) -> None:
        self.endpoint = endpoint
        self.loop = loop
        self.deadline: float | None = None
        self.settled: asyncio.Future[None] = loop.create_future()
        self.used = False
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._codec = new_codec(self, client=True, settings=ANNOUNCED)
        self._output = Output(self, loop, STALL_SECONDS)
        self._trips: dict[int, StreamTrip] = {}
        self._expected = 0  # trips that have no stream yet
        self._most = STREAMS
        self._retired = False
        self._closing = False

    # --- may another trip be added?

    @property
    def room(self) -> bool:
        return self.usable and len(self._trips) + self._expected < self._most

    @property
    def usable(self) -> bool:
        return not (self._retired or self._closing) and self._transport is not None

    @property
    def busy(self) -> bool:
        return bool(self._trips) or self._expected > 0

    @property
    def streams(self) -> int:
        return len(self._trips)

    def expect(self) -> None:
        """A trip is about to begin."""
        self._expected += 1

    def retire(self) -> None:
        """No further trip is added; it is closed after those under way."""
        self._retired = True
        self._close_if_idle()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=UNSENT)
        self._output.connected(self._transport, self._codec)
        self._output.soon()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._output.floods.check(data, self.loop.time())
            self._codec.receive(data)
        except ConnectionFault as fault:
            self._broken(str(fault))
            return
        self._output.soon()

    def eof_received(self) -> None:
        """It will answer nothing any more."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.deadline = None
        self._output.close()
        self._broken("closed the connection")
        self._lost(self)

    def pause_writing(self) -> None:
        self._output.pause()

    def resume_writing(self) -> None:
        self._output.resume()

    # --- of the codec

    def head_came(self, stream: int, fields: Sequence[Pair], ended: bool) -> None:
        if logs_in(fields):
            self._retired = True  # what shares it would be taken for the user who logged in
        trip = self._trips.get(stream)
        if trip is not None:
            trip.head_came(fields, ended)

    def interim_came(self, stream: int, fields: Sequence[Pair]) -> None:
        trip = self._trips.get(stream)
        if trip is not None:
            trip.interim_came(fields)

    def data_came(self, stream: int, data: bytes, ended: bool) -> None:
        trip = self._trips.get(stream)
        if trip is not None:
            trip.data_came(data, ended)
        else:
            self._codec.consumed(stream, len(data))

    def trailers_came(self, stream: int, fields: Sequence[Pair]) -> None:
        trip = self._trips.get(stream)
        if trip is not None:
            trip.trailers_came(fields)

    def reset_came(self, stream: int, code: int) -> None:
        """`closed` follows."""

    def closed(self, stream: int, code: int) -> None:
        self._output.closed(stream)
        trip = self._trips.pop(stream, None)
        if trip is not None:
            trip.closed(code)
        self._close_if_idle()

    def settings_came(self, settings: Mapping[int, int]) -> None:
        self._most = min(settings.get(Setting.MAX_CONCURRENT_STREAMS, self._most), STREAMS)
        if not self.settled.done():
            self.settled.set_result(None)

    def going_away(self, last: int, code: int) -> None:
        """Streams above `last` are closed as refused by the codec."""
        self.retire()

    # --- of trips

    def open(self, trip: StreamTrip, fields: Sequence[Pair], *, ended: bool) -> int:
        self._expected -= 1
        if self._closing:
            raise ConnectionFault("the connection is closed")
        stream = self._codec.open(fields, ended=ended)
        self.used = True
        self._trips[stream] = trip
        self.deadline = self.loop.time() + LOOK_SECONDS
        self._output.soon()
        return stream

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        if stream in self._trips:
            self._output.send_data(stream, data, ended=ended)

    def send_trailers(self, stream: int, fields: Sequence[Pair]) -> None:
        self._codec.send_trailers(stream, fields)
        self._output.soon()

    def writable(self, stream: int) -> bool:
        return self._output.writable(stream)

    async def drain(self, stream: int) -> None:
        await self._output.drain(stream)

    def consumed(self, stream: int, count: int) -> None:
        self._codec.consumed(stream, count)
        self._output.soon()

    def leave(self, trip: StreamTrip, stream: int, code: Code | None) -> None:
        if not stream:
            self._expected -= 1
        elif self._trips.get(stream) is trip:
            del self._trips[stream]
            if code is not None:
                self._output.reset(stream, code, at_once=True)
        self._close_if_idle()

    # --- the end

    def flushed(self) -> None:
        """Of no interest to trips: they wait with `drain`."""

    def expired(self) -> None:
        now = self.loop.time()
        if self._output.stuck(now):
            self.abort()
            return
        for trip in list(self._trips.values()):
            trip.look(now)
        if self.busy:
            self.deadline = now + LOOK_SECONDS
        else:
            self.close()

    def close(self) -> None:
        closing, self._closing = self._closing, True
        if not closing:
            self._codec.end()
            self._output.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _close_if_idle(self) -> None:
        if self.busy or self._closing:
            return
        if self._retired:
            self.close()
        else:
            self.deadline = self.loop.time() + IDLE_SECONDS

    def _broken(self, why: str) -> None:
        self._closing = True
        if not self.settled.done():
            self.settled.set_exception(no_http2(self.endpoint, why))
            self.settled.exception()
        trips, self._trips = list(self._trips.values()), {}
        for trip in trips:
            trip.lost()
        self.abort()
