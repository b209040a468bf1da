"""Requests to a backend over HTTP/2: many on one connection, none of them touching another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest

from bastion.network.errors import (
    DialError,
    NetworkError,
    NotProcessed,
    ReceiveError,
    SendError,
    UpstreamTimeout,
)
from bastion.network.http1.response import Response
from bastion.network.http2.codec import STREAM_WINDOW, Code
from bastion.network.transport import Request, RoundTrip, Transport
from bastion.runtime.certificates import Authority
from bastion.settings.sections import Timeouts
from tests import fakes
from tests.fakes import Upload, run, until, whole
from tests.http2 import frames as f
from tests.http2.backend import Connection, Http2Backend, ok, silent, wire

AUTHORITY = Authority("backend")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"%b /x?y HTTP/1.1\r\nHost: app:80\r\nX-Mixed: 1\r\nConnection: close\r\n\r\n"


def request(method: str = "GET", body: Upload | None = None, **more: object) -> Request:
    return Request(method, HEAD % method.encode(), body, "alice", **more)  # type: ignore[arg-type]


async def start(
    transport: Transport, backend: Http2Backend, asked: Request | None = None, *, fresh: bool = False
) -> RoundTrip:
    trip = await transport.round_trip(backend.endpoint(), asked or request(), fresh=fresh)
    trip.send()
    return trip


async def ask(transport: Transport, backend: Http2Backend, asked: Request | None = None) -> bytes:
    trip = await start(transport, backend, asked)
    try:
        return await whole(await trip.answer())
    finally:
        trip.close(clean=True)


def tls(*alpn: str) -> ssl.SSLContext:
    context = fakes.server_tls(AUTHORITY, "127.0.0.1")
    context.set_alpn_protocols(alpn)
    return context


def test_requests_share_one_connection() -> None:
    async def main() -> None:
        async with Http2Backend(ok).serving() as backend, wire() as (transport, pool):
            assert await ask(transport, backend) == b"ok"
            assert await asyncio.gather(*(ask(transport, backend) for _ in range(20))) == [b"ok"] * 20
            assert len(backend.connections) == len(pool.open) == 1
            assert backend.seen[0] == {
                ":method": "GET",
                ":scheme": "http",
                ":authority": "app:80",
                ":path": "/x?y",
                "x-mixed": "1",
            }

    run(main())


def test_the_first_settings_are_awaited_and_a_small_limit_is_kept() -> None:
    async def later(connection: Connection, stream: int) -> None:
        await asyncio.sleep(0.02)
        connection.answer(stream, b"ok")

    tasks = []

    def script(connection: Connection, stream: int) -> None:
        tasks.append(asyncio.ensure_future(later(connection, stream)))

    async def main() -> None:
        backend = Http2Backend(script, f.settings(max_streams=2))
        async with backend.serving(), wire() as (transport, _):
            assert await asyncio.gather(*(ask(transport, backend) for _ in range(7))) == [b"ok"] * 7
            assert backend.most <= 2
            assert len(backend.connections) <= 4

    run(main())


def test_a_backend_that_takes_no_stream_is_not_dialled_for_ever() -> None:
    async def main() -> None:
        backend = Http2Backend(ok, f.settings(max_streams=0))
        async with backend.serving(), wire() as (transport, _):
            with pytest.raises(DialError):
                await ask(transport, backend)

    run(main())


def test_a_backend_that_speaks_http1_is_told_so() -> None:
    async def main() -> None:
        async with fakes.backend(OK) as server, wire(connect_timeout=1.0) as (transport, _):
            backend = Http2Backend(ok, port=server.endpoint().port)
            with pytest.raises(DialError, match="does not speak HTTP/2"):
                await ask(transport, backend)

    run(main())


@pytest.mark.parametrize(("offered", "chosen"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1")])
def test_with_tls_the_handshake_chooses(offered: tuple[str, ...], chosen: str) -> None:
    async def main() -> None:
        async with wire() as (transport, pool):
            if chosen == "h2":
                async with Http2Backend(ok, tls=tls(*offered)).serving() as backend:
                    assert [await ask(transport, backend) for _ in range(3)] == [b"ok"] * 3
                    assert backend.seen[0][":scheme"] == "https"
                    assert len(backend.connections) == 1
            else:
                async with fakes.backend(OK, OK, OK, tls=tls(*offered)) as server:
                    other = Http2Backend(ok, tls=tls(), port=server.endpoint().port)
                    assert [await ask(transport, other) for _ in range(3)] == [b"ok"] * 3
                    assert not pool.open

    run(main())


def refuse(connection: Connection, stream: int) -> None:
    connection.say(f.reset(stream, Code.REFUSED_STREAM))


def go_away(connection: Connection, stream: int) -> None:
    connection.say(f.frame(f.GOAWAY, 0, 0, (stream - 2 if stream > 1 else 0).to_bytes(4, "big") + bytes(4)))


def drop(connection: Connection, stream: int) -> None:
    connection.drop()


def reset(connection: Connection, stream: int) -> None:
    connection.say(f.reset(stream, Code.INTERNAL_ERROR))


def half(connection: Connection, stream: int) -> None:
    connection.say(f.headers(stream, [(":status", "200")], end=False), f.data(stream, b"half"))


def half_and_reset(connection: Connection, stream: int) -> None:
    half(connection, stream)
    reset(connection, stream)


def interims(connection: Connection, stream: int) -> None:
    connection.say(*(f.headers(stream, [(":status", "103")], end=False) for _ in range(12)))


def answered(*fields: tuple[str, str], body: bytes = b"") -> Callable[[Connection, int], None]:
    def script(connection: Connection, stream: int) -> None:
        connection.say(f.headers(stream, fields, end=not body))
        if body:
            connection.say(f.data(stream, body, end=True))

    return script


FAILURES = {
    "it refuses the stream": (refuse, NotProcessed),
    "it goes away before the stream": (go_away, NotProcessed),
    "it closes the connection": (drop, SendError),
    "it resets": (reset, ReceiveError),
    "it resets behind a part": (half_and_reset, ReceiveError),
    "too many interim responses": (interims, ReceiveError),
    "no status": (answered(("x", "1")), ReceiveError),
    "a status of two digits": (answered((":status", "20")), ReceiveError),
    "a status of nothing": (answered((":status", "000")), ReceiveError),
    "a switch of protocols": (answered((":status", "101")), ReceiveError),
    "an interim response that ends": (answered((":status", "103")), ReceiveError),
    "a request's path": (answered((":status", "200"), (":path", "/")), ReceiveError),
    "a field of the connection": (answered((":status", "200"), ("connection", "close")), ReceiveError),
    "a line end": (answered((":status", "200"), ("x", "a\nb")), ReceiveError),
    "a blank in a name": (answered((":status", "200"), ("x a", "b")), ReceiveError),
    "two lengths": (
        answered((":status", "200"), ("content-length", "1"), ("content-length", "2"), body=b"x"),
        ReceiveError,
    ),
    "a length with a sign": (answered((":status", "200"), ("content-length", "+1"), body=b"x"), ReceiveError),
    "more than told": (answered((":status", "200"), ("content-length", "1"), body=b"xy"), ReceiveError),
    "less than told": (answered((":status", "200"), ("content-length", "3"), body=b"xy"), ReceiveError),
    "201 fields": (
        answered((":status", "200"), *((f"x-{number}", "") for number in range(201))),
        ReceiveError,
    ),
    "data before a head": (lambda c, s: c.say(f.data(s, b"x")), NetworkError),
    "a frame on an idle stream": (lambda c, s: c.say(f.reset(s + 100)), NetworkError),
    "a frame that is too large": (lambda c, s: c.say(f.frame(f.DATA, 0, s, bytes(70000))), NetworkError),
    "a flood of pings": (lambda c, s: c.say(f.frame(f.PING, 0, 0, bytes(8)) * 1500), NetworkError),
}


@pytest.mark.parametrize("what", FAILURES)
def test_what_a_backend_does_wrong_is_a_failure_of_that_request(what: str) -> None:
    script, expected = FAILURES[what]

    async def main() -> None:
        async with Http2Backend(script).serving() as backend, wire() as (transport, _):
            with pytest.raises(expected):
                await ask(transport, backend)

    run(main())


def test_a_connection_that_goes_away_takes_no_further_request_and_ends_those_it_has() -> None:
    def script(connection: Connection, stream: int) -> None:
        if stream == 1:
            half(connection, stream)
            connection.say(f.frame(f.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
        else:
            connection.answer(stream, b"ok")

    async def main() -> None:
        async with Http2Backend(script).serving() as backend, wire() as (transport, pool):
            trip = await start(transport, backend)
            response = await trip.answer()
            assert await response.read() == b"half"
            await until(lambda: not pool.open[0].usable)
            backend.script = ok
            assert await ask(transport, backend) == b"ok"
            assert len(backend.connections) == 2
            backend.connections[0].say(f.data(1, b"rest", end=True))
            assert await whole(response) == b"rest"
            trip.close(clean=True)
            await backend.connections[0].ended.wait()

    run(main())


def test_what_is_not_read_holds_the_backend_up() -> None:
    sent = 0

    def script(connection: Connection, stream: int) -> None:
        nonlocal sent
        connection.say(f.headers(stream, [(":status", "200")], end=False))
        for _ in range(3):
            connection.say(f.data(stream, bytes(16384)))

    async def main() -> None:
        async with Http2Backend(script).serving() as backend, wire() as (transport, _):
            trip = await start(transport, backend)
            response = await trip.answer()
            await until(lambda: getattr(response, "held", 0) == 3 * 16384)
            windows = backend.connections[0].reader.windows
            assert windows.get(1, 0) == 0
            assert len(await response.read()) == 3 * 16384
            await until(lambda: windows.get(1, 0) >= STREAM_WINDOW // 2)
            trip.close(clean=False)

    run(main())


def test_an_upload_keeps_to_the_backends_window_and_its_trailers_follow() -> None:
    async def main() -> None:
        async with Http2Backend(silent).serving() as backend, wire() as (transport, _):
            upload = Upload([bytes(65536)] * 4, chunked=True)
            trip = await start(
                transport, backend, request("POST", upload, trailers=lambda: b"X-Sum: 5\r\nY: z\r\n")
            )
            await until(lambda: backend.connections and backend.connections[0].reader.answers)
            connection = backend.connections[0]
            await until(lambda: len(connection.reader.answer(1).body) == 65535)
            assert upload.taken <= 3
            connection.say(f.window(0, 1 << 20), f.window(1, 1 << 20))
            await until(lambda: connection.reader.answer(1).end == "whole")
            assert len(connection.reader.answer(1).body) == 4 * 65536
            assert connection.reader.answer(1).trailers == {"x-sum": "5", "y": "z"}
            connection.answer(1, b"ok")
            assert await whole(await trip.answer()) == b"ok"
            trip.close(clean=True)

    run(main())


def test_trailers_of_a_response_come_with_its_end() -> None:
    def script(connection: Connection, stream: int) -> None:
        connection.say(
            f.headers(stream, [(":status", "200")], end=False),
            f.data(stream, b"body"),
            f.headers(stream, [("grpc-status", "0")]),
        )

    async def main() -> None:
        async with Http2Backend(script).serving() as backend, wire() as (transport, _):
            trip = await start(transport, backend)
            response: Response = await trip.answer()
            assert await whole(response) == b"body"
            assert list(response.trailers) == [(b"grpc-status", b"grpc-status", b"0")]
            trip.close(clean=True)

    run(main())


def test_a_cancel_resets_the_stream_and_nothing_else() -> None:
    async def main() -> None:
        async with Http2Backend(silent).serving() as backend, wire() as (transport, _):
            trip = await start(transport, backend)
            await until(lambda: backend.seen)
            trip.close(clean=False)
            await until(lambda: backend.connections[0].reader.answer(1).reset == "CANCEL")
            backend.script = ok
            assert await ask(transport, backend) == b"ok"
            assert len(backend.connections) == 1

    run(main())


def test_an_upload_that_is_cancelled_never_looks_whole() -> None:
    async def main() -> None:
        async with Http2Backend(silent).serving() as backend, wire() as (transport, _):
            trip = await start(transport, backend, request("POST", Upload([b"half", OSError("gone")])))
            with pytest.raises(OSError, match="gone"):
                await trip.answer()
            trip.close(clean=False)
            await until(lambda: backend.connections[0].reader.answer(1).end)
            assert backend.connections[0].reader.answer(1).end == "CANCEL"

    run(main())


def test_an_early_response_is_whole_and_ends_the_upload() -> None:
    class Endless(Upload):
        async def read(self) -> bytes:
            await asyncio.sleep(0.01)
            return b"x"

    def script(connection: Connection, stream: int) -> None:
        connection.answer(stream, b"no", status=413)
        connection.say(f.reset(stream, Code.NO_ERROR))

    async def main() -> None:
        async with Http2Backend(script).serving() as backend, wire() as (transport, _):
            assert await ask(transport, backend, request("POST", Endless([]))) == b"no"

    run(main())


def test_a_login_of_the_whole_connection_has_one_of_its_own() -> None:
    async def main() -> None:
        async with Http2Backend(ok).serving() as backend, wire() as (transport, _):
            await ask(transport, backend)
            await ask(transport, backend, request(logs_in=True))
            await ask(transport, backend, request(logs_in=True))
            await ask(transport, backend)
            assert len(backend.connections) == 3

    run(main())


def test_a_challenge_that_logs_the_connection_in_retires_it() -> None:
    def script(connection: Connection, stream: int) -> None:
        connection.answer(stream, b"no", ("www-authenticate", "NTLM"), status=401)

    async def main() -> None:
        async with Http2Backend(script).serving() as backend, wire() as (transport, _):
            await ask(transport, backend)
            await ask(transport, backend)
            assert len(backend.connections) == 2

    run(main())


def test_where_an_address_has_left_nothing_further_is_asked() -> None:
    async def main() -> None:
        async with Http2Backend(ok).serving() as backend, wire() as (transport, pool):
            await ask(transport, backend)
            pool.address_left(backend.endpoint().address)
            await ask(transport, backend)
            assert len(backend.connections) == 2
            pool.endpoint_left(backend.endpoint().address)
            await backend.connections[1].ended.wait()

    run(main())


def test_a_switch_of_protocols_goes_over_http1() -> None:
    async def main() -> None:
        switching = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        async with fakes.backend(switching) as server, wire() as (transport, _):
            backend = Http2Backend(ok, port=server.endpoint().port)
            trip = await start(transport, backend, request(upgrade=True), fresh=True)
            assert (await trip.answer()).status == 101
            trip.close(clean=False)

    run(main())


def test_what_dies_under_a_request_may_have_been_kept() -> None:
    """So that an idempotent one is sent once more."""

    async def main() -> None:
        async with Http2Backend(ok).serving() as backend, wire() as (transport, _):
            await ask(transport, backend)
            backend.script = drop
            trip = await start(transport, backend)
            with pytest.raises(SendError) as raised:
                await trip.answer()
            assert trip.reused
            assert not isinstance(raised.value, NotProcessed)
            trip.close(clean=False)

    run(main())


def test_readers_that_take_nothing_do_not_hold_up_the_others_on_their_connection() -> None:
    def script(connection: Connection, stream: int) -> None:
        if stream > 2 * 40:
            connection.answer(stream, b"ok")
            return
        connection.say(f.headers(stream, [(":status", "200")], end=False))
        connection.say(*(f.data(stream, bytes(16384)) for _ in range(3)))

    async def main() -> None:
        async with Http2Backend(script).serving() as backend, wire() as (transport, _):
            stalled = [await start(transport, backend) for _ in range(40)]
            responses = [await trip.answer() for trip in stalled]
            await until(lambda: all(getattr(one, "held", 0) == 3 * 16384 for one in responses))
            assert await ask(transport, backend) == b"ok"
            assert len(backend.connections) == 1
            for trip in stalled:
                trip.close(clean=False)

    run(main())


def test_a_connection_that_answers_nothing_in_time_is_used_no_more() -> None:
    async def main() -> None:
        timeouts = Timeouts(response_header=0.2)
        async with Http2Backend(silent).serving() as backend, wire(timeouts) as (transport, _):
            with pytest.raises(UpstreamTimeout):
                await ask(transport, backend)
            backend.script = ok
            assert await ask(transport, backend) == b"ok"
            assert len(backend.connections) == 2

    run(main())
