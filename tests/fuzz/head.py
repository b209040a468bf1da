"""The head reader: what it accepts, h11 reads the same; and it decides the same however the bytes come.

Where h11 may differ, and why:
- an absolute target for the request's own host is made a path (RFC 9112, 3.2.2); h11 leaves it;
- h11 writes the value of Transfer-Encoding in lower case, and all names;
- HTTP/1.0 is kept alive on request; h11 knows no keep-alive there.
"""

from __future__ import annotations

from typing import Any

import h11

from bastion.kube.status import StatusError
from bastion.server.http1.head import Head, read_head
from tests.fuzz.connection import spoken
from tests.fuzz.pieces import cut

CODES = (400, 417, 431, 501, 505)

_H = b"\x05"
SEEDS = [
    _H + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    _H + b"GET /a/b?c=d HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    _H + b"POST /x HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    _H + b"PUT /x HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: Chunked\r\nTE: trailers\r\n\r\n",
    _H + b"GET http://h/a?b HTTP/1.1\r\nHost: H\r\nX-A:  b\xc3\xa9 c \r\nAudit-ID: 1-2\r\n\r\n",
    _H + b"GET / HTTP/1.0\r\nConnection: keep-alive, X\r\nConnection:\tclose\r\n\r\n",
    _H
    + b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: a=b; c=d\r\n\r\n",
    _H + b"\r\nDELETE / HTTP/1.1\r\nHost: a,b\r\nX:\r\nContent-Length: 0\r\n\r\n",
]
WORDS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\r\n ",
    b"\r\n\t",
    b" :",
    b": ",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"http://h",
    b"https://h/",
    b"Host: h\r\n",
    b"\r\nHost: other",
    b"\r\nContent-Length: 3",
    b"\r\nContent-Length: +3",
    b"\r\nContent-Length: 3, 3",
    b"\r\nContent-Length: 0x3",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nTransfer-Encoding: chunked, chunked",
    b"\r\nTransfer-Encoding: identity",
    b"\r\nTransfer-Encoding:\x0bchunked",
    b"\r\nTransfer_Encoding: chunked",
    b"\r\nConnection: keep-alive",
    b"\r\nConnection: close",
    b"\r\nExpect: 100-continue",
    b"\r\nExpect: 200-ok",
    b"\r\nUpgrade: h2c",
    b"\r\nX: " + b"y" * 300,
    b"\r\nA: b" * 101,
    b"/../",
    b"%2f",
    b"?",
    b"#",
    b"*",
    b"\xc2\xb2",
]


def check(data: bytes) -> None:
    stream, pieces = cut(data)
    assert spoken([stream]) == spoken(pieces)
    text, end, _ = stream.partition(b"\r\n\r\n")
    if not end:
        return
    try:
        head = read_head(text)
    except StatusError as error:
        assert error.code in CODES
        assert error.close
        return
    _agree(head, text)


def _agree(head: Head, text: bytes) -> None:
    """With h11 on method, target, headers and framing."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(text + b"\r\n\r\n")
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert request.method.decode() == head.method
    assert request.http_version == b"1.%d" % head.minor
    if request.target != head.target:
        assert request.target.lower().endswith(b"://" + head.host.lower() + head.target.lower())
        assert request.target.endswith(head.target)
    assert [name for name, _ in request.headers.raw_items()] == [name for _, name, _ in head.fields]
    lowered = [
        (lower, value.lower() if lower == b"transfer-encoding" else value) for lower, _, value in head.fields
    ]
    assert list(request.headers) == lowered
    hosts = [value for lower, value in lowered if lower == b"host"]
    assert hosts == [head.host] if head.host else not hosts
    following = connection.next_event()
    if head.chunked:
        assert head.length is None
        connection.receive_data(b"1\r\nx\r\n0\r\n\r\n")
        assert connection.next_event() == h11.Data(data=bytearray(b"x"), chunk_start=True, chunk_end=True)  # type: ignore[arg-type]
        following = connection.next_event()
    elif head.length:
        connection.receive_data(b"y")
        data = connection.next_event()
        assert isinstance(data, h11.Data)
        assert bytes(data.data) == b"y"
        reader: Any = connection._reader  # how much of the body is still to come it tells nobody
        assert reader._remaining == head.length - 1
        return
    assert isinstance(following, h11.EndOfMessage)
    assert head.expects_continue == (head.minor == 1 and any(lower == b"expect" for lower, _ in lowered))
    # where a switch of protocols may follow, h11 waits for the answer
    if head.minor == 1 and not head.upgrade:
        assert head.keep_alive == (connection.their_state is not h11.MUST_CLOSE)
