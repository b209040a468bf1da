"""A client's connection below its requests: what is written and read, what is waited for, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from bastion.kube.errors import unreadable
from bastion.kube.status import StatusError
from bastion.network.http2.codec import Code, Codec, ConnectionFault, Pair, goaway
from bastion.network.http2.floods import PREFACE
from bastion.network.http2.output import Output
from bastion.server.http1.connection import Peer
from bastion.server.http1.peer import peer_of
from bastion.server.http2.response import Written
from bastion.server.http2.waits import LOOK_SECONDS, Waits
from bastion.server.state import ServerState

LINGER_SECONDS = 2.0  # for the last words to one that broke the rules
UNSENT = 262144  # bytes written ahead of the client before streams are made to wait


class Http2Wire(asyncio.Protocol):
    """`deadline` in seconds of the loop's clock: when it looks again at what it waits for."""

    _codec: Codec

    def __init__(
        self, server: ServerState, loop: asyncio.AbstractEventLoop, lost: Callable[[], None]
    ) -> None:
        """`lost` is called once, when the connection is gone."""
        self.server = server
        self.loop = loop
        self.deadline: float | None = None
        self.peer = Peer()
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._output = Output(self, loop, server.timeouts.response_stall, preface=PREFACE)
        self._waits = Waits(server.timeouts, loop.time())
        self._open: set[int] = set()  # streams that are not closed
        self._highest = 0
        self._closing = False
        self._end_at: float | None = None  # when no further stream is taken, after that was announced

    # --- of the requests above

    def end_all(self, error: Exception | None, reason: str = "") -> None:
        """Of what is under way on its streams."""
        raise NotImplementedError

    def end_stream(self, stream: int) -> None:
        """The client took nothing of it for too long."""
        raise NotImplementedError

    def flushed(self) -> None:
        raise NotImplementedError

    def body_late(self, stream: int, error: StatusError) -> None:
        raise NotImplementedError

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=UNSENT)
        self.peer = peer_of(transport)
        self._output.connected(self._transport, self._codec)
        self.server.opened(self)  # type: ignore[arg-type]
        self.server.http2_connections += 1
        self.deadline = self.loop.time() + LOOK_SECONDS
        self._output.soon()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        now = self.loop.time()
        try:
            self._output.floods.check(data, now)
            self._codec.receive(data)
        except ConnectionFault as fault:
            self._fail(fault)
            return
        self._waits.came(now, in_head=self._output.floods.in_head)
        if self.deadline is None or self.deadline > now + LOOK_SECONDS:
            self.deadline = now + LOOK_SECONDS
        self._output.soon()

    def eof_received(self) -> None:
        """A client that ends its direction has left: asyncio closes, and its exchanges are cancelled."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._closing = True
        # with streams that are open it is no end in good order
        self.deadline = self.loop.time() + LINGER_SECONDS if self._open else None
        self._output.close()
        self.end_all(exc or ConnectionResetError())
        for stream in list(self._open):
            self._forget(stream)
        self.server.http2_connections -= 1
        self._lost()
        self.server.lost(self)  # type: ignore[arg-type]

    def pause_writing(self) -> None:
        self._output.pause()

    def resume_writing(self) -> None:
        self._output.resume()

    # --- the end

    def _fail(self, fault: ConnectionFault) -> None:
        """Nothing that comes any more can be used."""
        if self._closing:
            return
        self._output.flush()
        if fault.code is not None and self._transport is not None and self._output.gate.writable:
            self._transport.write(goaway(self._highest, fault.code))
        self.close()
        self.end_all(None)
        self.deadline = self.loop.time() + LINGER_SECONDS

    def close(self) -> None:
        """After what is written has gone out."""
        self._closing = True
        # with streams that are open it is no end in good order
        self.deadline = self.loop.time() + LINGER_SECONDS if self._open else None
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def shut_down(self) -> None:
        """No more requests, once the client has had the time to learn that (RFC 9113, 6.8)."""
        if self._open:
            self._codec.announce_end()
            self._end_at = self.loop.time() + LOOK_SECONDS
            self.deadline = self._end_at
        else:
            self._codec.end()
        self._output.soon()

    def expired(self) -> None:
        """Looks at what is waited for."""
        now = self.loop.time()
        if self._transport is None:
            return
        if self._closing:  # it broke the rules, and is not waited for any longer
            self.abort()
            return
        if self._output.stuck(now):
            self.abort()
            return
        for stream in self._output.stalled(now):
            self.end_stream(stream)
            self.reset(stream, Code.CANCEL, at_once=True)
        for stream in self._waits.late_bodies(now):
            self.body_late(stream, unreadable("timed out waiting for the request's body", code=408))
        if self._waits.head_late(now) or (not self._open and self._waits.idle_late(now)):
            self._codec.end()
            self._output.flush()
            self.close()
            return
        if self._end_at is not None and now >= self._end_at:
            self._end_at = None
            self._codec.end()
            self._output.soon()
        self.deadline = self._waits.look(now, busy=bool(self._open) or self._output.pending)

    def _forget(self, stream: int) -> None:
        """It is closed."""
        self._open.discard(stream)
        self._output.closed(stream)
        if self._open:
            self.server.door.leave_stream()
        else:
            self._waits.idle_from(self.loop.time())

    # --- of streams (`connection.Connection`)

    @property
    def written(self) -> Written:
        return self.server.written

    def send_head(self, stream: int, fields: Sequence[Pair], *, ended: bool = False) -> None:
        self._codec.send_head(stream, fields, ended=ended)
        self._output.soon()

    def send_interim(self, stream: int, fields: Sequence[Pair]) -> None:
        self._codec.send_interim(stream, fields)
        self._output.soon()

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        if stream in self._open:
            self._output.send_data(stream, data, ended=ended)

    def send_trailers(self, stream: int, fields: Sequence[Pair]) -> None:
        self._codec.send_trailers(stream, fields)
        self._output.soon()

    def reset(self, stream: int, code: Code, *, at_once: bool = False) -> None:
        """After what was written to it, as far as the client takes that, or `at_once`."""
        if stream in self._open:
            self._output.reset(stream, code, at_once=at_once)

    def unsent(self, stream: int) -> int:
        return self._codec.unsent(stream)

    def writable(self, stream: int) -> bool:
        return self._output.writable(stream)

    async def drain(self, stream: int) -> None:
        await self._output.drain(stream)

    def consumed(self, stream: int, count: int) -> None:
        self._codec.consumed(stream, count)
        self._output.soon()

    def await_body(self, stream: int) -> None:
        self._waits.body(stream, self.loop.time())

    def extra_info(self, name: str, default: Any) -> Any:
        return self._transport.get_extra_info(name, default) if self._transport is not None else default
