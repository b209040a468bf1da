"""A client's connection over HTTP/2: each stream an exchange, and what all of them together may do."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from bastion.http.fields import field_of
from bastion.kube.status import StatusError
from bastion.message.grpcstatus import is_grpc
from bastion.network.http2.codec import (
    MAX_HEAD,
    STREAM_WINDOW,
    Code,
    ConnectionFault,
    NewCodec,
    Pair,
    Setting,
)
from bastion.server.http1.head import Head
from bastion.server.http1.known import HeadParser
from bastion.server.http1.reader import HeadReader
from bastion.server.http2.body import StreamBody
from bastion.server.http2.exchange import StreamExchange
from bastion.server.http2.head import Translator
from bastion.server.http2.tunnel import StreamTransport
from bastion.server.http2.wire import Http2Wire
from bastion.server.state import ServerState, nothing

STREAMS = 100  # at once on one connection
REFUSED = 0.2  # of an early end: a client may open more than it was allowed before it was told

ANNOUNCED: dict[int, int] = {
    Setting.MAX_CONCURRENT_STREAMS: STREAMS,
    Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    Setting.MAX_HEADER_LIST_SIZE: MAX_HEAD,
    Setting.ENABLE_CONNECT_PROTOCOL: 1,
    Setting.NO_RFC7540_PRIORITIES: 1,
}


class Http2Protocol(Http2Wire):
    """Implements `network.http2.codec.Handler`, and `connection.Connection` for its streams."""

    def __init__(
        self,
        server: ServerState,
        loop: asyncio.AbstractEventLoop,
        new_codec: NewCodec,
        lost: Callable[[], None] = nothing,
    ) -> None:
        """`lost` is called once, when the connection is gone."""
        super().__init__(server, loop, lost)
        self._codec = new_codec(self, client=False, settings=ANNOUNCED)
        self._parse = HeadParser(None, self.peer)
        self._heads = HeadReader()
        self._translate = Translator(self.peer.scheme, _key)
        self._exchanges: dict[int, StreamExchange] = {}
        self._tunnels: dict[int, StreamTransport] = {}
        self._told: set[int] = set()  # open streams whose early end is ours, or is counted already

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # What is remembered of a request says how it came.  `:scheme http` is for a proxy also where there is
        # none: no client says that to a server.
        self._parse = HeadParser(self.server.plans, replace(self.peer, scheme=b"h2"), tunnels=True)
        self._translate = Translator(self.peer.scheme, _key)

    # --- of the codec

    def head_came(self, stream: int, fields: Sequence[Pair], ended: bool) -> None:
        if self._closing or stream in self._open:
            return
        self._highest = max(self._highest, stream)
        if (
            len(self._open) >= STREAMS
            or self._output.overfull
            or (self._open and not self.server.door.enter_stream())
        ):
            self._told.add(stream)
            self._codec.reset(stream, Code.REFUSED_STREAM)
            return
        self._open.add(stream)
        try:
            asked = self._translate(fields, ended=ended)
            head = self._parse.next(self._heads, asked.head)
            assert head is not None  # it is a whole one
        except StatusError as error:
            self._refuse(stream, error, ended=ended)
            return
        hand_over = None
        if asked.websocket or head.method == "CONNECT":
            # RFC 9113, 8.5; RFC 8441, 5
            broken = Code.CANCEL if asked.websocket else Code.CONNECT_ERROR
            tunnel = self._tunnels[stream] = StreamTransport(self, stream, broken)
            tunnel.ended = ended
            hand_over = tunnel.hand_over
        body = None
        if head.chunked or head.length is not None:
            body = StreamBody(self, stream, head)
            body.streams = is_grpc(map(field_of, head.lines))
        exchange = self._exchanges[stream] = StreamExchange(self, stream, head, body, hand_over)
        self._begin(exchange)

    def interim_came(self, stream: int, fields: Sequence[Pair]) -> None:
        """A client sends none."""

    def data_came(self, stream: int, data: bytes, ended: bool) -> None:
        tunnel = self._tunnels.get(stream)
        if tunnel is not None:
            tunnel.feed(data, ended)
            return
        exchange = self._exchanges.get(stream)
        body = exchange.body if exchange is not None else None
        if body is None:
            self._codec.consumed(stream, len(data))
            return
        body.feed(data, ended)
        if body.awaited and not ended and not body.streams:
            self.await_body(stream)
        elif ended:
            self._waits.no_body(stream)

    def trailers_came(self, stream: int, fields: Sequence[Pair]) -> None:
        exchange = self._exchanges.get(stream)
        if exchange is not None and exchange.body is not None:
            exchange.body.trailers = [(name, name, value) for name, value in fields]
        self.data_came(stream, b"", True)

    def reset_came(self, stream: int, code: int) -> None:
        self._told.add(stream)
        self._early_end(1.0)
        self.end_stream(stream, broken=code != Code.NO_ERROR)

    def closed(self, stream: int, code: int) -> None:
        if code and stream not in self._told:
            self._early_end(REFUSED if code == Code.REFUSED_STREAM else 1.0)
        self._told.discard(stream)
        if stream in self._exchanges or stream in self._tunnels:
            self.end_stream(stream, broken=code != Code.NO_ERROR)
        if stream in self._open:
            self._forget(stream)

    def settings_came(self, settings: Mapping[int, int]) -> None:
        self._waits.settled = True

    def going_away(self, last: int, code: int) -> None:
        """The client opens no further streams; those that are open go on."""

    def _early_end(self, weight: float) -> None:
        if not self._closing and not self._output.floods.reset(self.loop.time(), weight):
            self._fail(ConnectionFault("too many streams that end early", Code.ENHANCE_YOUR_CALM))

    def end_stream(self, stream: int, *, broken: bool = True) -> None:
        """Nothing more comes from it, and nothing more can be sent.  `broken`: not in good order."""
        tunnel = self._tunnels.pop(stream, None)
        if tunnel is not None and tunnel.taken:
            tunnel.lose(None if tunnel.ended and not broken else ConnectionResetError())
            return
        exchange = self._exchanges.get(stream)
        if exchange is not None and not exchange.finished:
            exchange.finished = True
            self._cancel(exchange)

    def end_all(self, error: Exception | None, reason: str = "") -> None:
        for exchange in list(self._exchanges.values()):
            exchange.finished = True
            self._cancel(exchange, reason)
        for tunnel in list(self._tunnels.values()):
            tunnel.lose(error)

    def end_exchange(self, reason: str = "") -> None:
        """From outside, but for those that last long.  `reason` is for the record."""
        for exchange in list(self._exchanges.values()):
            if not exchange.lasting:
                exchange.abort()
                self._cancel(exchange, reason)
        if not self._open:
            self.close()

    @property
    def lasting(self) -> bool:
        """All of its exchanges are."""
        return bool(self._exchanges) and all(exchange.lasting for exchange in self._exchanges.values())

    def body_late(self, stream: int, error: StatusError) -> None:
        exchange = self._exchanges.get(stream)
        body = exchange.body if exchange is not None else None
        if body is not None and body.awaited and not body.streams:
            body.fail(error)

    def flushed(self) -> None:
        for tunnel in list(self._tunnels.values()):
            tunnel.flushed()

    def reset(self, stream: int, code: Code, *, at_once: bool = False) -> None:
        self._told.add(stream)
        super().reset(stream, code, at_once=at_once)

    # --- exchanges

    def _begin(self, exchange: StreamExchange) -> None:
        if self.server.begin_directly(exchange, self._parse.plan):
            return
        task = self._start(exchange, partial(self.server.app.serve, exchange))
        task.add_done_callback(partial(self.server.ended, exchange))

    def direct_done(self, exchange: StreamExchange) -> None:
        self.server.direct -= 1
        exchange.direct = None
        self._over(exchange)

    def go_on(self, exchange: StreamExchange) -> asyncio.Task[None]:
        """In a task, with what was begun without one."""
        return self._start(exchange, self.server.go_on(exchange))

    def _start(self, exchange: StreamExchange, serve: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        exchange.task = task = self.loop.create_task(self._run(exchange, serve))
        self.server.tasks.add(task)
        # One that is cancelled before it begins never does: not even its own `finally` says that it is over.
        task.add_done_callback(partial(self._done, exchange))
        return task

    async def _run(self, exchange: StreamExchange, serve: Callable[[], Awaitable[None]]) -> None:
        try:
            await serve()
            await exchange.let_go()
        except asyncio.CancelledError:
            pass  # the client has left

    def _done(self, exchange: StreamExchange, task: asyncio.Task[None]) -> None:
        self.server.tasks.discard(task)
        exchange.task = None
        self._over(exchange)

    def _over(self, exchange: StreamExchange) -> None:
        """The exchange has ended."""
        stream = exchange.stream
        if self._exchanges.pop(stream, None) is None:
            return
        if exchange.body is not None:
            self._waits.no_body(stream)
        if not exchange.finished:
            exchange.abort()
        if exchange.body is None and not self._tunnels:
            return
        tunnel = self._tunnels.get(stream)
        if tunnel is not None and tunnel.taken:
            return
        self._tunnels.pop(stream, None)
        body = exchange.body
        if (body is not None and not body.complete) or (tunnel is not None and not tunnel.ended):
            if body is not None:
                body.discard()
            self.reset(stream, Code.NO_ERROR)  # RFC 9113, 8.1: the rest is not needed

    def _refuse(self, stream: int, error: StatusError, *, ended: bool) -> None:
        """What came is no request."""
        exchange = StreamExchange(self, stream, Head("-", b"-", 1, [], True), None)
        self.server.app.refuse(exchange, error)
        if not ended:
            self.reset(stream, Code.NO_ERROR)

    def _cancel(self, exchange: StreamExchange, reason: str = "") -> None:
        tunnel = self._tunnels.get(exchange.stream)
        if tunnel is not None and tunnel.taken:
            return  # its relay ends with the stream
        if exchange.task is not None:
            exchange.task.cancel(reason or None)
        elif exchange.direct is not None:
            exchange.direct.cancel(reason or None)


def _key() -> bytes:
    """A Sec-WebSocket-Key."""
    return base64.b64encode(secrets.token_bytes(16))
