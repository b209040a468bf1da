"""A client's connection: heads read strictly, one exchange at a time, every wait under a deadline.

Runs under uvicorn's Server in place of its own protocols, which merge trailers into the headers, know no
limits while a head arrives, and miss a client that leaves with another request pipelined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bastion.kube.status import StatusError, bad_request
from bastion.network.addresses import parse_address, unmapped
from bastion.network.relay import Stream
from bastion.network.sockets import peer_has_left, reset_on_close
from bastion.server.http1.exchange import HttpExchange, RequestBody
from bastion.server.http1.head import MAX_HEAD, Head, oversized, read_head, read_request_line
from bastion.server.state import ServerState, nothing
from bastion.server.tls import peer_certificates

PIPELINED = 262144  # bytes of following requests held while one is served
# bytes of an unread body that are taken and dropped, so that the answer is not lost to a reset
LINGER_BYTES = 16 << 20
LINGER_SECONDS = 10.0
LOOK_SECONDS = 1.0  # between looks at a client that is not read from: it hears neither FIN nor RST


class HttpProtocol(asyncio.Protocol):
    def __init__(
        self, server: ServerState, loop: asyncio.AbstractEventLoop, lost: Callable[[], None] = nothing
    ) -> None:
        """`lost` is called once, when the connection is gone."""
        self.server = server
        self._lost = lost
        self.loop = loop
        self.deadline: float | None = None
        self.client = ""
        self.scheme = b"http"
        self.certificate: tuple[bytes, ...] = ()
        self.writable = True
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._scanned = 0  # bytes of the buffer known to hold no end of a head, and no bare CR or LF
        self._exchange: HttpExchange | None = None
        self._body: RequestBody | None = None  # of the exchange, or the rest of one that lingers
        self._unread = b""  # of a body with very many chunks, for the loop's next turn; reading is paused
        self._task: asyncio.Task[None] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._unsent = 0  # when last looked at, of what is on its way to a slow reader
        self._stalled_at = 0.0
        self._lingered = -1  # bytes dropped of a body nobody read; -1 while not lingering
        self._keep_alive_after = False  # what follows when the lingering ends
        self._reading = True
        self._closing = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=262144)
        peer = transport.get_extra_info("peername")
        self.client = client_address(peer[0]) if peer else ""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.scheme = b"https"
            self.certificate = peer_certificates(tls)
        self.deadline = self.loop.time() + self.server.timeouts.request_header
        self.server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._unread:  # TLS hands over what it had read
            self._unread += data
        else:
            self._received(data)

    def _received(self, data: bytes) -> None:
        if self._exchange is None and self._lingered < 0:
            if self._buffer:
                self._buffer += data
            else:
                self._buffer = data
                self._scanned = 0
            self._next()
        elif self._body is not None and not self._body.complete:
            self._feed_body(data)
        else:
            self._buffer += data
            if len(self._buffer) > PIPELINED:
                self.pause_reading()

    def eof_received(self) -> None:
        """A client that says it is done has left, as for Go's server: asyncio closes, and the exchange is
        cancelled.
        """

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.deadline = None
        self._unread = b""
        self._exchange = self._body = None  # they hold this object, too
        self._lost()
        self.server.lost(self)
        self._release_writer()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            # One that has not begun yet never will: not even its own `finally` would tell that it is over.
            task.add_done_callback(self.server.tasks.discard)

    def pause_writing(self) -> None:
        self.writable = False
        self._unsent = self._pending()
        self.deadline = self._stalled_at = self.loop.time() + self.server.timeouts.response_stall

    def resume_writing(self) -> None:
        self.writable = True
        self.deadline = None if self._reading else self.loop.time() + LOOK_SECONDS
        self._release_writer()
        if self._body is not None and self._body.awaited:
            self.await_body()
        elif self._exchange is None and not self._closing:  # what it was slow to take was a whole answer
            self.deadline = self.loop.time() + self.server.timeouts.keep_alive

    # --- deadlines

    def expired(self) -> None:
        if (self._closing and not self._unsent) or (
            not self._reading and self._transport is not None and peer_has_left(self._transport)
        ):
            self.abort()
        elif self._closing or not self.writable:
            self._check_stall()
        elif not self._reading:
            self.deadline = self.loop.time() + LOOK_SECONDS
        elif self._exchange is not None and self._body is not None and self._body.awaited:
            if self._exchange.status:
                # an answer has begun: only its end can tell that the rest was not waited for
                self.end_exchange()
            else:
                self._body.fail(
                    StatusError(408, "Timeout", "timed out waiting for the request's body", close=True)
                )
        elif self._exchange is not None:
            return  # it was looked after for a while; nothing is waited for from this client
        elif self._lingered < 0 and self._buffer:
            self._refuse(StatusError(408, "Timeout", "timed out waiting for the request's head", close=True))
        else:
            self.close()

    def _check_stall(self) -> None:
        """A slow reader is served for as long as it takes; one that takes nothing is not."""
        pending, now = self._pending(), self.loop.time()
        if pending < self._unsent:
            self._unsent = pending
            self._stalled_at = now + self.server.timeouts.response_stall
        elif now >= self._stalled_at:
            self.abort()
            return
        self.deadline = self._stalled_at if self._reading else min(self._stalled_at, now + LOOK_SECONDS)

    def _pending(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def await_body(self) -> None:
        if self.writable:
            self.deadline = self.loop.time() + self.server.timeouts.request_body_idle

    # --- writing

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def write_pieces(self, pieces: list[bytes]) -> None:
        if self._transport is not None:
            self._transport.writelines(pieces)

    def write_continue(self) -> None:
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def drain(self) -> None:
        while not self.writable and self._transport is not None:
            if self._write_waiter is None:
                self._write_waiter = self.loop.create_future()
            await self._write_waiter

    def _release_writer(self) -> None:
        waiter, self._write_waiter = self._write_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- reading

    def pause_reading(self) -> None:
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()
            self.deadline = min(self.deadline or float("inf"), self.loop.time() + LOOK_SECONDS)

    def resume_reading(self) -> None:
        if not self._reading and self._transport is not None and not self._unread:
            self._reading = True
            self._transport.resume_reading()

    # --- requests

    def _next(self) -> None:
        """Begin the next exchange if its head has come."""
        if self._buffer[:2] == b"\r\n":
            self._buffer = _without_empty_lines(self._buffer)
            self._scanned = 0
        buffer = self._buffer
        if not buffer:
            return
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        try:
            if end < 0:
                self._await_head(buffer)
                return
            if end > MAX_HEAD:
                raise oversized(buffer)
            head = read_head(buffer[:end])
        except StatusError as error:
            self._refuse(error)
            return
        rest, self._buffer = buffer[end + 4 :], b""
        self._begin(head, rest)

    def _await_head(self, buffer: bytes) -> None:
        """More of the head is to come.  Raises StatusError where that cannot make it good."""
        if len(buffer) > MAX_HEAD:
            raise oversized(buffer)
        end = len(buffer) - 1 if buffer[-1:] == b"\r" else len(buffer)
        fresh = buffer[self._scanned : end]
        if not fresh.count(b"\r\n") == fresh.count(b"\n") == fresh.count(b"\r"):
            raise bad_request("malformed request: a line that does not end in CRLF", close=True)
        line_end = buffer.find(b"\r\n")
        if line_end >= 0 and line_end + 2 > self._scanned:
            read_request_line(buffer[:line_end])
        if self._scanned == 0:
            self.deadline = min(
                self.deadline or float("inf"), self.loop.time() + self.server.timeouts.request_header
            )
        self._scanned = end

    def _begin(self, head: Head, rest: bytes) -> None:
        body = RequestBody(self, head) if head.chunked or head.length is not None else None
        self._body = body
        self._exchange = exchange = HttpExchange(self, head, body)
        self.deadline = None
        if rest:
            self.data_received(rest)
        self._task = task = self.loop.create_task(self._run(exchange, self.server.app.serve))
        self.server.tasks.add(task)

    async def _run(self, exchange: HttpExchange, serve: Callable[[HttpExchange], Awaitable[None]]) -> None:
        try:
            await serve(exchange)
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
            if self._exchange is None or self._exchange.status:
                self._body = None
                self.end_exchange()
                return
            # Where this body ends nobody knows, so nothing that follows is a request.
            self._exchange.keep_alive = False
            self._body = None
            body.fail(error)
            return
        if self._lingered >= 0:
            self._linger(len(data) - len(rest), body)
        elif body.awaited:
            self.await_body()
        if not rest:
            return
        if body.complete:
            self._buffer += rest
        elif self._transport is not None:
            self._unread = rest
            self._reading = False  # for one turn: nobody need look whether the client is still there
            self._transport.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Everybody else had a turn."""
        if self._transport is None or self._closing:
            return
        data, self._unread = self._unread, b""
        self._received(data)
        if (
            not self._unread
            and len(self._buffer) <= PIPELINED
            and not (self._body is not None and self._body.full)
        ):
            self.resume_reading()

    def hand_over(self) -> Stream:
        """The raw connection, for whoever sets a protocol of its own on it and resumes reading."""
        transport, self._transport = self._transport, None
        if transport is None:
            raise asyncio.CancelledError  # the client has left
        transport.pause_reading()
        self.deadline = None
        self.server.hijacked.add(self)
        early, self._buffer = self._buffer, b""
        return Stream(transport, early, self._relayed)

    def _relayed(self) -> None:
        self.server.hijacked.discard(self)
        self._lost()
        self.server.lost(self)

    def _over(self, exchange: HttpExchange) -> None:
        """The exchange has ended: go on with the next, or close."""
        if self._transport is None or self._closing:
            return
        if not exchange.finished:
            exchange.abort()
        if self._closing:
            return
        self._exchange = None
        body = self._body
        if body is None or body.complete:
            self._body = None
            # What came behind a refused upgrade may be of the other protocol: never read it as a request
            # (CVE-2018-1002105).
            self._go_on(exchange.keep_alive and not (exchange.upgrade_asked and self._buffer))
            return
        # An answer before the end of the body: take what is on its way, or a reset would destroy the answer
        # (RFC 9112, 9.6).
        body.discard()
        self._lingered = 0
        self._keep_alive_after = exchange.keep_alive
        self.deadline = self.loop.time() + LINGER_SECONDS
        self.resume_reading()

    def _linger(self, count: int, body: RequestBody) -> None:
        self._lingered += count
        if body.complete:
            self._lingered = -1
            self._body = None
            self.loop.call_soon(self._go_on, self._keep_alive_after)
        elif self._lingered > LINGER_BYTES:
            self.close()

    def _go_on(self, keep_alive: bool) -> None:
        if not keep_alive or self.server.draining:
            self.close()
            return
        if self.writable:
            self.deadline = self.loop.time() + self.server.timeouts.keep_alive
        self._scanned = 0
        self.resume_reading()
        if self._buffer and self._exchange is None:
            self._next()

    def _refuse(self, error: StatusError) -> None:
        """Nothing that came can be trusted to be a request: answer and close."""
        head = Head("-", b"-", 1, [], b"", None, False, False, False, "")
        exchange = HttpExchange(self, head, None)
        self._buffer = b""
        self.server.app.refuse(exchange, error)
        self.close()

    # --- the end

    def shut_down(self) -> None:
        """No more requests after the one under way."""
        if self._exchange is None and self._lingered < 0:
            self.close()

    def close(self) -> None:
        """After what is written has gone out."""
        if self._transport is not None and not self._closing:
            self._closing = True
            self._unsent = self._pending()
            self._transport.close()
            self.deadline = self._stalled_at = self.loop.time() + (
                self.server.timeouts.response_stall if self._unsent else LINGER_SECONDS
            )

    @property
    def lasting(self) -> bool:
        return self._exchange is not None and self._exchange.lasting

    def end_exchange(self, reason: str = "") -> None:
        """From outside; what came of its answer is the client's.  `reason` is for the record."""
        exchange, task = self._exchange, self._task
        if exchange is None:
            self.close()
            return
        exchange.abort()
        if task is not None:
            task.cancel(reason or None)

    def break_off(self) -> None:
        """After what is written has gone out; what a client still sends is taken first, or the kernel would
        make a reset of it.
        """
        if self._transport is None or self._closing:
            return
        if self._body is not None and not self._body.complete and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self.close()

    def abort(self) -> None:
        """With a reset: where nothing else delimits an answer, a FIN would end it as if it were whole."""
        self._closing = True
        if self._transport is not None:
            reset_on_close(self._transport)
            self._transport.abort()


def _without_empty_lines(buffer: bytes) -> bytes:
    """RFC 9112, 2.2: empty lines before the request line are ignored, whether they come with it or alone."""
    start = 0
    while buffer.startswith(b"\r\n", start):
        start += 2
    return buffer[start:]


def client_address(text: str) -> str:
    """Without a scope, and an IPv4 address as such also where it came over an IPv6 socket."""
    address = parse_address(text.partition("%")[0])
    return str(unmapped(address)) if address is not None else text
