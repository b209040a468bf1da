"""Which responses are read without a parser, and which are left to it?"""

from __future__ import annotations

import pytest

from bastion.http.fields import field_of
from bastion.kube.status import StatusError
from bastion.network.http1.ordinary import MAX_FIELDS, MAX_HEAD, OrdinaryReader
from bastion.server.http1.head import read_head

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 2\r\n\r\nab"

ORDINARY = {
    "least": OK + LENGTH,
    "usual": OK
    + b"Server: x\r\nContent-Type: text/plain\r\nDate: now\r\nConnection: Keep-Alive\r\n"
    + LENGTH,
    "an error": b"HTTP/1.1 503 Service Unavailable\r\n" + LENGTH,
    "no reason": b"HTTP/1.1 200 \r\n" + LENGTH,
    "no body": OK + b"Content-Length: 0\r\n\r\n",
}
LEFT_TO_THE_PARSER = {
    "a part of the head": OK + b"Content-Length: 0\r\n",
    "a part of the body": OK + b"Content-Length: 3\r\n\r\nab",
    "more than the body": OK + b"Content-Length: 1\r\n\r\nab",
    "no length": OK + b"Server: x\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\n" + LENGTH,
    "a length that is none": OK + b"Content-Length: +2\r\n\r\nab",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks beside a length": OK + b"Transfer-Encoding: chunked\r\n" + LENGTH,
    "it ends the connection": OK + b"Connection: close\r\n" + LENGTH,
    "Connection names more": OK + b"Connection: keep-alive, x-a\r\n" + LENGTH,
    "how long it is kept": OK + b"Keep-Alive: timeout=1\r\n" + LENGTH,
    "an upgrade": OK + b"Upgrade: h2c\r\n" + LENGTH,
    "a login": OK + b"WWW-Authenticate: NTLM\r\n" + LENGTH,
    "a cookie": OK + b"Set-Cookie: a=b\r\n" + LENGTH,
    "a place": OK + b"Location: /x\r\n" + LENGTH,
    "what speaks for the origin": OK + b"Clear-Site-Data: *\r\n" + LENGTH,
    "interim": b"HTTP/1.1 103 Early Hints\r\n" + LENGTH,
    "without a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + LENGTH,
    "no HTTP": b"RTSP/1.0 200 OK\r\n" + LENGTH,
    "no status": b"HTTP/1.1 20 OK\r\n" + LENGTH,
    "a folded line": OK + b"X: a\r\n b\r\n" + LENGTH,
    "a bare LF": OK + b"X: a\nY: b\r\n" + LENGTH,
    "a bare CR": OK + b"X: a\rY: b\r\n" + LENGTH,
    "a control character": OK + b"X: a\x00\r\n" + LENGTH,
    "a control character in the reason": b"HTTP/1.1 200 O\x00K\r\n" + LENGTH,
    "a blank before the colon": OK + b"X : a\r\n" + LENGTH,
    "many fields": OK + b"X: a\r\n" * MAX_FIELDS + LENGTH,
    "a large head": OK + b"X: " + b"a" * MAX_HEAD + b"\r\n" + LENGTH,
}


@pytest.mark.parametrize("data", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_response_is_read_at_once(data: bytes) -> None:
    reader = OrdinaryReader()
    first, again = reader.read(data, "a"), reader.read(data, "b")
    assert first is not None
    assert first == again
    assert first.body == data.partition(b"\r\n\r\n")[2]
    assert first.beginning.length == len(first.body)


@pytest.mark.parametrize("data", LEFT_TO_THE_PARSER.values(), ids=LEFT_TO_THE_PARSER)
def test_any_other_is_left_to_the_parser(data: bytes) -> None:
    reader = OrdinaryReader()
    for one in ORDINARY.values():
        reader.read(one, "a")
    assert [reader.read(data, "a") for _ in range(2)] == [None, None]


def test_what_no_rule_reads_passes_and_what_speaks_for_the_bastion_does_not() -> None:
    read = OrdinaryReader().read(
        OK + b"ETag:  x \r\nAudit-Id: a\r\nX-Bastion-Error: b\r\nVary: c\r\nContent-Type: t/p\r\n" + LENGTH,
        "a",
    )
    assert read is not None
    assert read.passed == [b"ETag: x\r\n", b"Vary: c\r\n"]
    assert [lower for lower, _, _ in read.beginning.fields] == [b"content-type", b"content-length"]


@pytest.mark.parametrize(
    "line",
    [
        *(b"A: b", b"A:b", b"A:\t b \t", b"A:", b"a-1!#$%&'*+.^_`|~: x", b"A: \xe9", b"A: b:c"),
        *(
            b"",
            b":",
            b": b",
            b"A",
            b"A : b",
            b" A: b",
            b"\tA: b",
            b"A\x00: b",
            b"\xe9: b",
            b"A: \x00",
            b"A: \x7f",
        ),
        *(b"A: b\r", b"A: b\n", b"A: b\rc", b"A: b\nc", b"A(: b", b"A\r: b"),
    ],
)
def test_a_line_is_a_field_where_it_is_one_of_a_request(line: bytes) -> None:
    try:
        of_request = read_head(b"GET / HTTP/1.0\r\n" + line).fields[0]
    except StatusError:
        with pytest.raises(ValueError, match="not a header field"):
            field_of(line)
    else:
        assert field_of(line) == of_request


def test_a_malformed_line_of_a_known_name_is_left_to_the_parser() -> None:
    reader = OrdinaryReader()
    assert reader.read(LEFT_TO_THE_PARSER["a cookie"], "c") is None
    for line in (b"Set-Cookie: a\x00", b"Set-Cookie a=b", b"Set-Cookie : a"):
        assert reader.read(OK + line + b"\r\n" + LENGTH, "c") is None
