"""A client's whole connection: requests, bodies and what is pipelined behind them, whatever pieces they come
in.

What our side takes for a request or a body, h11 takes for the same: nothing is smuggled past either.  h11 is
asked about those bytes alone that were accepted, and may differ as in `head`; besides, it refuses some
trailers, which are dropped here (RFC 9110, 6.5.1).
"""

from __future__ import annotations

from typing import Any

import h11

from bastion.kube.status import StatusError
from bastion.runtime.deadlines import Deadlines
from bastion.server.http1.exchange import HttpExchange
from bastion.server.http1.protocol import HttpProtocol
from bastion.server.state import ServerState
from tests.fuzz.pieces import HandLoop, HandTransport, cut

_FRAMED = b"\x07POST /%b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
SEEDS = [
    _FRAMED % b"a" + b"5\r\nhello\r\n0\r\n\r\n",
    _FRAMED
    % b"b"
    + b'a;x="y;z"\r\n0123456789\r\n001\r\nx\r\n00\r\nX-Sum: 1\r\nY: 2\r\n\r\nGET / HTTP/1.1\r\nHost:'
    b" h\r\n\r\n",
    (
        b"\x03POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /d HTTP/1.1\r\nHost:"
        b" h\r\n\r\n\r\nGET /e HTTP/1.0\r\n\r\n"
    ),
    (
        b"\x1fGET /f HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nPOST /g HTTP/1.0\r\nConnection:"
        b" keep-alive\r\nContent-Length: 1\r\n\r\nx"
    ),
    (
        b"\x0bPUT /h HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
        b"GET /i HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    ),
]
WORDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"0\r\n\r\n",
    b"\r\n0\r\n\r\n",
    b"1\r\nx\r\n",
    b"f" * 15 + b"\r\n",
    b"f" * 16 + b"\r\n",
    b"0x1\r\n",
    b"+1\r\n",
    b"1 \r\n",
    b"1;" + b"x" * 300,
    b"1;\n\r\n",
    b";a=b",
    b"X: y\r\n",
    b"X : y\r\n",
    b" X: y\r\n",
    b"Content-Length: 9\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.0",
]


class _Recorder:
    """An application that reads every request to its end; `said` is all that it was given, and what was
    refused.
    """

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def serve(self, exchange: HttpExchange) -> None:
        fields = [(lower, name, value) for lower, name, value in exchange.fields]
        request: list[Any] = [exchange.method, exchange.target, exchange.minor, exchange.host, fields, b""]
        self.said.append(request)
        if exchange.body is not None:
            try:
                while data := await exchange.body.read():
                    request[-1] += data
            except StatusError as error:
                request[-1] = b""  # how much of it was read by then is nobody's promise
                self.said.append("bad body")
                exchange.send_status(error)
                return
        self.said.append("end")
        exchange.start(204, b"", [], None, bodiless=True)
        exchange.finish()

    def refuse(self, exchange: HttpExchange, error: StatusError) -> None:
        assert error.close
        self.said.append("refused")
        exchange.send_status(error)


def spoken(pieces: list[bytes]) -> list[Any]:
    """The requests as they were read, to the last byte; then "end" for each whole one, and what became of the
    connection.
    """
    loop, recorder, transport = HandLoop(), _Recorder(), HandTransport()
    state = ServerState(recorder, Deadlines(), audit_id=lambda: "x", date_line=lambda: b"")  # type: ignore[arg-type]
    protocol = HttpProtocol(state, loop)  # type: ignore[arg-type]
    protocol.connection_made(transport)  # type: ignore[arg-type]
    for piece in pieces:
        if transport.closed:
            break
        protocol.data_received(piece)
        loop.run()
    assert len(recorder.said) <= 2 * sum(map(len, pieces))
    said = [*recorder.said, transport.closed]
    protocol.connection_lost(None)
    loop.run()
    assert state.exchanges == 0
    assert not state.connections
    return said


def check(data: bytes) -> None:
    stream, pieces = cut(data)
    said = spoken([stream])
    assert said == spoken(pieces)
    _agree(said, stream)


def _agree(said: list[Any], stream: bytes) -> None:
    """With h11, about every request up to the first refusal."""
    while said[0:1] and isinstance(said[0], list):
        (method, target, minor, _, fields, body), *said = said
        while stream[:2] == b"\r\n":  # RFC 9112, 2.2; h11 knows no empty line there
            stream = stream[2:]
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(stream)
        request = connection.next_event()
        assert isinstance(request, h11.Request)
        assert (request.method.decode(), request.http_version) == (method, b"1.%d" % minor)
        assert request.target.endswith(target)
        assert len(request.headers) == len(fields)
        if said[0] != "end":
            return  # it does not end, or ends wrong
        try:
            theirs, ended = _body(connection)
        except h11.RemoteProtocolError as error:
            assert "ransfer" in str(error) or "ontent-Length" in str(error), "the trailers' names"
            return
        assert (ended, theirs) == (True, body)
        stream, said = bytes(connection.trailing_data[0]), said[1:]


def _body(connection: h11.Connection) -> tuple[bytes, bool]:
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    return body, isinstance(event, h11.EndOfMessage)
