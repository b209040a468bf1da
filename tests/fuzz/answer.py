"""The answer parser: never more body than was framed, and a connection that is used again has nothing left on
it.

What our side takes for a whole answer, h11 takes for the same, with the same body; and where the connection
is to be used again, h11 would use it too.  The second byte of an input says whether the request was HEAD, and
how it all ends.

Where h11 may differ, and why:
- it refuses trailers that look like framing, which are dropped here (RFC 9110, 6.5.1), and chunk sizes of
  more than 20
  digits, which begin with zeros where they are taken here;
- it knows no keep-alive in HTTP/1.0;
- it writes the value of Transfer-Encoding in lower case.
Line ends behind an answer, in the same piece, are skipped by our parser and gone: they make the connection
unusable only
where they come alone.
"""

from __future__ import annotations

import re
from typing import Any

import h11

from bastion.kube.endpoint import Endpoint
from bastion.network.errors import NetworkError
from bastion.network.http1.connection import Connection
from bastion.network.http1.response import Response
from tests.fuzz.pieces import HandLoop, HandTransport, cut

_OK = b"HTTP/1.1 200 OK\r\n"
SEEDS = [
    b"\x05\x00" + _OK + b"Content-Length: 5\r\n\r\nhello",
    b"\x05\x00"
    + _OK
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"\x05\x02" + _OK + b"Connection: close\r\nX-A:  b \r\n\r\nuntil the end",
    b"\x05\x04" + _OK + b"X-A: b\r\n\r\nuntil a reset",
    b"\x05\x01" + _OK + b"Content-Length: 5\r\n\r\n",
    b"\x05\x00HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    + _OK
    + b"Content-Length: 0\r\n\r\n",
    b"\x05\x00HTTP/1.1 204 No Content\r\n\r\n",
    b"\x05\x00HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"\x05\x00HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
    b"\x05\x00" + _OK + b"Content-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
    b"\x05\x00HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
]
WORDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b"HTTP/1.1 ",
    b"HTTP/1.0 ",
    b"HTTP/2 ",
    b"RTSP/1.0 ",
    b" 99 ",
    b" 100 ",
    b" 101 ",
    b" 204 ",
    b" 304 ",
    b" 205 ",
    b" 1000 ",
    b"Content-Length: 5\r\n",
    b"Content-Length: 6\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length:\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked \r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"X : y\r\n",
    b"X: y\r\n",
    b"0\r\n\r\n",
    b"1\r\nx\r\n",
    b"f" * 16 + b"\r\n",
    b"fffffffffffffff\r\n",
    b";a=b",
    b"A: b\r\n" * 201,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 11,
    b"HTTP/1.1 204 No Content\r\n\r\n",
]
_TO_HEAD, _FIN, _RESET = 1, 2, 4
_THEIRS = re.compile(r"Transfer-Encoding|Content-Length|illegal chunk header: bytearray\(b'0[0-9a-fA-F]{20}")


class Heard:
    """What came of one answer: `answer` is None where its head did not come; `whole`: its end did."""

    def __init__(self, mode: int, pieces: list[bytes]) -> None:
        loop, transport = HandLoop(), HandTransport()
        lost: list[Connection] = []
        connection = Connection(Endpoint("192.0.2.1", 80), loop, lost.append)  # type: ignore[arg-type]
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.begin(b"", to_head=bool(mode & _TO_HEAD), answer_within=1, body_idle=1)
        connection.sent()
        for piece in pieces:
            if transport.closed:
                break
            connection.data_received(piece)
            loop.run()
        ended = mode & (_FIN | _RESET) and not transport.closed
        if ended and mode & _RESET:
            connection.connection_lost(ConnectionResetError())
        elif ended:
            connection.eof_received()
            connection.connection_lost(None)
        self.answer: Response | None = _now(connection.answer().__await__())
        self.body = b""
        while self.answer is not None and not self.answer.exhausted and (data := _now(self.answer.read())):
            self.body += data
        self.whole = self.answer is not None and self.answer.exhausted
        self.reusable = connection.reusable
        if not ended:
            connection.close()
            connection.connection_lost(None)
        assert lost == [connection]

    def told(self) -> tuple[Any, ...]:
        """All but `reusable`; the body of a broken answer may be told in part."""
        answer = self.answer
        head = answer and (answer.status, answer.reason, answer.fields, answer.length, answer.bodiless)
        return head, self.whole, self.whole and self.body


def _now(waiting: Any) -> Any:
    """What is there already; None where more must come, or nothing will."""
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value
    except NetworkError:
        return None
    waiting.close()
    return None


def check(data: bytes) -> None:
    mode = data[1] if len(data) > 1 else 0
    stream, pieces = cut(data, 2)
    heard = Heard(mode, [stream] if stream else [])
    again = Heard(mode, pieces)
    assert heard.told() == again.told()
    assert heard.reusable >= again.reusable
    assert heard.reusable == again.reusable or stream[-1:] in (b"\r", b"\n")
    answer = heard.answer
    if answer is None:
        assert not heard.reusable
        return
    assert len(heard.body) <= len(stream)
    assert not (answer.bodiless and heard.body)
    assert answer.length is None or len(heard.body) <= answer.length or answer.bodiless
    if heard.whole:
        _agree(heard, mode, stream)
    else:
        assert not heard.reusable


def _agree(heard: Heard, mode: int, stream: bytes) -> None:
    answer = heard.answer
    assert answer is not None
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(
        h11.Request(method="HEAD" if mode & _TO_HEAD else "GET", target="/", headers=[("Host", "h")])
    )
    connection.send(h11.EndOfMessage())
    connection.receive_data(stream)
    if mode & _FIN:
        connection.receive_data(b"")
    body = b""
    response = None
    try:
        while not isinstance(event := connection.next_event(), (h11.EndOfMessage, type(h11.NEED_DATA))):
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.Response):
                response = event
    except h11.RemoteProtocolError as error:
        assert response is not None, error
        assert _THEIRS.search(str(error)), error
        return
    assert isinstance(event, h11.EndOfMessage)
    assert response is not None
    assert response.status_code == answer.status
    assert list(response.headers) == [
        (lower, value.lower() if lower == b"transfer-encoding" else value)
        for lower, _, value in answer.fields
    ]
    assert body == heard.body
    if heard.reusable:
        assert not connection.trailing_data[0].strip(b"\r\n")
        assert connection.their_state is h11.DONE or response.http_version == b"1.0"
