"""Where does a request's body end?

The same, however the bytes come; and for each refusal its repaired twin.
"""

from __future__ import annotations

import itertools
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.kube.status import StatusError
from bastion.server.http1.framing import AT_ONCE, MAX_CHUNK_LINE, MAX_TRAILERS, ChunkedFraming, LengthFraming


def fed(framing: Any, *pieces: Any) -> Any:
    """(body, what follows it), or None where the framing is refused; feeding stops at the end as the server
    does.
    """
    body, rest = [], b""
    for piece in pieces:
        if framing.done:
            rest += piece
            continue
        try:
            found, rest = framing.feed(piece)
            while rest and not framing.done:
                more, rest = framing.feed(rest)
                found += more
        except StatusError as error:
            assert (error.code, error.close) == (400, True)
            return None
        body += found
    return (b"".join(body), rest) if framing.done else (b"".join(body), None)


def cut(data: Any, size: Any) -> Any:
    return [data[at : at + size] for at in range(0, len(data), size)]


# --- by length

LENGTHS = [
    (0, b"", (b"", b"")),
    (5, b"hello", (b"hello", b"")),
    (5, b"helloGET /", (b"hello", b"GET /")),
    (5, b"hell", (b"hell", None)),
    (1, b"\r\n", (b"\r", b"\n")),
]


@pytest.mark.parametrize(("length", "data", "expected"), LENGTHS)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_length_is_counted(length: Any, data: Any, expected: Any, size: Any) -> None:
    framing = LengthFraming(length)
    assert fed(framing, *cut(data, size)) == expected
    assert framing.done is (expected[1] is not None)


@given(st.binary(max_size=30), st.binary(max_size=10), st.lists(st.integers(0, 40)))
def test_a_length_is_counted_however_the_bytes_come(body: Any, rest: Any, cuts: Any) -> None:
    data = body + rest
    edges = [0, *sorted(min(at, len(data)) for at in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert fed(LengthFraming(len(body)), *pieces) == (body, rest)


@pytest.mark.parametrize("framing", [LengthFraming(5), ChunkedFraming()], ids=["length", "chunks"])
def test_no_piece_of_a_body_is_empty(framing: Any) -> None:
    # An empty piece is how a reader is told of the end.
    for piece in (b"", b"5\r\nhe", b"", b"llo\r\n0\r\n\r\n"):
        if not framing.done:
            assert b"" not in framing.feed(piece)[0]
    assert framing.done


# --- by chunks

CHUNKS = [
    pytest.param(b"0\r\n\r\n", b"", id="empty"),
    pytest.param(b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="one"),
    pytest.param(b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", b"hello world", id="several"),
    pytest.param(b"00005\r\nhello\r\n000\r\n\r\n", b"hello", id="leading-zeros"),
    pytest.param(b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="hex"),
    pytest.param(b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="HEX"),
    pytest.param(b"5;name=value\r\nhello\r\n0;last\r\n\r\n", b"hello", id="extensions"),
    pytest.param(b'5;name="quoted;\\" x"\r\nhello\r\n0\r\n\r\n', b"hello", id="quoted-extension"),
    pytest.param(b"5;\r\nhello\r\n0\r\n\r\n", b"hello", id="empty-extension"),
    pytest.param(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", b"hello", id="trailers"),
    pytest.param(b"0\r\nContent-Length: 5\r\n\r\n", b"", id="trailers-change-nothing"),
    pytest.param(b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", id="CRLF-as-data"),
    pytest.param(b"7\r\n0\r\n\r\nab\r\n0\r\n\r\n", b"0\r\n\r\nab", id="chunks-as-data"),
    pytest.param(b"0;" + b"x" * (MAX_CHUNK_LINE - 2) + b"\r\n\r\n", b"", id="as-long-a-line-as-may-be"),
    pytest.param(
        b"0\r\nX: " + b"y" * (MAX_TRAILERS - 5) + b"\r\n\r\n", b"", id="as-long-a-trailer-as-may-be"
    ),
    pytest.param(b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello", id="fifteen-digits"),
]


@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n", b"\r\n"])
@pytest.mark.parametrize(("data", "body"), CHUNKS)
def test_chunks_are_joined_and_what_follows_is_left(data: Any, body: Any, rest: Any) -> None:
    for size in (len(data) + len(rest), 1, 2, 3, 7):
        assert fed(ChunkedFraming(), *cut(data + rest, size)) == (body, rest)


@pytest.mark.parametrize(("data", "body"), CHUNKS)
def test_a_cut_anywhere_changes_nothing(data: Any, body: Any) -> None:
    for at in range(1, len(data)):
        assert fed(ChunkedFraming(), data[:at], data[at:]) == (body, b""), data[:at]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"5",
        b"5\r",
        b"5\r\n",
        b"5\r\nhell",
        b"5\r\nhello",
        b"5\r\nhello\r",
        b"0",
        b"0\r\n",
        b"0\r\n\r",
        b"0\r\nX: 1\r\n",
    ],
)
def test_half_a_body_is_not_done(data: Any) -> None:
    framing = ChunkedFraming()
    assert fed(framing, data)[1] is None
    assert not framing.done


REFUSED = [
    # the defect, the repair
    pytest.param(b"\r\n0\r\n\r\n", b"0\r\n\r\n", id="empty-size"),
    pytest.param(b"x\r\n", b"1\r\nx\r\n0\r\n\r\n", id="no-hex"),
    pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n0\r\n\r\n", id="hex-prefix"),
    pytest.param(b"+5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="sign"),
    pytest.param(b"-5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="negative"),
    pytest.param(b"5_0\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="underscore"),
    pytest.param(b" 5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="space-before-the-size"),
    pytest.param(b"5 \r\nhello\r\n0\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n", id="space-behind-the-size"),
    # others refuse it
    pytest.param(b"5 ;x\r\nhello\r\n0\r\n\r\n", b"5;x\r\nhello\r\n0\r\n\r\n", id="space-before-an-extension"),
    pytest.param(b"5,\r\nhello\r\n0\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n", id="comma"),
    pytest.param(b"5;\x00\r\nhello\r\n0\r\n\r\n", b"5;\xff\r\nhello\r\n0\r\n\r\n", id="NUL-in-an-extension"),
    pytest.param(b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"5;a\tb\r\nhello\r\n0\r\n\r\n", id="CR-in-an-extension"),
    pytest.param(b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="bare-LF-behind-the-size"),
    pytest.param(
        b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5;ab\r\nhello\r\n0\r\n\r\n", id="TERM.EXT-bare-LF-in-an-extension"
    ),
    pytest.param(b"5\r\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="two-CRs"),
    pytest.param(b"5\r\nhello0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="no-CRLF-behind-a-chunk"),
    pytest.param(b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="bare-LF-behind-a-chunk"),
    pytest.param(b"5\r\nhello\rx0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="bare-CR-behind-a-chunk"),
    pytest.param(b"5\r\nhelloxx\r\n0\r\n\r\n", b"7\r\nhelloxx\r\n0\r\n\r\n", id="more-than-the-size"),
    pytest.param(b"0\r\n\n", b"0\r\n\r\n", id="bare-LF-at-the-end"),
    pytest.param(b"0\n\n", b"0\r\n\r\n", id="bare-LFs-at-the-end"),
    pytest.param(b"0\r\nno colon\r\n\r\n", b"0\r\nno: colon\r\n\r\n", id="a-trailer-without-a-colon"),
    pytest.param(b"0\r\n: x\r\n\r\n", b"0\r\nX: x\r\n\r\n", id="a-trailer-without-a-name"),
    pytest.param(b"0\r\nX : y\r\n\r\n", b"0\r\nX: y\r\n\r\n", id="a-trailer-with-a-space"),
    pytest.param(b"0\r\nX: 1\r\n folded\r\n\r\n", b"0\r\nX: 1\r\nfolded:\r\n\r\n", id="a-folded-trailer"),
    pytest.param(b"0\r\nX: \x00\r\n\r\n", b"0\r\nX: 0\r\n\r\n", id="NUL-in-a-trailer"),
    pytest.param(b"0\r\nX: 1\nY: 2\r\n\r\n", b"0\r\nX: 1\r\nY: 2\r\n\r\n", id="bare-LF-in-the-trailers"),
    pytest.param(
        b"0" * 16 + b"5\r\nhello\r\n0\r\n\r\n", b"0" * 14 + b"5\r\nhello\r\n0\r\n\r\n", id="too-many-digits"
    ),
    pytest.param(b"fffffffffffffffff\r\n", b"f\r\n" + b"x" * 15 + b"\r\n0\r\n\r\n", id="beyond-64-bits"),
    pytest.param(
        b"0;" + b"x" * (MAX_CHUNK_LINE - 1) + b"\r\n\r\n",
        b"0;" + b"x" * (MAX_CHUNK_LINE - 2) + b"\r\n\r\n",
        id="a-long-line",
    ),
    pytest.param(b"0\r\nX: " + b"y" * MAX_TRAILERS + b"\r\n\r\n", b"0\r\nX: y\r\n\r\n", id="a-long-trailer"),
    pytest.param(
        b"0\r\n" + b"X: 1\r\n" * (MAX_TRAILERS // 6 + 1) + b"\r\n",
        b"0\r\n" + b"X: 1\r\n" * (MAX_TRAILERS // 6) + b"\r\n",
        id="many-trailers",
    ),
    pytest.param(b"5;" + b"x" * 100000, b"5\r\nhello\r\n0\r\n\r\n", id="a-line-without-an-end"),
    pytest.param(b"0\r\nX: " + b"x" * 100000, b"0\r\n\r\n", id="a-trailer-without-an-end"),
    pytest.param(b"\x16\x03\x01\x02\x00", b"0\r\n\r\n", id="another-protocol"),
]


@pytest.mark.parametrize("size", [1 << 20, 1, 3])
@pytest.mark.parametrize(("defect", "repair"), REFUSED)
def test_a_defect_is_refused_and_its_repair_is_accepted(defect: Any, repair: Any, size: Any) -> None:
    # What is no line yet is refused as soon as it cannot become one, at the latest when a line ends.
    assert fed(ChunkedFraming(), *cut(defect + b"\r\n", size)) is None
    assert fed(ChunkedFraming(), *cut(repair, size))[1] == b""


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"1;x\r\nx\r\n"], ids=["plain", "extensions"])
def test_very_many_chunks_are_not_read_at_once(chunk: Any) -> None:
    framing = ChunkedFraming()
    pieces, rest = framing.feed(chunk * (3 * AT_ONCE) + b"0\r\n\r\nnext")
    assert (b"".join(pieces), len(rest)) == (b"x" * AT_ONCE, 2 * AT_ONCE * len(chunk) + 9)
    assert fed(framing, rest) == (b"x" * (2 * AT_ONCE), b"next")


def test_a_chunk_may_be_large_and_is_not_held_back() -> None:
    framing = ChunkedFraming()
    assert framing.feed(b"ffffffffffff\r\nabc") == ([b"abc"], b"")
    assert framing.feed(b"def") == ([b"def"], b"")


SOUP = st.lists(
    st.sampled_from(
        [
            b"0",
            b"1",
            b"5",
            b"a",
            b"\r\n",
            b"\r",
            b"\n",
            b";x",
            b"hello",
            b"X: y",
            b" ",
            b"0\r\n\r\n",
            b"5\r\nhello\r\n",
            b"1\r\nx\r\n",
            b"\x00",
        ]
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=400)
@given(SOUP, st.lists(st.integers(0, 60)))
def test_chunks_read_the_same_however_the_bytes_come(data: Any, cuts: Any) -> None:
    edges = [0, *sorted(min(at, len(data)) for at in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges) if a < b]
    assert fed(ChunkedFraming(), *pieces) == fed(ChunkedFraming(), data)


@settings(max_examples=200)
@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=5),
    st.sampled_from([b"", b";x=y", b';q="a;b"']),
    st.sampled_from([b"", b"X-Sum: 1\r\n", b"A:\r\nB: c\r\n"]),
    st.binary(max_size=8),
    st.lists(st.integers(0, 200)),
)
def test_a_body_in_chunks_comes_back_whole(
    chunks: Any, extension: Any, trailers: Any, rest: Any, cuts: Any
) -> None:
    data = (
        b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
        + b"0\r\n"
        + trailers
        + b"\r\n"
        + rest
    )
    edges = [0, *sorted(min(at, len(data)) for at in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges) if a < b]
    assert fed(ChunkedFraming(), *pieces) == (b"".join(chunks), rest)


@settings(max_examples=400)
@given(SOUP)
def test_another_parser_reads_the_same_in_what_is_accepted(data: Any) -> None:
    read = fed(ChunkedFraming(), data)
    if read is None or read[1] is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Data):
            body += event.data
    assert (body, bytes(connection.trailing_data[0])) == read
