"""What is written to a peer: when, how far ahead of it, and what becomes of a peer that takes nothing?"""

from __future__ import annotations

import asyncio
from typing import Protocol

from bastion.network.flow import Stall, WriteGate
from bastion.network.http2.codec import MAX_FRAME, Code, Codec
from bastion.network.http2.floods import Floods

AHEAD = 65536  # bytes of one stream that wait for the peer's windows before its writer waits, too
OVERFULL = 1 << 20  # bytes of all streams, beyond which no further stream begins


class Watcher(Protocol):
    def flushed(self) -> None:
        """Something was written, or could not be."""
        ...

    def close(self) -> None:
        """Nothing more is to be read or written."""
        ...


class Output:
    """Of one connection.  What several streams have to say in one turn of the loop leaves together."""

    def __init__(
        self, watcher: Watcher, loop: asyncio.AbstractEventLoop, patience: float, *, preface: int = 0
    ) -> None:
        """`patience` in seconds: a peer that takes nothing for so long is given up.  `preface`: bytes of what
        comes before its first frame.
        """
        self.gate = WriteGate(loop)
        self.floods = Floods(preface)
        self._watcher = watcher
        self._loop = loop
        self._patience = patience
        self._codec: Codec | None = None
        self._transport: asyncio.Transport | None = None
        self._due = False
        self._drains: dict[int, asyncio.Future[None]] = {}
        self._ending: dict[int, Code] = {}  # reset once what was written to them is sent
        self._stalls: dict[int, tuple[int, float]] = {}  # bytes unsent, and until when that may stay so
        self._stall = Stall()

    def connected(self, transport: asyncio.Transport, codec: Codec) -> None:
        self._transport, self._codec = transport, codec

    def send_data(self, stream: int, data: bytes, *, ended: bool) -> None:
        assert self._codec is not None
        self.floods.wrote(len(data))
        self._stalls.setdefault(stream, (1 << 62, 0.0))
        self._codec.send_data(stream, data, ended=ended)
        self.soon()

    def soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._due = False
        transport, codec = self._transport, self._codec
        if transport is None or codec is None:
            return
        while self.gate.writable:
            data = codec.outgoing()
            if data:
                transport.write(data)
            if len(data) < MAX_FRAME and not (self._ending and self._end_streams(codec)):
                break
        if self._stalls and not codec.unsent_in_all:
            self._stalls.clear()
        if self._drains:
            self._wake()
        self._watcher.flushed()
        if codec.over:
            self._watcher.close()

    def reset(self, stream: int, code: Code, *, at_once: bool) -> None:
        """After what was written to it, or `at_once`."""
        if at_once and self._codec is not None:
            self._ending.pop(stream, None)
            self._codec.reset(stream, code)
        else:
            self._ending.setdefault(stream, code)
        self.soon()

    def _end_streams(self, codec: Codec) -> bool:
        """Whether there is more to send."""
        ready = [stream for stream in self._ending if not codec.unsent(stream)]
        for stream in ready:
            codec.reset(stream, self._ending.pop(stream))
        return bool(ready)

    def pause(self) -> None:
        self.gate.pause()
        if self._transport is not None:
            until = self._loop.time() + self._patience
            self._stall.begin(self._transport.get_write_buffer_size(), until)

    def resume(self) -> None:
        self.gate.resume()
        self.flush()

    def stuck(self, now: float) -> bool:
        """The peer has not taken a byte of what was written for too long."""
        if self.gate.writable or self._transport is None:
            return False
        moved = self._stall.has_moved(self._transport.get_write_buffer_size(), now + self._patience)
        return not moved and now >= self._stall.until

    # --- keeping pace

    def writable(self, stream: int) -> bool:
        return self.gate.writable and self._codec is not None and self._codec.unsent(stream) <= AHEAD

    @property
    def overfull(self) -> bool:
        return bool(self._stalls) and self._codec is not None and self._codec.unsent_in_all > OVERFULL

    async def drain(self, stream: int) -> None:
        while self._transport is not None and not self.writable(stream):
            waiter = self._drains.get(stream)
            if waiter is None:
                waiter = self._drains[stream] = self._loop.create_future()
            self.soon()
            await waiter

    def _wake(self) -> None:
        for stream in [stream for stream in self._drains if self.writable(stream)]:
            _done(self._drains.pop(stream))

    def closed(self, stream: int) -> None:
        if self._ending:
            self._ending.pop(stream, None)
        if self._stalls:
            self._stalls.pop(stream, None)
        if self._drains and (waiter := self._drains.pop(stream, None)) is not None:
            _done(waiter)

    def close(self) -> None:
        """The connection is gone."""
        self._transport = None
        self.gate.close()
        for waiter in self._drains.values():
            _done(waiter)
        self._drains.clear()

    @property
    def pending(self) -> bool:
        return bool(self._stalls)

    def stalled(self, now: float) -> list[int]:
        """Streams of which the peer took nothing for too long."""
        given_up: list[int] = []
        if self._codec is None:
            return given_up
        for stream, (before, until) in list(self._stalls.items()):
            unsent = self._codec.unsent(stream)
            if not unsent:
                del self._stalls[stream]
            elif unsent < before:
                self._stalls[stream] = (unsent, now + self._patience)
            elif now >= until:
                del self._stalls[stream]
                given_up.append(stream)
        return given_up


def _done(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
