"""A client's connection, as its client sees it: every wait has its end, every buffer its limit, and nothing
stays behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvloop

from bastion.kube.status import StatusError, bad_request
from bastion.network.held import HIGH_WATER
from bastion.runtime.certificates import Authority
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.listening import listen
from bastion.server.http1.exchange import HttpExchange
from bastion.server.http1.framing import AT_ONCE
from bastion.server.http1.linger import MAX_BYTES as LINGER_BYTES
from bastion.server.http1.protocol import PIPELINED, HttpProtocol
from bastion.server.http1.waits import LINGER_SECONDS
from bastion.server.listener import Listener
from bastion.server.state import ServerState
from bastion.settings.sections import Timeouts
from tests import fakes
from tests.fakes import ClockLoop, pass_time, settle, until

Serve = Callable[[HttpExchange], Awaitable[None]]

TIMEOUTS = Timeouts(request_header=10, keep_alive=60, request_body_idle=20, response_stall=20)
SWEEP = 0.5  # seconds by which a deadline may be late
GET = b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
MUCH = 8 << 20
AUTHORITY = Authority()


# --- who answers


@dataclass
class App:
    """`serve` answers; `left` are the targets of exchanges that were cancelled."""

    answer: Serve
    served: list[bytes] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)

    async def serve(self, exchange: HttpExchange) -> None:
        self.served.append(exchange.target)
        try:
            await self.answer(exchange)
        except StatusError as error:
            exchange.send_status(error)
        except asyncio.CancelledError:
            self.left.append(exchange.target)
            raise

    def refuse(self, exchange: HttpExchange, error: StatusError) -> None:
        self.refused.append(error.code)
        exchange.send_status(error)


async def echo(exchange: HttpExchange) -> None:
    """The target, or the body where there is one."""
    body = exchange.target
    if exchange.body is not None:
        body = b""
        while piece := await exchange.body.read():
            body += piece
    exchange.start(200, b"", [], len(body))
    exchange.finish(body)


async def never(exchange: HttpExchange) -> None:
    await asyncio.Event().wait()


async def pour(exchange: HttpExchange, size: int = MUCH) -> None:
    """As a forwarder does it: piece by piece, never ahead of the reader."""
    exchange.start(200, b"", [], size)
    for _ in range(0, size - 65536, 65536):
        exchange.write(bytes(65536))
        if not exchange.writable:
            await exchange.drain()
    exchange.finish(bytes(65536))


# --- who asks


class Peer:
    """A client by hand; nothing is read before it is asked for."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self.sent = 0

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def pour(self, piece: bytes) -> None:
        """For ever; `sent` counts what was taken."""
        while True:
            await self._loop.sock_sendall(self.sock, piece)
            self.sent += len(piece)

    async def some(self, size: int = 65536) -> bytes:
        """Empty at the end, also at one that is none."""
        held, self._held = self._held, b""
        with contextlib.suppress(ConnectionError):
            return held or await self._loop.sock_recv(self.sock, size)
        return b""

    async def rest(self) -> bytes:
        data = b""
        while piece := await self.some():
            data += piece
        return data

    async def answer(self) -> tuple[int, bytes, bytes]:
        """(status, head, body), the body by its length."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = await self.some()
            assert piece, f"the connection ended in a head: {data!r}"
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")),
            0,
        )
        while len(body) < length:
            piece = await self.some()
            assert piece, "the connection ended in a body"
            body += piece
        self._held = body[length:]
        return int(head.split(b" ")[1]), head, body[:length]

    def silent(self) -> bool:
        """Whether nothing came, not even the end."""
        try:
            return not self._held and self.sock.recv(1, socket.MSG_PEEK) is None
        except BlockingIOError:
            return True

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class TLSPeer(Peer):
    """Says over TLS what the other says in plain."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        trust = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname=fakes.LOOPBACK)
        self.told_the_end = False  # by TLS' own word

    async def shake_hands(self, request: bytes = b"") -> None:
        """`request` goes out with the last of it."""
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
                if request:
                    self._tls.write(request)
                await self._flush()
                return
            await self._flush()
            self._incoming.write(await self._loop.sock_recv(self.sock, 65536))

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self.sock, self._outgoing.read())

    async def some(self, size: int = 65536) -> bytes:
        held, self._held = self._held, b""
        while not held:
            try:
                held = self._tls.read(size)
            except ssl.SSLWantReadError:
                wire = await self._loop.sock_recv(self.sock, size)
                if not wire:
                    break
                self._incoming.write(wire)
            else:
                if not held:
                    self.told_the_end = True
                    break
        return held


class Conversation:
    def __init__(self, app: App, state: ServerState, port: int, kind: type[Peer]) -> None:
        self.app, self.state, self._port, self._kind = app, state, port, kind
        self._peers: list[Peer] = []

    async def peer(self, receive_buffer: int = 0) -> Peer:
        """Connected, and known to the server."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        before = len(self.state.connections)
        await asyncio.get_running_loop().sock_connect(sock, (fakes.LOOPBACK, self._port))
        peer = self._kind(sock)
        self._peers.append(peer)
        if isinstance(peer, TLSPeer):
            await peer.shake_hands()
        await until(lambda: len(self.state.connections) > before)
        return peer

    def hang_up(self) -> None:
        for peer in self._peers:
            peer.sock.close()


class Seen(set[HttpProtocol]):
    """`all` that were ever in it."""

    def __init__(self) -> None:
        self.all: list[weakref.ref[HttpProtocol]] = []

    def add(self, connection: HttpProtocol) -> None:
        self.all.append(weakref.ref(connection))
        super().add(connection)


@contextlib.asynccontextmanager
async def conversation(serve: Serve = echo, *, tls: bool = False) -> AsyncIterator[Conversation]:
    """At its end no connection, task or descriptor is left, nor what they held: nothing waits for the garbage
    collector.
    """
    context = fakes.server_tls(AUTHORITY) if tls else None
    await settle()
    before = descriptors()
    async with Deadlines() as deadlines:
        app = App(serve)
        seen = Seen()
        state = ServerState(app, deadlines, timeouts=TIMEOUTS, connections=seen)  # type: ignore[arg-type]
        sock = listen((fakes.LOOPBACK, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what the kernel takes is no matter here
        listener = Listener(sock, (lambda: context) if context is not None else None, state)
        talk = Conversation(app, state, sock.getsockname()[1], TLSPeer if tls else Peer)
        listener.start()
        gc.disable()
        try:
            yield talk
        finally:
            gc.enable()
            listener.stop()
            talk.hang_up()
        await until(state.idle.is_set)
        await until(lambda: not state.tasks)
        assert not state.connections
        assert state.door.inside == 0
        assert len(deadlines) == 0
        await settle()
        assert [connection for connection in seen.all if connection() is not None] == []
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    # some may be gone, of what was left to the collector before
    await until(lambda: descriptors().items() <= before.items())


def descriptors() -> dict[str, str]:
    """The open ones, but for /dev/null, of which libuv keeps one from the first connection on."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the folder itself
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return {name: target for name, target in found.items() if target != os.devnull}


def clocked(talk: Callable[[], Awaitable[None]]) -> None:
    """On a clock that the test moves."""
    fakes.run(talk(), ClockLoop)  # type: ignore[arg-type]


def real(talk: Callable[[], Awaitable[None]]) -> None:
    """On the loop that the program itself runs on."""
    fakes.run(talk(), uvloop.new_event_loop)  # type: ignore[arg-type]


async def quiet_for(peer: Peer, seconds: float) -> None:
    await pass_time(seconds)
    assert peer.silent()


def status_of(body: bytes) -> str:
    message: str = json.loads(body)["message"]
    return message


# --- the head's deadline


def test_who_says_nothing_is_closed_without_a_word() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await quiet_for(peer, TIMEOUTS.request_header - SWEEP)
            await pass_time(2 * SWEEP)
            assert await peer.rest() == b""
            assert not c.app.refused

    clocked(talk)


@pytest.mark.parametrize(
    "begun",
    [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r"],
)
def test_half_a_head_is_answered_when_its_time_is_up(begun: bytes) -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send(begun)
            await quiet_for(peer, TIMEOUTS.request_header - SWEEP)
            await pass_time(2 * SWEEP)
            code, head, body = await peer.answer()
            assert (code, status_of(body)) == (408, "timed out waiting for the request's head")
            assert b"Connection: close" in head
            assert await peer.rest() == b""

    clocked(talk)


@pytest.mark.parametrize("first", [False, True], ids=["the first request", "a later one"])
def test_a_head_that_drips_gains_no_time(first: bool) -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            if first:
                await peer.send(GET % b"")
                await peer.answer()
            for byte in b"GET / HTTP/1.1\r\nX-A: ":
                await peer.send(bytes([byte]))
                await pass_time(0.2)
            for _ in range(8):
                assert peer.silent()
                await peer.send(b"b")
                await pass_time(0.8)
            assert (await peer.answer())[0] == 408
            assert await peer.rest() == b""

    clocked(talk)


def test_empty_lines_gain_no_time() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            for _ in range(11):
                with contextlib.suppress(ConnectionError):
                    await peer.send(b"\r\n")
                await pass_time(1)
            assert await peer.rest() == b""

    clocked(talk)


def test_empty_lines_before_a_request_are_passed_over() -> None:
    async def talk() -> None:
        async with conversation() as c:
            for pieces in ([b"\r\n\r\n\r\n" + GET % b""], [b"\r\n", b"\r", b"\n\r\n", GET % b""]):
                peer = await c.peer()
                for piece in pieces:
                    await peer.send(piece)
                assert (await peer.answer())[0] == 200

    clocked(talk)


def test_a_request_line_that_is_none_is_refused_once_it_is_there() -> None:
    async def talk() -> None:
        async with conversation() as c:
            for pieces in ([b"GET /\r\nHost: h\r\n"], [b"GE", b"T /\r", b"\nHo"]):
                peer = await c.peer()
                for piece in pieces:
                    await peer.send(piece)
                assert (await peer.answer())[0] == 400

    clocked(talk)


# --- between requests


def test_a_kept_connection_is_closed_when_nothing_more_comes() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            for _ in range(2):
                await peer.send(GET % b"x")
                assert (await peer.answer())[2] == b"/x"
                await quiet_for(peer, TIMEOUTS.keep_alive - SWEEP)
            await pass_time(2 * SWEEP)
            assert await peer.rest() == b""

    clocked(talk)


def test_a_kept_connection_is_closed_also_after_a_reader_who_was_slow() -> None:
    """The answer was with the transport before its reader took it: the wait begins when it did."""

    async def at_once(exchange: HttpExchange) -> None:
        exchange.start(200, b"", [], MUCH)
        exchange.finish(bytes(MUCH))

    async def talk() -> None:
        async with conversation(at_once) as c:
            peer = await c.peer()
            await peer.send(GET % b"")
            await until(lambda: not c.state.tasks)
            assert len((await peer.answer())[2]) == MUCH
            await pass_time(TIMEOUTS.keep_alive + 2 * SWEEP)
            assert not peer.silent()
            assert await peer.rest() == b""

    clocked(talk)


def test_an_exchange_has_all_the_time_it_needs() -> None:
    async def talk() -> None:
        ready = asyncio.Event()

        async def late(exchange: HttpExchange) -> None:
            await ready.wait()
            await echo(exchange)

        async with conversation(late) as c:
            peer = await c.peer()
            await peer.send(GET % b"late")
            await quiet_for(peer, 3600)
            ready.set()
            assert (await peer.answer())[2] == b"/late"

    clocked(talk)


# --- the body's deadline


def test_a_body_that_stops_coming_is_a_408() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send(POST % 10 + b"half!")
            await quiet_for(peer, TIMEOUTS.request_body_idle - SWEEP)
            await pass_time(2 * SWEEP)
            code, head, body = await peer.answer()
            assert (code, status_of(body)) == (408, "timed out waiting for the request's body")
            assert b"Connection: close" in head
            await pass_time(LINGER_SECONDS + 2 * SWEEP)
            assert await peer.rest() == b""

    clocked(talk)


def test_a_body_that_stops_coming_under_an_answer_breaks_it_off() -> None:
    async def both_ways(exchange: HttpExchange) -> None:
        assert exchange.body is not None
        exchange.start(200, b"", [], 10)
        while piece := await exchange.body.read():
            exchange.write(piece)
        exchange.finish()

    async def talk() -> None:
        async with conversation(both_ways) as c:
            peer = await c.peer()
            await peer.send(POST % 10 + b"half!")
            await pass_time(TIMEOUTS.request_body_idle + 2 * SWEEP)
            assert (await peer.rest()).endswith(b"\r\n\r\nhalf!")

    clocked(talk)


def test_a_body_that_keeps_coming_is_served() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            body = b"0123456789" * 2000
            await peer.send(POST % len(body))
            for at in range(0, len(body), 2000):
                await quiet_for(peer, TIMEOUTS.request_body_idle / 10)
                await peer.send(body[at : at + 2000])
            assert (await peer.answer())[2] == body

    clocked(talk)


def test_nobody_waits_for_a_body_that_nobody_reads() -> None:
    """The deadline is the reader's: an application that is not reading is not kept from answering."""

    async def talk() -> None:
        ready = asyncio.Event()

        async def late(exchange: HttpExchange) -> None:
            await ready.wait()
            await echo(exchange)

        async with conversation(late) as c:
            peer = await c.peer()
            await peer.send(POST % 10 + b"half!")
            await quiet_for(peer, 3600)
            ready.set()
            await peer.send(b"whole")
            assert (await peer.answer())[2] == b"half!whole"

    clocked(talk)


def test_a_client_that_was_made_to_wait_is_not_sent_away_for_it() -> None:
    """It was looked after while it was not read from; then its body is taken, and the backend is slow with
    that.
    """

    async def talk() -> None:
        full, taken = asyncio.Event(), asyncio.Event()

        async def slow(exchange: HttpExchange) -> None:
            assert exchange.body is not None
            await full.wait()
            size = len(await exchange.body.read())
            await taken.wait()
            while piece := await exchange.body.read():
                size += len(piece)
            exchange.start(200, b"", [], 0)
            exchange.finish()

        async with conversation(slow) as c:
            peer = await c.peer()
            await peer.send(POST % (HIGH_WATER + 20))
            await peer.send(bytes(HIGH_WATER + 10))
            await until(
                lambda: any(
                    isinstance(connection, HttpProtocol) and connection._reading.paused
                    for connection in c.state.connections
                )
            )
            full.set()
            await quiet_for(peer, 3600)
            taken.set()
            await peer.send(bytes(10))
            assert (await peer.answer())[0] == 200

    clocked(talk)


# --- the reader's deadline


def test_a_reader_that_stalls_is_cut_off() -> None:
    async def talk() -> None:
        async with conversation(pour) as c:
            peer = await c.peer(receive_buffer=4096)
            await peer.send(GET % b"")
            await settle()
            await pass_time(2 * TIMEOUTS.response_stall + 2 * SWEEP)
            await until(lambda: c.app.left)
            assert len(await peer.rest()) < MUCH

    clocked(talk)


def test_a_reader_that_stalls_is_cut_off_with_another_request_pipelined_too() -> None:
    """The next exchange begins while the response before it is still unsent: that wait goes on."""

    async def whole(exchange: HttpExchange) -> None:
        exchange.start(200, b"", [], MUCH)
        exchange.finish(bytes(MUCH))

    async def talk() -> None:
        async with conversation(
            lambda exchange: whole(exchange) if exchange.target == b"/1" else never(exchange)
        ) as c:
            peer = await c.peer(receive_buffer=4096)
            await peer.send(GET % b"1" + GET % b"2")
            await until(lambda: c.app.served == [b"/1", b"/2"])
            await pass_time(2 * TIMEOUTS.response_stall + 2 * SWEEP)
            await until(lambda: c.app.left == [b"/2"])

    clocked(talk)


def test_a_slow_but_steady_reader_is_served() -> None:
    size = 4 << 20

    async def talk() -> None:
        async with conversation(lambda exchange: pour(exchange, size)) as c:
            peer = await c.peer()
            await peer.send(GET % b"")
            data = 0
            while data < size:
                piece = await peer.some(size // 16)
                assert piece, "a steady reader was cut off"
                data += len(piece)
                await pass_time(TIMEOUTS.response_stall / 8)
            assert not c.app.left  # and that took longer than a stall may last

    clocked(talk)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_last_answer_of_a_connection_reaches_a_slow_reader_too(tls: bool) -> None:
    """All of it was written; that the connection is to be closed is no reason to cut it short."""
    size = 1 << 20

    async def last(exchange: HttpExchange) -> None:
        exchange.keep_alive = False
        await pour(exchange, size)

    async def talk() -> None:
        async with conversation(last, tls=tls) as c:
            peer = await c.peer(receive_buffer=4096)
            await peer.send(GET % b"")
            data = await peer.some(16384)
            while c.state.tasks:  # until what is left is with the transport alone
                data += await peer.some(16384)
            assert len(data) < size
            for _ in range(5):  # it reads, but not fast
                await pass_time(1)
                data += await peer.some(16384)
            data += await peer.rest()
            assert len(data.partition(b"\r\n\r\n")[2]) == size

    clocked(talk)


# --- limits


def test_a_head_of_64_kib_is_read_and_one_more_byte_is_not() -> None:
    async def talk() -> None:
        async with conversation() as c:
            for size, code in ((65536, 200), (65537, 431)):
                peer = await c.peer()
                head = b"GET / HTTP/1.1\r\nHost: h\r\nX-A: "
                await peer.send(head + b"b" * (size - len(head)) + b"\r\n\r\n")
                assert (await peer.answer())[0] == code
            assert c.app.refused == [431]

    real(talk)


@pytest.mark.parametrize(("count", "code"), [(100, 200), (101, 431)])
def test_a_hundred_fields(count: int, code: int) -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X-A: b\r\n" * (count - 1) + b"\r\n")
            assert (await peer.answer())[0] == code

    real(talk)


def test_a_head_without_end_is_refused_before_it_ends() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-A: " + b"b" * 70_000)
            assert (await peer.answer())[0] == 431

    real(talk)


TOO_LARGE = {
    "a long target, without end": (b"GET /" + b"a" * 70_000, 414),
    "a long target, complete": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "a long query": (b"GET /?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "a long absolute target": (b"GET http://h/" + b"a" * 70_000, 414),
    "most of it is the target": (
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: h\r\nX-A: " + b"b" * 30_000,
        414,
    ),
    "most of it is fields": (
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\nX-A: " + b"b" * 50_000,
        431,
    ),
    "no target": (b"a" * 70_000, 431),
    "no method": (b" /" + b"a" * 70_000, 431),
    "a target of control characters": (b"GET /" + b"\1" * 70_000, 431),
}


@pytest.mark.parametrize(("data", "code"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_head_that_is_too_large_says_what_of_it_is(data: bytes, code: int) -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send(data)
            assert (await peer.answer())[0] == code
            assert c.app.refused == [code]

    real(talk)


def test_what_is_pipelined_is_held_up_to_a_limit() -> None:
    async def talk() -> None:
        enough = asyncio.Event()

        async def slow(exchange: HttpExchange) -> None:
            await enough.wait()
            exchange.keep_alive = False
            await echo(exchange)

        async with conversation(slow) as c:
            peer = await c.peer()
            await peer.send(GET % b"first")
            pouring = asyncio.create_task(peer.pour((GET % b"more") * 1000))
            await _standing_still(peer)
            (connection,) = c.state.connections
            assert isinstance(connection, HttpProtocol)
            assert len(connection._heads.pending) < PIPELINED + 300_000
            del connection
            assert c.app.served == [b"/first"]
            enough.set()
            with pytest.raises(ConnectionError):
                await pouring

    real(talk)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_body_that_nobody_reads_is_held_up_to_a_limit(chunked: bool) -> None:
    exchanges: list[HttpExchange] = []

    async def talk() -> None:
        enough = asyncio.Event()

        async def deaf(exchange: HttpExchange) -> None:
            exchanges.append(exchange)
            await enough.wait()
            exchange.abort()

        async with conversation(deaf) as c:
            peer = await c.peer()
            head = POST % (1 << 40)
            if chunked:
                head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            await peer.send(head)
            pouring = asyncio.create_task(
                peer.pour(b"8000\r\n" + bytes(32768) + b"\r\n" if chunked else bytes(32768))
            )
            await _standing_still(peer)
            # a read of uvloop's brings 250 KiB at most
            assert HIGH_WATER <= exchanges.pop().bytes_in < HIGH_WATER + 300_000
            enough.set()
            with pytest.raises(ConnectionError):
                await pouring

    real(talk)


ONES = b"1\r\nx\r\n" * 100_000
ONES_HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_very_many_chunks_are_worked_off_in_portions(tls: bool) -> None:
    """Whoever else is served waits for one of them at most; what follows them is the next request."""
    pieces: list[int] = []

    async def count(exchange: HttpExchange) -> None:
        while exchange.body is not None and (piece := await exchange.body.read()):
            pieces.append(len(piece))
        await echo(exchange)

    async def talk() -> None:
        async with conversation(count, tls=tls) as c:
            peer = await c.peer()
            sending = asyncio.create_task(peer.send(ONES_HEAD + ONES + b"0\r\n\r\n" + GET % b"next"))
            assert (await peer.answer())[0] == 200
            assert (await peer.answer())[2] == b"/next"
            await sending
        assert sum(pieces) == len(ONES) // 6
        assert max(pieces) <= 2 * AT_ONCE  # a portion may have come before the reader awoke

    real(talk)


@pytest.mark.parametrize("behind", [b"x\r\n", b"1\r\nxx"])
def test_a_fault_behind_very_many_chunks_is_a_400_and_the_end(behind: bytes) -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            with contextlib.suppress(ConnectionError):
                await peer.send(ONES_HEAD + ONES + behind + ONES + GET % b"next")
            assert (await peer.answer())[0] == 400
            assert c.app.served == [b"/"]

    real(talk)


def test_very_many_chunks_that_nobody_wants_are_dropped_and_the_next_request_served() -> None:
    async def talk() -> None:
        async with conversation(
            lambda exchange: refusing(exchange) if exchange.body is not None else echo(exchange)
        ) as c:
            peer = await c.peer()
            sending = asyncio.create_task(peer.send(ONES_HEAD + ONES + b"0\r\n\r\n" + GET % b"next"))
            assert (await peer.answer())[0] == 400
            assert (await peer.answer())[2] == b"/next"
            await sending

    real(talk)


def test_who_leaves_in_the_midst_of_very_many_chunks_leaves_nothing() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await peer.pour(ONES_HEAD + ONES)
            peer.reset()
            await until(lambda: not c.state.connections)

    real(talk)


def test_what_nobody_reads_is_written_up_to_a_limit() -> None:
    exchanges: list[HttpExchange] = []

    async def loud(exchange: HttpExchange) -> None:
        exchanges.append(exchange)
        await pour(exchange, 1 << 40)

    async def talk() -> None:
        async with conversation(loud) as c:
            peer = await c.peer(receive_buffer=4096)
            await peer.send(GET % b"")
            await until(lambda: exchanges and not exchanges[0].writable)
            await settle()
            (connection,) = c.state.connections
            assert connection._pending() <= 262144 + 2 * 65536  # type: ignore[attr-defined]
            assert exchanges.pop().bytes_out < 4 << 20
            del connection

    real(talk)


async def _standing_still(peer: Peer) -> None:
    """Twenty looks in a row saw the same."""
    seen, last = 0, -1
    while seen < 20:
        seen = seen + 1 if peer.sent == last else 0
        last = peer.sent
        await asyncio.sleep(0.01)


# --- a client that leaves


@pytest.mark.parametrize("leaving", ["closes", "resets", "says it is done"])
@pytest.mark.parametrize(
    "sent",
    [
        GET % b"1",
        (GET % b"1") + (GET % b"2") * 3,
        POST % 10 + b"half!",
        GET % b"1" + b"GET /2 HTTP/1.1\r\nHo",
    ],
    ids=["waiting", "with requests pipelined", "in a body", "in the next head"],
)
def test_a_client_that_leaves_ends_its_exchange_and_begins_no_other(sent: bytes, leaving: str) -> None:
    async def talk() -> None:
        async with conversation(never) as c:
            peer = await c.peer()
            await peer.send(sent)
            await until(lambda: c.app.served)
            if leaving == "closes":
                peer.sock.close()
            elif leaving == "resets":
                peer.reset()
            else:
                peer.sock.shutdown(socket.SHUT_WR)
            await until(lambda: not c.state.connections and not c.state.tasks)
            assert c.app.left == c.app.served[:1]
            assert len(c.app.served) == 1

    real(talk)


# --- several requests


def test_pipelined_requests_are_served_one_at_a_time_and_in_order() -> None:
    under_way = 0

    async def alone(exchange: HttpExchange) -> None:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        await settle()
        await echo(exchange)
        under_way -= 1

    async def talk() -> None:
        async with conversation(alone) as c:
            peer = await c.peer()
            asked = [GET % b"%d" % n if n % 2 else POST % 3 + b"/%02d" % n for n in range(20)]
            await peer.send(b"".join(asked))
            assert [(await peer.answer())[2] for _ in asked] == [
                b"/%d" % n if n % 2 else b"/%02d" % n for n in range(20)
            ]

    real(talk)


def test_nothing_is_begun_behind_a_request_that_was_the_last() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send((GET % b"1").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET % b"2")
            code, head, _ = await peer.answer()
            assert code == 200
            assert b"Connection: close" in head
            assert await peer.rest() == b""
            assert c.app.served == [b"/1"]

    real(talk)


def test_nothing_is_begun_behind_a_request_that_could_not_be_read() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send(b"GET / HTTP/1.1\r\n\r\n" + GET % b"2")
            code, _, body = await peer.answer()
            assert (code, status_of(body)) == (400, "malformed request: HTTP/1.1 requires a Host header")
            assert await peer.rest() == b""
            assert (c.app.served, c.app.refused) == ([], [400])

    real(talk)


# --- answers before the end of the body


async def refusing(exchange: HttpExchange) -> None:
    raise bad_request("no")


def test_the_rest_of_a_body_is_dropped_and_the_next_request_served() -> None:
    async def talk() -> None:
        async with conversation(
            lambda exchange: refusing(exchange) if exchange.body else echo(exchange)
        ) as c:
            peer = await c.peer()
            await peer.send(POST % LINGER_BYTES + b"x")
            assert (await peer.answer())[0] == 400
            await peer.send(bytes(LINGER_BYTES - 1) + GET % b"next")
            assert (await peer.answer())[2] == b"/next"

    real(talk)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_the_rest_of_a_body_may_take_a_while(chunked: bool) -> None:
    """However much of it came at once, and in however many chunks."""

    async def talk() -> None:
        async with conversation(
            lambda exchange: refusing(exchange) if exchange.body else echo(exchange)
        ) as c:
            peer = await c.peer()
            await peer.send(ONES_HEAD + b"1\r\nx\r\n" if chunked else POST % 800_000)
            assert (await peer.answer())[0] == 400
            await peer.send(ONES[:600_000] if chunked else bytes(600_000))
            await quiet_for(peer, LINGER_SECONDS / 2)
            await peer.send((b"0\r\n\r\n" if chunked else bytes(200_000)) + GET % b"next")
            assert (await peer.answer())[2] == b"/next"

    clocked(talk)


def test_the_rest_of_a_body_is_not_waited_for_for_long() -> None:
    async def talk() -> None:
        async with conversation(refusing) as c:
            peer = await c.peer()
            await peer.send(POST % 100 + b"x")
            assert (await peer.answer())[0] == 400
            await quiet_for(peer, LINGER_SECONDS - SWEEP)
            await pass_time(2 * SWEEP)
            assert await peer.rest() == b""

    clocked(talk)


def test_a_body_that_makes_no_sense_is_a_400_and_the_end() -> None:
    async def talk() -> None:
        async with conversation() as c:
            peer = await c.peer()
            await peer.send(
                b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"
                + GET % b"smuggled"
            )
            code, head, body = await peer.answer()
            assert (code, status_of(body)) == (400, "malformed request body: an invalid chunk size line")
            assert b"Connection: close" in head
            assert await peer.rest() == b""
            assert len(c.app.served) == 1

    real(talk)


# --- an application that breaks off


def test_an_answer_that_is_not_ended_ends_the_connection() -> None:
    async def half(exchange: HttpExchange) -> None:
        exchange.start(200, b"", [], 100)
        exchange.write(b"half")
        await settle()

    async def talk() -> None:
        async with conversation(half) as c:
            peer = await c.peer()
            await peer.send(GET % b"")
            assert (await peer.rest()).endswith(b"\r\n\r\nhalf")

    real(talk)


def test_nothing_is_begun_behind_an_answer_that_broke_off() -> None:
    """Not even counted: an exchange that never runs would never be over."""

    async def breaking(exchange: HttpExchange) -> None:
        exchange.start(200, b"", [], 100)
        exchange.write(b"half")
        await settle()
        exchange.abort()

    async def talk() -> None:
        async with conversation(breaking) as c:
            peer = await c.peer()
            await peer.send((GET % b"1") * 3)
            assert (await peer.rest()).endswith(b"\r\n\r\nhalf")
            await until(lambda: not c.state.connections)
            await settle()
            assert c.state.exchanges == 0
            assert c.app.served == [b"/1"]

    real(talk)


def test_an_abort_is_a_reset() -> None:
    """With nothing else to tell a short body from a whole one (HTTP/1.0), the end of the connection must."""

    async def talk() -> None:
        go = asyncio.Event()

        async def breaking(exchange: HttpExchange) -> None:
            exchange.start(200, b"", [], None)
            exchange.write(b"half")
            await go.wait()
            exchange.abort()

        async with conversation(breaking) as c:
            peer = await c.peer()
            await peer.send(b"GET / HTTP/1.0\r\n\r\n")
            data = b""
            while not data.endswith(b"half"):
                data += await peer.some()
            go.set()
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(peer.sock, 1)

    real(talk)


DELIMITED = {"a length": 1 << 20, "chunks": None}


@pytest.mark.parametrize("uploading", [False, True], ids=["a request", "a request whose body is under way"])
@pytest.mark.parametrize("length", DELIMITED.values(), ids=DELIMITED)
@pytest.mark.parametrize("how", ["abort", "raise", "shut down"])
def test_what_came_of_an_answer_that_breaks_off_is_delivered_and_a_fin_follows(
    length: int | None, uploading: bool, how: str
) -> None:
    """Also to one who reads it late; a reset would destroy it (RFC 9112, 8)."""
    sent = bytes(100_000)

    async def talk() -> None:
        go = asyncio.Event()

        async def breaking(exchange: HttpExchange) -> None:
            exchange.start(200, b"", [], length)
            exchange.write(sent)
            await go.wait()
            if how == "abort":
                exchange.abort()
            elif how == "raise":
                raise asyncio.CancelledError
            else:
                await asyncio.Event().wait()

        async with conversation(breaking) as c:
            peer = await c.peer()
            await peer.send(
                b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + bytes(50_000)
                if uploading
                else GET % b""
            )
            await until(lambda: c.app.served)
            go.set()
            await settle()
            if how == "shut down":
                for connection in list(c.state.connections):
                    connection.end_exchange("stopping")
                del connection  # what is left behind is counted
            if uploading:
                await peer.send(bytes(50_000))  # and nobody wants it any more
            await settle()
            data = b""
            # raises where it is reset
            while piece := await asyncio.get_running_loop().sock_recv(peer.sock, 4096):
                data += piece
            body = data.partition(b"\r\n\r\n")[2]
            assert body == (sent if length else b"186a0\r\n" + sent + b"\r\n")
            peer.sock.close()
            await until(lambda: not c.state.connections and not c.state.exchanges)

    real(talk)


def test_the_head_of_an_answer_that_breaks_off_at_once_is_delivered_too() -> None:
    async def breaking(exchange: HttpExchange) -> None:
        exchange.start(200, b"", [], 100)
        exchange.abort()

    async def talk() -> None:
        async with conversation(breaking) as c:
            peer = await c.peer()
            await peer.send(GET % b"")
            data = b""
            while piece := await asyncio.get_running_loop().sock_recv(peer.sock, 4096):
                data += piece
            assert data.startswith(b"HTTP/1.1 200 OK\r\n")
            assert data.endswith(b"Content-Length: 100\r\n\r\n")

    real(talk)


# --- stopping


def test_stopping_closes_who_waits_and_lets_the_others_finish() -> None:
    async def talk() -> None:
        ready = asyncio.Event()

        async def late(exchange: HttpExchange) -> None:
            if exchange.target == b"/late":
                await ready.wait()
            await echo(exchange)

        async with conversation(late) as c:
            new, idle, busy = await c.peer(), await c.peer(), await c.peer()
            await idle.send(GET % b"1")
            await idle.answer()
            await busy.send(GET % b"late" + GET % b"never")
            await until(lambda: b"/late" in c.app.served)
            c.state.draining = True
            for connection in list(c.state.connections):
                connection.shut_down()
            del connection
            assert (await new.rest(), await idle.rest()) == (b"", b"")
            ready.set()
            _, head, body = await busy.answer()
            assert body == b"/late"
            assert b"Connection: close" in head
            assert await busy.rest() == b""
            assert c.app.served == [b"/1", b"/late"]

    real(talk)


# --- TLS


def test_all_the_same_over_tls() -> None:
    """A handshake, several exchanges, a large answer, and an end that is TLS' own."""
    size = 4 << 20

    async def serve(exchange: HttpExchange) -> None:
        await (pour(exchange, size) if exchange.target == b"/much" else echo(exchange))

    async def talk() -> None:
        async with conversation(serve, tls=True) as c:
            peer = await c.peer()
            last = (GET % b"much").replace(b"Host", b"Connection: close\r\nHost")
            await peer.send(GET % b"1" + POST % 100_000 + bytes(100_000) + last)
            assert [(await peer.answer())[2] for _ in range(3)] == [b"/1", bytes(100_000), bytes(size)]
            assert await peer.rest() == b""
            assert isinstance(peer, TLSPeer)
            assert peer.told_the_end

    real(talk)


def test_a_tls_client_that_leaves_ends_its_exchange() -> None:
    async def talk() -> None:
        async with conversation(never, tls=True) as c:
            for leave in (Peer.reset, lambda peer: peer.sock.close()):
                peer = await c.peer()
                await peer.send(GET % b"1" + GET % b"2")
                await until(lambda: c.state.tasks)
                leave(peer)
                await until(lambda: not c.state.connections and not c.state.tasks)
            assert c.app.left == c.app.served == [b"/1", b"/1"]

    real(talk)


def test_a_tls_client_that_is_gone_before_its_exchange_begins_leaves_nothing_behind() -> None:
    """The end of its handshake and a request come in one segment, and a reset: the server's own end of the
    handshake finds nobody.
    """

    async def talk() -> None:
        async with conversation(never, tls=True) as c:
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (fakes.LOOPBACK, c._port))
            peer = TLSPeer(sock)
            await peer.shake_hands(GET % b"1")
            peer.reset()
            await until(lambda: c.state.door.inside == 0)

    real(talk)


def test_plain_http_where_tls_is_spoken_is_told_so_and_closed() -> None:
    async def talk() -> None:
        async with conversation(tls=True) as c:
            sock = socket.socket()
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (fakes.LOOPBACK, c._port))
            with contextlib.closing(sock):
                await Peer(sock).send(GET % b"")
                assert (await Peer(sock).rest()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
            await until(lambda: c.state.door.inside == 0)
            assert not c.app.served

    real(talk)
