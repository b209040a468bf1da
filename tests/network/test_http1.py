"""What is read from a backend that may be hostile, and when may its connection be used again?

Scripted bytes over loopback.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.network.errors import NetworkError, ReceiveError, SendError, UpstreamTimeout
from bastion.network.held import HIGH_WATER
from bastion.network.http1 import reader, receiver
from bastion.network.http1.connection import Connection
from bastion.network.http1.reader import LARGE_PORTION, MAX_FIELDS, MAX_HEAD, MAX_INTERIM, MAX_TRAILERS
from bastion.network.http1.response import framing
from bastion.runtime.certificates import Authority
from bastion.settings.sections import Timeouts
from tests.fakes import (
    Backend,
    ClockLoop,
    ask,
    backend,
    begin,
    delivered,
    pass_time,
    run,
    server_tls,
    start,
    until,
    whole,
    wire,
)

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"


def exchange(answer: Any, method: str = "GET", then: str = "wait") -> Any:
    """(answer, body, kept): one exchange, and whether its connection is kept for another."""

    async def main() -> Any:
        async with backend(answer, then=then) as server, wire() as (transport, pool):
            answered, body = await ask(transport, server.endpoint(), method)
            return answered, body, pool.statistics().idle == 1

    return run(main())


def failure(answer: Any, method: str = "GET", then: str = "wait") -> Any:
    """What an exchange fails with; its connection is never kept."""

    async def main() -> Any:
        async with backend(answer, then=then) as server, wire() as (transport, pool):
            with pytest.raises(NetworkError) as caught:
                await ask(transport, server.endpoint(), method)
            await until(lambda: pool.statistics().open == 0)
            assert pool.statistics().idle == 0
            return caught.value

    return run(main())


# --- answers, and what becomes of their connections

ANSWERS = [
    # method, bytes, then, (status, body, length), kept?
    pytest.param(
        "GET", OK + b"Content-Length: 5\r\n\r\nhello", "wait", (200, b"hello", 5), True, id="length"
    ),
    pytest.param("GET", EMPTY, "wait", (200, b"", 0), True, id="length-0"),
    pytest.param(
        "GET",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n",
        "wait",
        (200, b"hello", None),
        True,
        id="chunks",
    ),
    pytest.param(
        "GET",
        OK + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
        "wait",
        (200, b"hello", None),
        True,
        id="trailers",
    ),
    pytest.param("GET", OK + b"\r\nhello", "close", (200, b"hello", None), False, id="until-close"),
    pytest.param(
        "GET",
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        "wait",
        (200, b"hello", 5),
        False,
        id="connection-close",
    ),
    pytest.param(
        "GET",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "wait",
        (200, b"hello", 5),
        False,
        id="HTTP/1.0",
    ),
    pytest.param(
        "GET",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        "wait",
        (200, b"hello", 5),
        True,
        id="HTTP/1.0-kept",
    ),
    pytest.param(
        "HEAD", OK + b"Content-Length: 5\r\n\r\n", "wait", (200, b"", 5), True, id="HEAD-with-length"
    ),
    pytest.param(
        "HEAD",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        "wait",
        (200, b"", None),
        True,
        id="HEAD-chunked",
    ),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", "wait", (204, b"", None), True, id="204"),
    pytest.param(
        "GET",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "wait",
        (204, b"", 0),
        True,
        id="204-length-0",
    ),
    pytest.param(
        "GET",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "wait",
        (304, b"", 5),
        True,
        id="304-with-length",
    ),
    pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", "wait", (304, b"", None), True, id="304"),
    pytest.param(
        "GET", b"HTTP/1.1 599 X\r\nContent-Length: 1\r\n\r\nx", "wait", (599, b"x", 1), True, id="599"
    ),
    pytest.param(
        "GET", b"HTTP/1.1 999 X\r\nContent-Length: 1\r\n\r\nx", "wait", (999, b"x", 1), True, id="999"
    ),
    pytest.param(
        "GET", b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", "wait", (200, b"x", 1), True, id="no-reason"
    ),
    pytest.param(
        "GET",
        b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx",
        "wait",
        (200, b"x", 1),
        True,
        id="no-reason-and-no-space",
    ),
    pytest.param(
        "GET",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + EMPTY,
        "wait",
        (200, b"", 0),
        True,
        id="interim",
    ),
    pytest.param(
        "GET",
        b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_INTERIM + EMPTY,
        "wait",
        (200, b"", 0),
        True,
        id="as-many-interim-as-may-be",
    ),
    pytest.param(
        "GET",
        OK + b"Content-Length: 1 \r\n\r\nx",
        "wait",
        (200, b"x", 1),
        True,
        id="RFC-9110-5.5-space-behind-a-length",
    ),
    pytest.param(
        "GET",
        OK + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
        "wait",
        (200, b"x", 1),
        True,
        id="an-offer-of-an-upgrade",
    ),
]


@pytest.mark.parametrize(("method", "data", "then", "expected", "kept"), ANSWERS)
def test_an_answer_is_read_to_its_end(method: Any, data: Any, then: Any, expected: Any, kept: Any) -> None:
    answer, body, idle = exchange(data, method, then)
    assert (answer.status, body, answer.length) == expected
    assert answer.complete
    assert answer.exhausted
    assert idle is kept


def test_fields_keep_their_order_their_case_and_their_duplicates() -> None:
    answer, _, _ = exchange(
        OK + b"Set-Cookie: a=1\r\nx-lower:y\r\nSet-Cookie: b=2\r\nEmpty:\r\nBytes: caf\xe9\r\nContent-Length:"
        b" 0\r\n\r\n"
    )
    assert answer.fields[:5] == [
        (b"set-cookie", b"Set-Cookie", b"a=1"),
        (b"x-lower", b"x-lower", b"y"),
        (b"set-cookie", b"Set-Cookie", b"b=2"),
        (b"empty", b"Empty", b""),
        (b"bytes", b"Bytes", b"caf\xe9"),
    ]
    assert answer.reason == b"OK"


def test_interim_fields_are_not_the_answers() -> None:
    answer, _, _ = exchange(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n"
    )
    assert (answer.reason, answer.fields) == (b"Fine", [(b"content-length", b"Content-Length", b"0")])


def test_trailers_never_become_headers() -> None:
    answer, body, _ = exchange(
        OK + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\nSet-Cookie:"
        b" a=b\r\n\r\n"
    )
    assert body == b"x"
    assert answer.trailers == ((b"x-sum", b"X-Sum", b"1"), (b"set-cookie", b"Set-Cookie", b"a=b"))
    assert [lower for lower, _, _ in answer.fields] == [b"trailer", b"transfer-encoding"]


@pytest.mark.parametrize(
    "answer",
    [
        EMPTY,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 204 X\r\n\r\n",
        b"HTTP/1.1 304 X\r\n\r\n",
    ],
)
def test_a_clean_connection_serves_again_and_again(answer: Any) -> None:
    async def main() -> None:
        async with backend(*[answer] * 20) as server, wire() as (transport, pool):
            for _ in range(20):
                await ask(transport, server.endpoint())
            assert (
                server.connections,
                pool.statistics().dialled,
                pool.statistics().idle,
                pool.statistics().open,
            ) == (1, 1, 1, 1)

    run(main())


def test_answers_of_every_kind_follow_each_other_on_one_connection() -> None:
    answers = [
        ("HEAD", OK + b"Content-Length: 5\r\n\r\n", b""),
        ("GET", OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
        ("GET", b"HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", b""),
        ("GET", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n", b"x"),
        ("HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 X\r\n\r\n", b""),
        ("GET", OK + b"Content-Length: 2\r\n\r\nok", b"ok"),
    ]

    async def main() -> None:
        async with backend(*(data for _, data, _ in answers)) as server, wire() as (transport, _):
            bodies = [(await ask(transport, server.endpoint(), method))[1] for method, _, _ in answers]
            assert bodies == [body for _, _, body in answers]
            assert server.connections == 1

    run(main())


# --- bytes that nobody asked for

SURPLUS = [
    pytest.param("GET", OK + b"Content-Length: 1\r\n\r\nx", b"y", id="after-a-length"),
    pytest.param("GET", OK + b"Content-Length: 1\r\n\r\nx", EMPTY, id="a-second-answer"),
    pytest.param("GET", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", EMPTY, id="after-chunks"),
    pytest.param("HEAD", OK + b"Content-Length: 5\r\n\r\n", b"hello", id="a-body-to-HEAD"),
    pytest.param("HEAD", OK + b"Content-Length: 0\r\n\r\n", EMPTY, id="a-second-answer-to-HEAD"),
    pytest.param("GET", b"HTTP/1.1 204 X\r\n\r\n", b"hello", id="a-body-to-204"),
    pytest.param(
        "GET", b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n", id="chunks-to-204"
    ),
    pytest.param("GET", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", b"hello", id="a-body-to-304"),
]


@pytest.mark.parametrize(("method", "data", "surplus"), SURPLUS)
def test_surplus_bytes_make_the_connection_unusable(method: Any, data: Any, surplus: Any) -> None:
    answer, body, idle = exchange(data + surplus, method)
    assert body == (b"x" if b"\r\n\r\nx" in data else b"")
    assert answer.complete
    assert not idle
    assert exchange(data, method)[2], "without them it is kept"


@pytest.mark.parametrize("surplus", [b"x", EMPTY, b"\r\n"])
def test_a_byte_between_exchanges_ends_the_connection(surplus: Any) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            writer.write(EMPTY)
            await go.wait()
            writer.write(surplus)
            await reader.read()

        async with Backend(script) as server, wire() as (transport, pool):
            await ask(transport, server.endpoint())
            assert pool.statistics().idle == 1
            go.set()
            await until(lambda: pool.statistics().open == 0)
            assert pool.statistics().idle == 0

    run(main())


def test_a_backend_that_speaks_first_is_not_listened_to() -> None:
    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9\r\n")
            await reader.read()

        async with Backend(script) as server, wire() as (_, pool):
            connection = await pool.dial(server.endpoint())
            await until(lambda: not connection.alive)
            with pytest.raises(ReceiveError, match="not HTTP") as caught:
                await begin(pool, connection, b"GET / HTTP/1.1\r\n\r\n").answer()
            assert (caught.value.word.name, "OpenSSH" in str(caught.value)) == ("AnswerNotUnderstood", False)
            assert pool.statistics().open == 0

    run(main())


# --- what is no HTTP, or too much of it

NO_ANSWERS = [
    pytest.param(b"SSH-2.0-OpenSSH_9\r\n", id="another-protocol"),
    pytest.param(b"\x15\x03\x03\x00\x02\x02\x16", id="a-TLS-alert"),
    pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="two-digits"),
    pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", id="no-status"),
    pytest.param(b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", id="status-000"),
    pytest.param(b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", id="status-099"),
    pytest.param(b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", id="HTTP/1.2"),
    pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="HTTP/2.0"),
    pytest.param(b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", id="HTTP/0.9"),
    pytest.param(b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="RTSP"),
    pytest.param(b"ICE/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="ICE"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nRTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        id="RTSP-behind-an-interim-answer",
    ),
    pytest.param(OK + b"no colon\r\n\r\n", id="a-field-without-a-colon"),
    pytest.param(OK + b": x\r\n\r\n", id="a-field-without-a-name"),
    pytest.param(OK + b"A : b\r\nContent-Length: 0\r\n\r\n", id="space-before-the-colon"),
    pytest.param(OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", id="a-folded-line"),
    pytest.param(OK + b"A: b\nContent-Length: 0\r\n\r\n", id="a-bare-LF"),
    pytest.param(OK + b"A: b\rX: c\r\nContent-Length: 0\r\n\r\n", id="a-bare-CR"),
    pytest.param(OK + b"A: b\x00c\r\nContent-Length: 0\r\n\r\n", id="a-NUL"),
    pytest.param(b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", id="a-NUL-in-the-reason"),
    pytest.param(b"HTTP/1.1 200 O\x1b[2J\r\nContent-Length: 0\r\n\r\n", id="a-control-in-the-reason"),
    # conflicting framing
    pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", id="two-lengths"),
    pytest.param(OK + b"Content-Length: 1, 1\r\n\r\nx", id="a-list-of-lengths"),
    pytest.param(OK + b"Content-Length: +1\r\n\r\nx", id="a-signed-length"),
    pytest.param(OK + b"Content-Length: -1\r\n\r\nx", id="a-negative-length"),
    pytest.param(OK + b"Content-Length: 0x1\r\n\r\nx", id="a-hex-length"),
    pytest.param(OK + b"Content-Length: 1_0\r\n\r\nx", id="an-underscore"),
    pytest.param(OK + b"Content-Length:\r\n\r\nx", id="an-empty-length"),
    pytest.param(OK + b"Content-Length: 99999999999999999999\r\n\r\nx", id="a-length-beyond-64-bits"),
    pytest.param(
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length-and-chunks"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", id="chunks-and-length"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked-twice"
    ),
    pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="another-coding-inside"),
    pytest.param(OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nx", id="another-coding-outside"),
    pytest.param(OK + b"Transfer-Encoding: identity\r\n\r\nx", id="identity"),
    pytest.param(OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="nearly-chunked"),
    # unasked
    pytest.param(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        id="101",
    ),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="101-to-nothing"),
    # too much
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 1) + EMPTY, id="too-many-interim"),
    pytest.param(OK + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", id="too-many-fields"),
    pytest.param(OK + b"A: " + b"b" * (MAX_HEAD * 8) + b"\r\nContent-Length: 0\r\n\r\n", id="a-long-head"),
    pytest.param(b"HTTP/1.1 200 " + b"O" * (MAX_HEAD * 8), id="a-long-reason"),
    pytest.param(OK + b"A" * (MAX_HEAD * 8), id="a-long-name"),
    # chunks
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", id="no-size"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", id="a-hex-prefix"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n", id="a-negative-size"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n", id="bare-LF-in-chunks"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz0\r\n\r\n", id="no-CRLF-behind-a-chunk"),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx", id="a-size-beyond-64-bits"
    ),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n", id="no-trailer"),
]


@pytest.mark.parametrize("data", NO_ANSWERS)
def test_what_is_no_proper_answer_is_an_error_and_the_connection_is_gone(data: Any) -> None:
    error = failure(data)
    assert isinstance(error, ReceiveError)
    assert "127.0.0.1:" in str(error)
    assert "\n" not in str(error)


def test_http_1_0_knows_no_chunks() -> None:
    # RFC 9112, 6.1: faulty framing; if it is processed at all, the connection is closed after it.
    data = (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    )
    try:
        _, _, kept = exchange(data)
    except ReceiveError:
        kept = False
    assert not kept


class Nobody(asyncio.Transport):
    """A transport that leads nowhere: what matters here is in how many pieces bytes come, which a socket does
    not say.
    """

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> Any:
        return self.aborted

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def fed(*pieces: Any) -> Any:
    """A connection that was asked for something and got these pieces."""

    async def main() -> Any:
        connection = Connection(None, asyncio.get_running_loop(), lambda _: None)  # type: ignore[arg-type]
        transport = Nobody()
        connection.connection_made(transport)
        connection.begin(b"", to_head=False, answer_within=1, body_idle=1)
        connection.sent()
        for piece in pieces:
            if not transport.aborted:
                connection.data_received(piece)
        try:
            async with asyncio.timeout(0.2):
                answer = await connection.answer()
        except TimeoutError:
            return None
        return answer.status, answer.fields, b"".join(answer._pieces), answer._error, connection.reusable

    return run(main())


LONG = OK + b"A: " + b"b" * (4 * MAX_HEAD) + b"\r\nContent-Length: 0\r\n\r\n"
FITTING = OK + b"A: " + b"b" * (MAX_HEAD - 200) + b"\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "size", [1000, MAX_HEAD, 5 * MAX_HEAD], ids=["small-pieces", "64-KiB-pieces", "one-piece"]
)
def test_a_head_is_too_long_however_it_comes(size: Any) -> None:
    def pieces(data: Any) -> Any:
        return [data[at : at + size] for at in range(0, len(data), size)]

    with pytest.raises(ReceiveError):
        fed(*pieces(LONG))
    assert fed(*pieces(FITTING))[0] == 200


@pytest.mark.parametrize("value", [b"chunked ", b"chunked\t", b" \tchunked \t"])
def test_a_coding_with_blanks_behind_it_is_read_or_refused_but_never_misread(value: Any) -> None:
    # The parser has its own idea of where a coding ends: were it another than ours, chunk sizes would be
    # taken for a body.
    try:
        _, _, body, _, reusable = fed(OK + b"Transfer-Encoding:" + value + b"\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    except ReceiveError:
        return
    assert (body, reusable) == (b"x", True)


def test_trailers_are_bounded() -> None:
    endless = [OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", *[b"y" * MAX_HEAD] * 64]
    _, _, _, error, reusable = fed(*endless)
    assert isinstance(error, ReceiveError), "the parser gathers 4 MiB of one trailer"
    assert not reusable
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(MAX_TRAILERS + 1))
    _, _, _, error, reusable = fed(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + many + b"\r\n")
    assert isinstance(error, ReceiveError)
    assert not reusable


GOOD = OK + b"X-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nT: 1\r\n\r\n"


@settings(max_examples=60)
@given(st.lists(st.integers(1, len(GOOD) - 1), unique=True))
def test_an_answer_is_the_same_in_any_pieces(cuts: Any) -> None:
    edges = [0, *sorted(cuts), len(GOOD)]
    pieces = [GOOD[a:b] for a, b in itertools.pairwise(edges)]
    assert (
        fed(*pieces)
        == fed(GOOD)
        == (
            200,
            [(b"x-a", b"X-A", b"1"), (b"transfer-encoding", b"Transfer-Encoding", b"chunked")],
            b"hello!",
            None,
            True,
        )
    )


@pytest.mark.parametrize("at_once", [0, 1])
@pytest.mark.parametrize("portion", [1, 2, 7, 50, len(GOOD) - 1, len(GOOD)])
@pytest.mark.parametrize("behind", [b"", b"x", GOOD])
def test_an_answer_is_the_same_in_any_portions(
    monkeypatch: pytest.MonkeyPatch, portion: int, at_once: int, behind: bytes
) -> None:
    for module in (reader, receiver):
        monkeypatch.setattr(module, "PORTION", portion)
    monkeypatch.setattr(reader, "LARGE_PORTION", portion)
    monkeypatch.setattr(receiver, "AT_ONCE", at_once)
    answer, body, kept = exchange(GOOD + behind)
    assert (answer.status, body, kept) == (200, b"hello!", not behind)
    answer, body, kept = exchange(GOOD + behind, then="close")
    assert (answer.status, body) == (200, b"hello!")


# --- the framing of an answer, as a table

FRAMINGS = [
    ([], (None, False)),
    ([b"content-length: 0"], (0, False)),
    ([b"content-length: 007"], (7, False)),
    ([b"content-length: 5", b"content-length: 5"], (5, False)),
    ([b"transfer-encoding: chunked"], (None, True)),
    ([b"transfer-encoding: Chunked"], (None, True)),
    ([b"content-length: 5", b"content-length: 6"], None),
    ([b"content-length: "], None),
    ([b"content-length: 5,5"], None),
    ([b"content-length: 1e3"], None),
    ([b"content-length: \xb2"], None),
    ([b"content-length: " + b"9" * 19], None),
    ([b"transfer-encoding: chunked", b"transfer-encoding: chunked"], None),
    ([b"transfer-encoding: gzip"], None),
    ([b"transfer-encoding: "], None),
    ([b"transfer-encoding: chunked", b"content-length: 5"], None),
    ([b"content-length: 5", b"transfer-encoding: chunked"], None),
]


@pytest.mark.parametrize(("lines", "expected"), FRAMINGS)
def test_the_framing_is_said_once_and_clearly(lines: Any, expected: Any) -> None:
    fields = [(name, name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    if expected is None:
        with pytest.raises(ValueError):
            framing(fields)
    else:
        assert framing(fields) == expected


# --- the end of a connection: before the answer, within it, after it

EARLY = [
    pytest.param(b"", SendError, id="no-byte"),
    pytest.param(b"H", ReceiveError, id="one-byte"),
    pytest.param(OK, ReceiveError, id="half-a-head"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", ReceiveError, id="only-interim"),
    pytest.param(OK + b"Content-Length: 5\r\n\r\nhell", ReceiveError, id="a-short-body"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell", ReceiveError, id="half-a-chunk"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ReceiveError, id="no-last-chunk"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", ReceiveError, id="no-end-of-the-trailers"),
]


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(("data", "kind"), EARLY)
def test_an_early_end_says_how_far_it_came(data: Any, kind: Any, then: Any) -> None:
    error = failure(data, then=then)
    assert type(error) is kind
    assert "closed the connection" in str(error)


def test_a_reset_does_not_end_a_body_that_the_end_delimits() -> None:
    assert isinstance(failure(OK + b"\r\nhello", then="reset"), ReceiveError)


def test_what_came_before_the_break_is_read_first() -> None:
    async def main() -> None:
        async with (
            backend(OK + b"Content-Length: 9\r\n\r\nhello", then="close") as server,
            wire() as (transport, pool),
        ):
            trip = await start(transport, server.endpoint())
            answer = await trip.answer()
            await until(lambda: pool.statistics().open == 0)
            assert await answer.read() == b"hello"
            with pytest.raises(ReceiveError):
                await answer.read()
            trip.close(clean=False)

    run(main())


# --- deadlines: of the answer, of its pieces; a reader who does not read is no fault of the backend's

SOON = Timeouts(response_header=10.0, response_idle=5.0)


def silence(
    data: bytes, steps: Callable[..., Awaitable[None]], method: str = "GET", timeouts: Timeouts = SOON
) -> None:
    """`steps(trip, pool, go)` with the clock in hand, against a backend that says `data`, and the rest after
    `go(rest)`.
    """

    async def main() -> None:
        rest: asyncio.Queue[Any] = asyncio.Queue()

        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            writer.write(data)
            while True:
                writer.write(await rest.get())

        async with Backend(script) as server, wire(timeouts=timeouts) as (transport, pool):
            trip = await start(transport, server.endpoint(), method)
            await until(lambda: server.heads)
            await delivered()
            await steps(trip, pool, rest.put_nowait)

    run(main(), ClockLoop)


async def lasts(seconds: Any) -> None:
    """As much time as the deadlines' sweep needs to see each half second."""
    for _ in range(int(seconds * 2)):
        await pass_time(0.5)


def test_a_backend_that_says_nothing_is_given_up() -> None:
    async def steps(trip: Any, pool: Any, go: Any) -> None:
        await lasts(9)
        assert pool.statistics().open == 1
        await lasts(2)
        with pytest.raises(UpstreamTimeout, match=r"timed out waiting for the response from 127\.0\.0\.1:"):
            await trip.answer()
        await until(lambda: pool.statistics().open == 0)
        trip.close(clean=False)

    silence(b"", steps)


def test_half_a_head_does_not_buy_time() -> None:
    async def steps(trip: Any, pool: Any, go: Any) -> None:
        await lasts(6)
        go(b"X: 1\r\n")
        await delivered()
        await lasts(5)
        with pytest.raises(UpstreamTimeout):
            await trip.answer()

    silence(OK, steps)


def test_a_body_that_stops_is_given_up_and_each_piece_buys_time() -> None:
    async def steps(trip: Any, pool: Any, go: Any) -> None:
        answer = await trip.answer()
        for _ in range(4):
            assert await answer.read() == b"x"
            await lasts(4)
            go(b"x")
            await delivered()
        assert await answer.read() == b"x"
        await lasts(6)
        with pytest.raises(UpstreamTimeout, match="rest of its response"):
            await answer.read()

    silence(OK + b"Content-Length: 9\r\n\r\nx", steps)


UNFINISHED = [
    pytest.param(OK + b"Content-Length: 9\r\n\r\nhello", id="length"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="chunks"),
    pytest.param(OK + b"\r\nhello", id="until-close"),
]


@pytest.mark.parametrize("data", UNFINISHED)
def test_a_body_given_up_while_nobody_reads_is_no_whole_body(data: Any) -> None:
    async def steps(trip: Any, pool: Any, go: Any) -> None:
        answer = await trip.answer()
        await lasts(6)
        await until(lambda: pool.statistics().open == 0)
        assert await answer.read() == b"hello"
        with pytest.raises(UpstreamTimeout):
            await answer.read()
        assert not answer.complete

    silence(data, steps)


@pytest.mark.parametrize("data", UNFINISHED)
def test_a_body_that_we_cut_off_ourselves_is_no_whole_body(data: Any) -> None:
    async def steps(trip: Any, pool: Any, go: Any) -> None:
        answer = await trip.answer()
        pool.close()  # as at the end of the program
        await until(lambda: pool.statistics().open == 0)
        assert await answer.read() == b"hello"
        with pytest.raises(NetworkError):
            await answer.read()

    silence(data, steps)


def test_a_reader_who_does_not_read_is_no_fault_of_the_backends() -> None:
    size = 1 << 20

    async def steps(trip: Any, pool: Any, go: Any) -> None:
        answer = await trip.answer()
        await lasts(60)
        assert pool.statistics().open == 1
        assert len(await whole(answer)) == size
        trip.close(clean=True)
        assert pool.statistics().idle == 1

    silence(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size, steps)


def test_a_kept_connection_rests_for_a_minute_and_is_closed() -> None:
    async def steps(trip: Any, pool: Any, go: Any) -> None:
        await trip.answer()
        trip.close(clean=True)
        await lasts(59)
        assert pool.statistics().idle == 1
        await lasts(2)
        await until(lambda: pool.statistics().open == 0)
        assert pool.statistics().idle == 0

    silence(EMPTY, steps)


# --- very many chunks

ONES = b"1\r\nx\r\n" * 100_000
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
AUTHORITY = Authority()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("then", ["wait", "close"])
def test_very_many_chunks_are_worked_off_in_portions(then: Any, tls: Any) -> None:
    """Whoever else is served waits for one of them at most."""

    async def main() -> None:
        context = server_tls(AUTHORITY) if tls else None
        async with (
            backend(CHUNKED + ONES + b"0\r\n\r\n", then=then, tls=context) as server,
            wire() as (transport, pool),
        ):
            trip = await start(transport, server.endpoint(tls=tls))
            answer = await trip.answer()
            pieces = []
            while piece := await answer.read():
                pieces.append(len(piece))
            trip.close(clean=True)
            assert sum(pieces) == len(ONES) // 6
            # A portion may have come before the reader awoke; TLS hands over with the end what it had read,
            # 64 KiB at most.
            assert max(pieces) < (65536 if tls and then == "close" else 3 * LARGE_PORTION) / 6
            if then == "wait":
                assert pool.statistics().idle == 1

    run(main())


@pytest.mark.parametrize("behind", [b"0\r\n\r\n" + EMPTY, b"0\r\n\r\n" + EMPTY * 1000])
def test_what_follows_very_many_chunks_makes_the_connection_unusable(behind: Any) -> None:
    answer, body, kept = exchange(CHUNKED + ONES + behind)
    assert (answer.status, len(body), kept) == (200, len(ONES) // 6, False)


@pytest.mark.parametrize("behind", [b"x\r\n", b"1\r\nxx\r\n" + ONES])
def test_a_fault_in_very_many_chunks_is_an_error(behind: Any) -> None:
    failure(CHUNKED + ONES + behind)


def test_very_many_chunks_that_nobody_reads_are_held_up_to_a_limit() -> None:
    async def main() -> None:
        async with backend(CHUNKED + ONES * 20, then="wait") as server, wire() as (transport, _):
            trip = await start(transport, server.endpoint())
            answer = await trip.answer()
            held = -1
            while answer._held != held:
                held = answer._held
                await asyncio.sleep(0.2)
            assert HIGH_WATER < held < HIGH_WATER + 65536
            size = 0
            while size < len(ONES) * 20 // 6:
                size += len(await answer.read())
            trip.close(clean=False)

    run(main())


# --- back-pressure

MEBIBYTE = b"x" * (1 << 20)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_reader_who_waits_holds_little_of_fifty_mebibytes(chunked: Any) -> None:
    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            writer.write(
                OK
                + (
                    b"Transfer-Encoding: chunked\r\n\r\n"
                    if chunked
                    else b"Content-Length: %d\r\n\r\n" % (50 << 20)
                )
            )
            for _ in range(50):
                writer.write(b"100000\r\n" + MEBIBYTE + b"\r\n" if chunked else MEBIBYTE)
                await writer.drain()
            if chunked:
                writer.write(b"0\r\n\r\n")
            await reader.read()

        async with Backend(script) as server, wire() as (transport, pool):
            trip = await start(transport, server.endpoint())
            answer = await trip.answer()
            total = largest = 0
            while True:
                await asyncio.sleep(0.02 if total < 1 << 20 else 0)  # long enough for all that would come
                piece = await answer.read()
                if not piece:
                    break
                total, largest = total + len(piece), max(largest, len(piece))
            trip.close(clean=True)
            assert total == 50 << 20
            assert largest <= 1 << 20  # what was held when it was read
            assert pool.statistics().idle == 1

    run(main())
