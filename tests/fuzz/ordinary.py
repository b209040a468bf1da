"""The reader of ordinary responses: what it takes, llhttp takes for the same, and the connection is used
again.

A reader that has read other responses before, because what it remembers of one is not to change another.
"""

from __future__ import annotations

from bastion.message.headers import to_client
from bastion.network.http1.ordinary import OrdinaryReader
from tests.fuzz import answer
from tests.fuzz.answer import Heard

_OK = b"HTTP/1.1 200 OK\r\n"
SEEDS = [
    _OK + b"Content-Length: 5\r\n\r\nhello",
    _OK + b"Server: nginx\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
    _OK + b'Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: keep-alive\r\nETag: "x"\r\n\r\nab',
    b"HTTP/1.1 404 Not Found\r\nX-A:  b \r\nCache-Control: private\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/1.1 500 \r\nContent-Length: 1\r\nAudit-Id: x\r\n\r\na",
    *(seed[2:] for seed in answer.SEEDS),
]
WORDS = [
    *answer.WORDS,
    *(
        b"Proxy-Connection: close\r\n",
        b"Keep-Alive: timeout=1\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
    ),
    *(
        b"connection: Keep-Alive\r\n",
        b"Connection: keep-alive, close\r\n",
        b"HTTP/1.1 200\r\n",
        b" 205 ",
        b" 600 ",
    ),
    *(b"Trailer: x\r\n", b"WWW-Authenticate: NTLM\r\n", b"Set-Cookie: a=b\r\n", b"X-A: b\r\n", b": ", b":"),
]
_READER = OrdinaryReader()


def check(data: bytes) -> None:
    read = _READER.read(data, "backend")
    if read is None:
        return
    heard = Heard(0, [data])
    theirs = heard.answer
    assert theirs is not None
    assert heard.whole
    assert heard.reusable
    beginning = read.beginning
    assert (theirs.status, theirs.reason, theirs.length, heard.body) == (
        beginning.status,
        beginning.reason,
        beginning.length,
        read.body,
    )
    assert not theirs.bodiless
    shown = [b"%b: %b\r\n" % (name, value) for _, name, value in to_client(theirs.fields)]
    front = [b"%b: %b\r\n" % (name, value) for _, name, value in to_client(list(beginning.fields))]
    assert sorted(shown) == sorted([*read.passed, *front])
    assert [line for line in shown if line not in front] == [
        line for line in read.passed if line not in front
    ]
