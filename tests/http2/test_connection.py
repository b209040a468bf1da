"""A client's connection over HTTP/2, frame by frame: every stream an exchange, every flood an end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from bastion.network.http2.codec import STREAM_WINDOW, Code
from bastion.network.http2.output import AHEAD
from bastion.proxy.exchange import Exchange
from bastion.server.http2.protocol import STREAMS
from tests.fakes import ClockLoop, pass_time, run, settle
from tests.http2 import frames as f
from tests.http2.conversation import conversation, echo, never, pour

GET = f.headers(1, f.request("/a"))
POST = f.headers(1, f.request("/a", "POST"), end=False)


def test_requests_on_many_streams_are_served() -> None:
    async def main() -> None:
        one = await conversation(echo, *(f.headers(s, f.request(f"/{s}")) for s in (1, 3, 9)))
        for stream in (1, 3, 9):
            answer = one.answer(stream)
            assert (answer.status, answer.body, answer.end) == (200, b"/%d" % stream, "whole")
            assert {"date", "audit-id", "content-length"} <= answer.heads[0].keys()
        assert not one.ended
        assert one.peer.settings[3] == STREAMS
        assert one.peer.settings[8] == 1

    run(main())


def test_a_body_and_its_trailers_come_through() -> None:
    async def main() -> None:
        one = await conversation(
            echo, POST, f.data(1, b"hel"), f.data(1, b""), f.data(1, b"lo"), f.headers(1, [("x-t", "1")])
        )
        answer = one.answer()
        assert (answer.status, answer.body, answer.trailers, answer.end) == (
            200,
            b"hello",
            {"x-t": "1"},
            "whole",
        )

    run(main())


def test_what_is_not_read_of_a_body_is_not_let_in() -> None:
    """The window is given back as the backend takes it."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def late(exchange: Exchange) -> None:
            await go_on.wait()
            await echo(exchange)

        one = await conversation(late, POST, *(f.data(1, bytes(16384)) for _ in range(3)))
        assert 1 not in one.peer.windows
        go_on.set()
        await settle()
        assert one.peer.windows[1] >= STREAM_WINDOW // 2
        await one.say(f.data(1, b"", end=True))
        assert one.answer().end == "whole"

    run(main())


def test_a_client_that_gives_no_window_holds_its_writer_up() -> None:
    async def main() -> None:
        written = 0

        async def serve(exchange: Exchange) -> None:
            nonlocal written
            exchange.start(200, b"", [], None)
            for _ in range(100):
                exchange.write(bytes(16384))
                written += 16384
                if not exchange.writable:
                    await exchange.drain()
            exchange.finish()

        one = await conversation(serve, GET)
        assert len(one.answer().body) == 65535
        assert written <= 65535 + AHEAD + 2 * 16384
        await one.say(f.headers(3, f.request("/b")))
        for _ in range(60):
            await one.say(f.window(0, 32768), f.window(1, 32768))
        assert one.answer().end == "whole"
        assert len(one.answer().body) == 100 * 16384

    run(main())


def test_a_cancel_frees_the_backend() -> None:
    async def main() -> None:
        one = await conversation(never, GET, f.headers(3, f.request("/b")))
        await one.say(f.reset(1))
        assert one.app.left == [b"/a"]
        assert not one.ended
        one.wire.close()
        await settle()
        assert one.app.left == [b"/a", b"/b"]
        assert not one.state.tasks
        assert one.state.door.inside == 0

    run(main())


def test_an_early_response_is_whole_and_the_rest_of_the_body_is_not_waited_for() -> None:
    async def main() -> None:
        async def early(exchange: Exchange) -> None:
            exchange.start(413, b"", [], 2)
            exchange.finish(b"no")

        one = await conversation(early, POST, f.data(1, b"part"))
        answer = one.answer()
        assert (answer.status, answer.body, answer.end) == (413, b"no", "whole")
        await one.say(f.data(1, b"more"), f.headers(3, f.request("/b")))
        assert one.answer(3).status == 413

    run(main())


def test_a_response_that_breaks_off_is_never_whole() -> None:
    async def main() -> None:
        async def broken(exchange: Exchange) -> None:
            exchange.start(200, b"", [], 100)
            exchange.write(b"part")
            exchange.abort()

        one = await conversation(broken, GET)
        answer = one.answer()
        assert (answer.status, answer.body, answer.end) == (200, b"part", "INTERNAL_ERROR")
        assert not one.ended

    run(main())


def test_what_is_too_large_is_refused_and_the_next_request_is_right() -> None:
    many = [(f"x-{number}", "v") for number in range(101)]
    big = [(f"x-{number}", "v" * 3000) for number in range(30)]

    async def main() -> None:
        one = await conversation(
            echo,
            f.headers(1, f.request("/a", "GET", *many)),
            f.headers(3, f.request("/a", "GET", *big)),
            f.headers(5, f.request("/b")),
        )
        assert [one.answer(s).status for s in (1, 3, 5)] == [431, 431, 200]
        assert one.app.refused == [431, 431]
        assert one.app.served == [b"/b"]

    run(main())


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(f.request("/a", "GET", ("X-Upper", "1")), id="upper-case"),
        pytest.param(f.request("/a", "GET", ("connection", "close")), id="connection"),
        pytest.param(f.request("/a", "GET", ("te", "gzip")), id="te"),
        pytest.param(f.request("/a#b"), id="fragment"),
        pytest.param(f.request("/a", "GET", (":path", "/b")), id="pseudo-twice"),
        pytest.param(f.request("/a b"), id="blank-in-the-path"),
        pytest.param(f.request("/a", "GET", ("host", "evil")), id="another-host"),
        pytest.param(f.request("/a", "GET", ("content-length", "4")), id="length-without-a-body"),
        pytest.param(f.request("/a", "GET", ("x", "a\r\nb: c")), id="line-end"),
    ],
)
def test_a_malformed_request_ends_its_stream_alone(fields: f.Pairs) -> None:
    async def main() -> None:
        one = await conversation(echo, f.headers(1, fields), f.headers(3, f.request("/b")))
        assert one.answer().status == 400 or one.answer().end == "PROTOCOL_ERROR"
        assert one.answer(3).status == 200
        assert one.app.served == [b"/b"]

    run(main())


@pytest.mark.parametrize(
    ("frames", "stream_ends"),
    [
        pytest.param([POST, f.data(1, b"abc", end=True)], "whole", id="fits"),
        pytest.param([POST, f.headers(1, [(":path", "/x")])], "PROTOCOL_ERROR", id="pseudo-trailers"),
        pytest.param([POST, f.headers(1, [("X", "1")])], "PROTOCOL_ERROR", id="upper-case-trailers"),
        pytest.param(
            [f.headers(1, f.request("/a", "POST", ("content-length", "2")), end=False), f.data(1, b"abc")],
            "PROTOCOL_ERROR",
            id="longer-than-told",
        ),
        pytest.param(
            [
                f.headers(1, f.request("/a", "POST", ("content-length", "4")), end=False),
                f.data(1, b"abc", end=True),
            ],
            "PROTOCOL_ERROR",
            id="shorter-than-told",
        ),
    ],
)
def test_a_body_that_lies_is_never_whole(frames: list[bytes], stream_ends: str) -> None:
    async def main() -> None:
        one = await conversation(echo, *frames)
        assert one.answer().end == stream_ends
        assert not one.ended

    run(main())


# RFC 9113: what is an error of the whole connection.
BROKEN = {
    "data on stream 0": f.frame(f.DATA, 0, 0, b"x"),
    "data on an idle stream": f.data(9, b"x"),
    "settings on a stream": f.frame(f.SETTINGS, 0, 1),
    "settings of 5 bytes": f.frame(f.SETTINGS, 0, 0, bytes(5)),
    "an acknowledgement with a payload": f.frame(f.SETTINGS, f.ACK, 0, bytes(6)),
    "push of 2": f.frame(f.SETTINGS, 0, 0, b"\0\2\0\0\0\2"),
    "a window of 2^31": f.settings(initial_window=1 << 31),
    "a small frame size": f.settings(max_frame=16383),
    "a ping of 7 bytes": f.frame(f.PING, 0, 0, bytes(7)),
    "a window of nothing": f.window(0, 0),
    "a window that overflows": f.window(0, 0x7FFFFFFF) * 2,
    "an even stream": f.headers(2, f.request()),
    "a stream that was passed over": f.headers(5, f.request()) + f.headers(3, f.request()),
    "a frame that is too large": f.frame(f.HEADERS, 5, 1, bytes(70000)),
    "padding beyond the frame": f.frame(f.HEADERS, 13, 1, b"\xff\x82"),
    "a push": f.frame(f.PUSH_PROMISE, 4, 1, bytes(4)),
    "another frame within a head": f.frame(f.HEADERS, 1, 1, b"\x82") + f.frame(f.PING, 0, 0, bytes(8)),
    "a continuation of another stream": f.frame(f.HEADERS, 1, 1, b"\x82") + f.frame(f.CONTINUATION, 4, 3),
    "an index of 0": f.frame(f.HEADERS, 5, 1, b"\x82\x86\x84\x80"),
    "an index beyond the table": f.frame(f.HEADERS, 5, 1, b"\x82\xff\0"),
    "a table above what was announced": f.frame(f.HEADERS, 5, 1, b"\x3f\xff\xff\xff\x7f\x82"),
    "not HTTP/2": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 9,
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_connection_ends_it(what: str) -> None:
    async def main() -> None:
        one = await conversation(never, BROKEN[what])
        assert one.ended
        await settle()
        assert not one.state.tasks
        assert not one.state.connections

    run(main())


def opened(count: int, *behind: bytes, fields: f.Pairs = ()) -> Iterable[bytes]:
    for number in range(count):
        stream = 2 * number + 1
        yield f.headers(stream, fields or f.request())
        for frame in behind:
            yield frame[:5] + stream.to_bytes(4, "big") + frame[9:]


FLOODS = {
    "resets (CVE-2023-44487)": opened(200, f.reset(1)),
    "provoked resets (CVE-2025-8671)": opened(200, f.data(1, b"x")),
    "malformed requests": opened(200, fields=f.request("/", "GET", ("X", "1"))),
    "settings (CVE-2019-9515)": [f.settings()] * 1200,
    "pings (CVE-2019-9512)": [f.frame(f.PING, 0, 0, bytes(8))] * 1200,
    "priorities (CVE-2019-9513)": [f.frame(f.PRIORITY, 0, 1, b"\0\0\0\0\x10")] * 1200,
    "windows": [GET, *[f.window(1, 1)] * 1200],
    "empty data (CVE-2019-9518)": [POST, *[f.data(1, b"")] * 1200],
    "padding": [POST, *[f.frame(f.DATA, f.PADDED, 1, b"\x03\0\0\0")] * 1200],
    "unknown frames": [f.frame(0xEA, 0, 0, b"x")] * 1200,
    "a head without end (CVE-2024-27316)": [
        f.frame(f.HEADERS, 0, 1, f.block(f.request())),
        *[f.frame(f.CONTINUATION, 0, 1, f.block([("x", "v" * 1000)]))] * 400,
    ],
    "empty continuations": [f.frame(f.HEADERS, 0, 1, b""), *[f.frame(f.CONTINUATION, 0, 1)] * 1200],
    "a head that unfolds": [
        f.frame(f.HEADERS, 5, 1, f.block(f.request()) + b"\x40\1x\x7f\x81\x1f" + bytes(4126) + b"\xbe" * 9000)
    ],
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_ends_the_connection(what: str) -> None:
    frames = list(FLOODS[what])

    async def main() -> None:
        one = await conversation(never)
        for frame in frames:
            if one.wire.closed:
                break
            one.protocol.data_received(frame)
        await settle()
        assert one.ended
        assert not one.state.tasks
        assert len(one.app.served) <= 150

    run(main())


def test_streams_beyond_those_announced_are_refused() -> None:
    async def main() -> None:
        one = await conversation(never, *opened(STREAMS + 20))
        assert len(one.app.served) == STREAMS
        assert one.answer(2 * STREAMS + 1).end == "REFUSED_STREAM"
        assert not one.ended

    run(main())


def test_no_stream_begins_while_too_much_waits_for_the_client() -> None:
    async def main() -> None:
        one = await conversation(pour(131072), *opened(30))
        await one.say(f.headers(99, f.request()))
        assert one.answer(99).end == "REFUSED_STREAM"

    run(main())


@pytest.mark.parametrize(
    ("frames", "seconds"),
    [
        pytest.param([], 61, id="idle"),
        pytest.param([GET], 61, id="idle-after-a-request"),
        pytest.param([f.frame(f.HEADERS, 0, 1, b"\x82")], 11, id="a-head-that-is-not-ended"),
    ],
)
def test_every_wait_has_its_end(frames: list[bytes], seconds: int) -> None:
    async def main() -> None:
        one = await conversation(echo, *frames)
        for _ in range(seconds - 2):
            await pass_time(1)
            expire(one.protocol)
        assert not one.ended
        for _ in range(3):
            await pass_time(1)
            expire(one.protocol)
        await settle()
        assert one.wire.closed

    def expire(protocol: object) -> None:
        deadline = getattr(protocol, "deadline", None)
        if deadline is not None and deadline <= asyncio.get_running_loop().time():
            protocol.expired()  # type: ignore[attr-defined]

    run(main(), ClockLoop)


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def main() -> None:
        one = await conversation(echo, POST)
        for _ in range(21):
            await pass_time(1)
            one.protocol.expired()
        await settle()
        assert one.answer().status == 408
        assert not one.ended

    run(main(), ClockLoop)


def test_a_client_that_takes_nothing_is_given_up_stream_by_stream() -> None:
    async def main() -> None:
        one = await conversation(pour(1 << 20), GET)
        for _ in range(23):
            await pass_time(1)
            one.protocol.expired()
        await settle()
        assert one.answer().end == Code.CANCEL.name
        assert not one.state.tasks

    run(main(), ClockLoop)


def test_a_server_that_stops_says_so_twice_and_lets_streams_end() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def late(exchange: Exchange) -> None:
            await go_on.wait()
            await echo(exchange)

        one = await conversation(late, GET)
        one.protocol.shut_down()
        await settle()
        assert one.peer.goaways == [0]
        await one.say(f.headers(3, f.request("/b")))  # it was on its way
        await pass_time(1)
        one.protocol.expired()
        await settle()
        assert one.peer.goaways == [0, 0]
        await one.say(f.headers(5, f.request("/c")))
        go_on.set()
        await settle()
        assert [one.answer(s).end for s in (1, 3)] == ["whole", "whole"]
        assert b"/c" not in one.app.served
        assert one.wire.closed

    run(main(), ClockLoop)


def test_what_is_still_under_way_when_time_is_over_is_cut() -> None:
    async def main() -> None:
        one = await conversation(never, GET)
        one.protocol.shut_down()
        one.protocol.end_exchange("the bastion is stopping")
        await settle()
        assert one.answer().end == "INTERNAL_ERROR"
        assert one.app.left == [b"/a"]

    run(main())


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([GET, f.window(1, 0)], id="found-by-the-library"),
        pytest.param([GET, *[f.settings()] * 1200], id="found-by-us"),
    ],
)
def test_what_broke_the_rules_is_not_waited_for_while_it_takes_nothing(frames: list[bytes]) -> None:
    async def main() -> None:
        one = await conversation(never)
        closed: list[str] = []
        one.wire.close = lambda: closed.append("close")  # type: ignore[method-assign]
        one.wire.abort = lambda: closed.append("abort")  # type: ignore[method-assign]
        await one.say(*frames)
        assert closed[:1] == ["close"]
        assert one.protocol.deadline is not None
        await pass_time(3)
        one.protocol.expired()
        assert "abort" in closed

    run(main(), ClockLoop)


def test_a_proxy_asks_for_credentials() -> None:
    """Of fields that are for one hop this one is our own."""

    async def ask(exchange: Exchange) -> None:
        fields = [(b"proxy-authenticate", b"Proxy-Authenticate", b"Basic"), (b"", b"Connection", b"close")]
        exchange.start(407, b"", fields, 0)
        exchange.finish()

    async def main() -> None:
        talk = await conversation(ask, f.headers(1, f.request()))
        [head] = talk.answer().heads
        assert head["proxy-authenticate"] == "Basic" and "connection" not in head

    run(main())
