"""A client's connection: heads read strictly, one exchange at a time, every wait under a deadline.

Runs under uvicorn's Server in place of its own protocols, which merge trailers into the headers, know no
limits while a head arrives, and miss a client that leaves with another request pipelined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from bastion.kube.status import StatusError
from bastion.message.upgrade import names_upgrade
from bastion.network.relay import Stream
from bastion.server.http1.body import RequestBody
from bastion.server.http1.connection import Peer
from bastion.server.http1.exchange import HttpExchange, exchange_of
from bastion.server.http1.head import Head
from bastion.server.http1.known import HeadParser
from bastion.server.http1.linger import Linger
from bastion.server.http1.peer import peer_of
from bastion.server.http1.reader import HeadReader
from bastion.server.http1.waits import BODY, CLOSE, FIRST_BYTE, HEAD, LINGER, NEXT_REQUEST, RESPONSE
from bastion.server.http1.wire import Wire
from bastion.server.state import ServerState, nothing

PIPELINED = 262144  # bytes of following requests held while one is served
UNSENT = 262144  # bytes written ahead of the client before a response is made to wait


class HttpProtocol(Wire):
    def __init__(
        self, server: ServerState, loop: asyncio.AbstractEventLoop, lost: Callable[[], None] = nothing
    ) -> None:
        """`lost` is called once, when the connection is gone."""
        super().__init__(server, loop)
        self.peer = Peer()
        self._lost = lost
        self._heads = HeadReader(server.any_target)
        self._parse = HeadParser(None, self.peer)
        self._exchange: HttpExchange | None = None
        self._body: RequestBody | None = None  # of the exchange, or the rest of one that lingers
        self._linger: Linger | None = None
        self._task: asyncio.Task[None] | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=UNSENT)
        self.peer = peer_of(transport)
        self._parse = HeadParser(
            self.server.plans, self.peer, any_target=self.server.any_target, tunnels=self.server.tunnels
        )
        self._wait_for(FIRST_BYTE)
        self.server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._reading.left:  # TLS hands over what it had read
            self._reading.left += data
        elif self._exchange is None and self._linger is None:
            self._next(data)
        elif self._body is not None and not self._body.complete:
            self._feed_body(data)
        else:
            self._heads.hold(data)
            if len(self._heads.pending) > PIPELINED:
                self.pause_reading()

    def eof_received(self) -> None:
        """A client that ends its direction has left, as for Go's server: its exchange is cancelled."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.deadline = None
        self._reading.left = b""
        exchange, self._exchange, self._body = self._exchange, None, None  # they hold this object, too
        self._lost()
        self.server.lost(self)
        self.gate.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            task.add_done_callback(self.server.tasks.discard)
        elif exchange is not None and exchange.direct is not None:
            exchange.direct.cancel()

    # --- requests

    def _next(self, data: bytes = b"") -> None:
        """Begin the next exchange if its head has come."""
        try:
            head = self._parse.next(self._heads, data)
        except StatusError as error:
            self.refuse(error)
            return
        if head is not None:
            self._begin(head)
        elif self._heads.pending and self._wait is not HEAD:
            due = self.deadline  # from the connection on, where it is the first
            self._wait_for(HEAD)
            self.deadline = min(due or float("inf"), self.deadline or float("inf"))

    def _begin(self, head: Head) -> None:
        body = RequestBody(self, head) if head.chunked or head.length is not None else None
        self._body = body
        self._exchange = exchange = exchange_of(self, head, body)
        self._wait = RESPONSE
        if self.gate.writable:
            self.deadline = None
        if self._heads.pending:
            self.data_received(self._heads.take())
        if self.server.begin_directly(exchange, self._parse.plan):
            return
        task = self._start(exchange, partial(self.server.app.serve, exchange))
        task.add_done_callback(partial(self.server.ended, exchange))

    def direct_done(self, exchange: HttpExchange) -> None:
        self.server.direct -= 1
        exchange.direct = None
        self._over(exchange)

    def go_on(self, exchange: HttpExchange) -> asyncio.Task[None]:
        """In a task, with what was begun without one."""
        return self._start(exchange, self.server.go_on(exchange))

    def _start(self, exchange: HttpExchange, serve: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        self._task = task = self.loop.create_task(self._run(exchange, serve))
        self.server.tasks.add(task)
        return task

    async def _run(self, exchange: HttpExchange, serve: Callable[[], Awaitable[None]]) -> None:
        try:
            await serve()
            await exchange.let_go()
        except asyncio.CancelledError:
            pass  # the client has left
        finally:
            if self._task is not None:
                self.server.tasks.discard(self._task)
            self._task = None
            self._over(exchange)

    def _feed_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        try:
            rest = body.feed(data)
        except StatusError as error:
            self._fail_body(body, error)
            return
        if self._linger is not None:
            self._drop(self._linger, len(data) - len(rest), body)
        elif body.awaited:
            self._wait_for(BODY)
        if not rest:
            return
        if body.complete:
            self._heads.hold(rest)
        elif self._transport is not None:
            self._reading.postpone(rest, self._transport, self.loop, self._read_on)

    def _fail_body(self, body: RequestBody, error: StatusError) -> None:
        """Its framing is broken: where it ends is unknown, so nothing that follows is a request."""
        exchange, self._body = self._exchange, None
        if exchange is None or exchange.status:
            self.end_exchange()
        else:
            exchange.keep_alive = False
            body.fail(error)

    def await_body(self) -> None:
        self._wait_for(BODY)

    def give_up_body(self, error: StatusError) -> None:
        """The client sent nothing of it for too long."""
        if self._exchange is None or self._body is None or not self._body.awaited:
            return  # it was waited for, and came
        if self._exchange.status:
            # a response has begun: only its end can tell that the rest was not waited for
            self.end_exchange()
        else:
            self._body.fail(error)

    def _read_on(self) -> None:
        """After every other connection had a turn."""
        if self._transport is None or self._wait is CLOSE:
            return
        self.data_received(self._reading.take())
        if len(self._heads.pending) <= PIPELINED and not (self._body is not None and self._body.full):
            self.resume_reading()

    def hand_over(self) -> Stream:
        """The raw connection, to what sets a protocol of its own on it and resumes reading."""
        transport, self._transport = self._transport, None
        if transport is None:
            raise asyncio.CancelledError  # the client has left
        transport.pause_reading()
        self.deadline = None
        self.server.hijacked.add(self)
        return Stream(transport, self._heads.take(), self._relayed)

    def _relayed(self) -> None:
        self.server.hijacked.discard(self)
        self._lost()
        self.server.lost(self)

    def _over(self, exchange: HttpExchange) -> None:
        """The exchange has ended: go on with the next, or close."""
        if self._transport is None or self._wait is CLOSE:
            return
        if not exchange.finished:
            exchange.abort()
        if self._wait is CLOSE:
            return
        self._exchange = None
        body = self._body
        if body is None or body.complete:
            self._body = None
            # What came behind a refused upgrade or tunnel may be of the other protocol: never read it as a
            # request (CVE-2018-1002105, CVE-2025-64763).
            other = self._heads.pending and (
                exchange.method == "CONNECT"
                or (exchange.upgradable and names_upgrade(exchange.minor, exchange.fields))
            )
            self._go_on(exchange.keep_alive and not other)
            return
        body.discard()
        self._linger = Linger(exchange.keep_alive)
        self._wait_for(LINGER)
        self.resume_reading()

    def _drop(self, linger: Linger, count: int, body: RequestBody) -> None:
        more = linger.drop(count)
        if body.complete:
            self._linger = self._body = None
            self.loop.call_soon(self._go_on, linger.keep_alive)
        elif not more:
            self.close()

    def _go_on(self, keep_alive: bool) -> None:
        if not keep_alive or self.server.draining:
            self.close()
            return
        self._wait_for(NEXT_REQUEST)
        if self._reading.paused:
            self.resume_reading()
        if self._heads.pending and self._exchange is None:
            self._next()

    def refuse(self, error: StatusError) -> None:
        """Nothing that came can be trusted to be a request: answer and close."""
        self._heads.take()
        self.server.app.refuse(exchange_of(self, Head("-", b"-", 1, [], False), None), error)
        self.close()

    # --- the end

    def shut_down(self) -> None:
        """No more requests after the one under way."""
        if self._exchange is None and self._linger is None:
            self.close()

    @property
    def lasting(self) -> bool:
        return self._exchange is not None and self._exchange.lasting

    def end_exchange(self, reason: str = "") -> None:
        """From outside; what was written of its response still goes out.  `reason` is for the record."""
        exchange, task = self._exchange, self._task
        if exchange is None:
            self.close()
            return
        exchange.abort()
        if task is not None:
            task.cancel(reason or None)
        elif exchange.direct is not None:
            exchange.direct.cancel(reason or None)

    def break_off(self) -> None:
        """After what is written has gone out; what a client still sends is taken first, or the kernel would
        make a reset of it.
        """
        if self._transport is None or self._wait is CLOSE:
            return
        if self._body is not None and not self._body.complete and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self.close()
