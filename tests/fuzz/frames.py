"""Frames of either side, in whatever order and shape: nothing raises, nothing is left behind, and no turn is
long.

The first byte of an input says into which pieces it is cut, the second which side it is: a client's frames
come to a server, a backend's to a client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bastion.kube.endpoint import Endpoint
from bastion.kube.status import StatusError
from bastion.network.errors import NetworkError
from bastion.network.http2.connection import Http2Connection
from bastion.network.http2.library import new_codec
from bastion.network.http2.trip import StreamTrip
from bastion.network.transport import Request
from bastion.proxy.exchange import Exchange
from bastion.runtime.deadlines import Deadlines
from bastion.server.http2.protocol import STREAMS, Http2Protocol
from bastion.server.state import ServerState
from bastion.settings.sections import Timeouts
from tests.fuzz.pieces import HandLoop, HandTransport, cut
from tests.http2 import frames as f

LONGEST = 0.010  # seconds of CPU that one piece may take
TRIES = 3  # a collection of garbage may fall into a turn, which no input makes, but not into each of several
CODEC = new_codec()
USUAL = Timeouts()
HELLO = f.PREFACE + f.settings()
POST = f.headers(1, f.request("/", "POST"), end=False)
OK = f.headers(1, [(":status", "200")], end=False)
SEEDS = [
    b"\x3f\0" + f.headers(1, f.request()) + f.headers(3, f.request("/b")),
    b"\x07\0" + POST + f.data(1, b"hello") + f.headers(1, [("x-t", "1")]),
    b"\x1f\0" + POST + f.window(1, 100) + f.reset(1) + f.headers(3, f.request()),
    b"\x3f\0"
    + f.settings(initial_window=10, table=0)
    + f.headers(1, f.request())
    + f.frame(f.PING, 0, 0, bytes(8))
    + f.frame(f.GOAWAY, 0, 0, bytes(8)),
    b"\x3f\0" + f.frame(f.HEADERS, 1, 1, b"\x82\x87") + f.frame(f.CONTINUATION, 4, 1, b"\x84\x41\x01h"),
    b"\x3f\0"
    + f.headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), *list(f.request())[1:]], end=False)
    + f.data(1, b"x", end=True),
    b"\x3f\1" + f.settings() + OK + f.data(1, b"body", end=True),
    b"\x07\1" + f.settings(max_streams=1) + f.headers(1, [(":status", "103")], end=False) + OK + f.reset(1),
    b"\x3f\1" + f.settings() + OK + f.data(1, b"x") + f.headers(1, [("grpc-status", "0")]),
    b"\x3f\1" + f.settings() + f.frame(f.GOAWAY, 0, 0, bytes(8)),
    b"\x3f\1" + f.settings() + f.headers(1, [(":status", "204"), ("content-length", "0")]),
]
WORDS = [
    f.data(1, b""),
    f.data(3, b"x", end=True),
    f.headers(5, f.request("/c")),
    f.headers(1, [("x", "y")]),
    f.reset(1),
    f.reset(3, 7),
    f.window(0, 1),
    f.window(1, 0),
    f.window(1, 0x7FFFFFFF),
    f.settings(max_frame=20000),
    f.settings(initial_window=0),
    f.frame(f.SETTINGS, f.ACK),
    f.frame(f.PING, 0, 0, bytes(8)),
    f.frame(f.PRIORITY, 0, 1, bytes(5)),
    f.frame(f.GOAWAY, 0, 0, bytes(8)),
    f.frame(f.PUSH_PROMISE, 4, 1, bytes(4)),
    f.frame(f.CONTINUATION, 4, 1, b"\x82"),
    f.frame(f.HEADERS, 0, 7, b"\x82"),
    f.frame(0x10, 0, 0, b"\0\0\0\1u=1"),
    b"\x82\x86\x84",
    b"\x3f\xe1\x1f",
    b"\x40\x01a\x7f\x80",
    b"\0\0\0",
    b"\xff\xff\xff",
]


class _App:
    """Reads every request to its end, and answers with as much."""

    async def serve(self, exchange: Exchange) -> None:
        body = b"x" * 1000
        try:
            while exchange.body is not None and (data := await exchange.body.read()):
                body += data
        except StatusError as error:
            exchange.send_status(error)
            return
        exchange.start(200, b"", [], None)
        exchange.write(body)
        if not exchange.writable:
            await exchange.drain()
        exchange.finish()

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        exchange.send_status(error)


def _turn(loop: HandLoop, receive: Callable[[bytes], None], piece: bytes) -> float:
    """Seconds of CPU."""
    began = time.process_time()
    receive(piece)
    loop.run()
    return time.process_time() - began


def _server(pieces: list[bytes]) -> float:
    """The CPU of the longest turn, in seconds."""
    loop, transport = HandLoop(), HandTransport()
    state = ServerState(_App(), Deadlines(), audit_id=lambda: "x", date_line=lambda: b"Date: x\r\n")
    protocol = Http2Protocol(state, loop, CODEC)  # type: ignore[arg-type]
    protocol.connection_made(transport)  # type: ignore[arg-type]
    longest = _turn(loop, protocol.data_received, HELLO)
    for piece in pieces:
        if transport.closed:
            break
        longest = max(longest, _turn(loop, protocol.data_received, piece))
        assert len(state.tasks) <= STREAMS
    assert len(transport.written) < 1 << 20
    protocol.connection_lost(None)
    loop.run()
    assert state.exchanges == 0
    assert not state.connections
    assert state.door.inside == 0
    return longest


def _client(pieces: list[bytes]) -> float:
    """The CPU of the longest turn, in seconds."""
    loop, transport = HandLoop(), HandTransport()
    longest = 0.0
    lost: list[Http2Connection] = []
    connection = Http2Connection(Endpoint("192.0.2.1", 80, h2c=True), loop, CODEC, lost.append)  # type: ignore[arg-type]
    connection.connection_made(transport)  # type: ignore[arg-type]
    head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    trips = [StreamTrip(connection, Request("GET", head), USUAL, reused=False) for _ in range(2)]
    for trip in trips:
        connection.expect()
        trip.send()
    loop.run()
    for piece in pieces:
        if transport.closed:
            break
        longest = max(longest, _turn(loop, connection.data_received, piece))
    for trip in trips:
        _now(trip.answer().__await__())
        trip.close(clean=True)
    loop.run()
    connection.connection_lost(None)
    loop.run()
    assert lost == [connection]
    assert not connection.busy
    return longest


def _now(waiting: Any) -> None:
    try:
        waiting.send(None)
    except (StopIteration, NetworkError):
        return
    waiting.close()


def check(data: bytes) -> None:
    stream, pieces = cut(data, 2)
    side = _client if len(data) > 1 and data[1] & 1 else _server
    for cuts in ([stream] if stream else [], pieces):
        took = side(cuts)
        if took >= LONGEST:
            took = min(side(cuts) for _ in range(TRIES))
        assert took < LONGEST, f"a turn of {took * 1000:.1f} ms"
