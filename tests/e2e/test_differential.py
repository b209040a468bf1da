"""Does a backend receive what a direct request would have carried?

All of it, less the design's one list (4.6).

The same request goes to one pod through the bastion and to another directly; what arrived is compared byte
for byte. SOAK_ROUNDS says how many requests, drawn by a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from random import Random

from bastion.http.fields import Field
from bastion.message.lines import DECIDING
from bastion.proxy.envelope import SECRETS
from tests.e2e.harness import ALICE, DAVE, PORT, Bastion, Cluster, serving
from tests.e2e.wire import Client, Visit, backend, client
from tests.fuzz.surgery import nominated, passing

REQUESTS = int(os.environ.get("SOAK_ROUNDS", "2000"))
SIDE_BY_SIDE = 4

_PATHS = [
    b"/",
    b"//",
    b"/a",
    b"/a/",
    b"/%2F",
    b"/%2f..%5C",
    b"/../",
    b"/./x",
    b"/;p=1",
    b"/+",
    b"/%zz",
    b"/~!$&'()*,=:@",
    b'/{}|\\^`"<>',
    b"/proxy",
]
_QUERIES = [b"", b"", b"?", b"?a=b", b"?a=b&a=c", b"?x=%zz", b"?/../?", b"?+%20+", b'?{}|\\^`"<>']
_NAMES = b"""
    accept accept-encoding user-agent X-Request-ID x-custom X-Real-IP True-Client-IP Forwarded
    X-Forwarded-For X-Forwarded-Proto x-forwarded-user X-Remote-User X-Remote-Group X-Remote-Extra-Scopes
    X_Remote_User a_b x-auth-request-email X-WebAuth-User Remote-User SSL-Client-Verify X-SSL-Cert
    X-Client-Cert X-Original-URL X-Rewrite-URL X-HTTP-Method-Override Proxy Proxy-Authorization TE Trailer
    Keep-Alive Proxy-Connection Origin Referer Content-Type Range If-None-Match ETag traceparent
    Cf-Access-Jwt-Assertion X-Bastion-Rewrite !#$%&'*+-.^`|~ X-Named X-Hop DNT Cache-Control Date
    Max-Forwards Via Upgrade-Insecure-Requests HTTP2-Settings""".split()
_VALUES = [
    b"",
    b"x",
    b"a b\tc",
    b"*/*",
    b"1, 2,,3",
    b'"quoted, \\" text"',
    b"caf\xc3\xa9 \xff\xa0",
    b"%0d%0a",
    b"a=b; c",
    b"http://h/?x",
    b"y" * 900,
]
_COOKIES = [b"a=b", b"a=b; c=d", b"a=b;c=d ; e", b"x", b"=y", b'q="1; 2"']
_CONNECTION = [b"keep-alive", b"X-Hop", b"x-hop, X-Named", b"keep-alive,,TE", b"upgrade"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A request: `prefix` is what only the bastion's side has of the target."""

    method: bytes
    rest: bytes
    lines: list[bytes]
    framed: bytes
    keep_authorization: bool

    def to(self, prefix: bytes) -> bytes:
        return (
            b"\r\n".join((b"%b %b%b HTTP/1.1" % (self.method, prefix, self.rest), *self.lines, b"", b""))
            + self.framed
        )


def draw(chance: Random) -> Drawn:
    rest = b"".join(chance.choices(_PATHS, k=chance.randrange(1, 5))) + chance.choice(_QUERIES)
    lines = [
        chance.choice(_NAMES) + chance.choice((b":", b": ", b":\t ")) + chance.choice(_VALUES)
        for _ in range(chance.randrange(12))
    ]
    lines += [b"Cookie: " + chance.choice(_COOKIES) for _ in range(chance.choice((0, 0, 1, 2)))]
    lines += [b"Connection: " + chance.choice(_CONNECTION) for _ in range(chance.choice((0, 0, 1, 2)))]
    if chance.random() < 0.1:
        lines += [b"Connection: Upgrade", b"Upgrade: h2c"]  # not one that is tunnelled
    token = ALICE
    if chance.random() < 0.2:
        token = DAVE
        lines += [b"Impersonate-User: alice", b"impersonate-group: devs"]
    own = chance.random() < 0.3
    if own:
        lines += [
            b"X-Bastion-Authorization: Bearer " + token.encode(),
            *chance.choice(([], [b"authorization: Basic eDp5"])),
        ]
    else:
        lines.append(b"Authorization: Bearer " + token.encode())
    body = chance.choice((None, None, b"", b"x", b"body " * 40, chance.randbytes(chance.randrange(40_000))))
    framed = b""
    if body is not None:
        if chance.random() < 0.2:
            lines.append(b"Expect: 100-continue")
        if chance.random() < 0.5:
            lines.append(b"Content-Length: %d" % len(body))
            framed = body
        else:
            lines.append(b"Transfer-Encoding: " + chance.choice((b"chunked", b"Chunked")))
            framed = _chunked(chance, body)
    chance.shuffle(lines)
    lines.insert(
        chance.randrange(len(lines) + 1), b"Host: " + chance.choice((b"bastion.test", b"h:1", b"[::1]:80"))
    )
    method = chance.choice((b"GET", b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD"))
    return Drawn(method, rest, lines, framed, own)


def _chunked(chance: Random, body: bytes) -> bytes:
    pieces = []
    while body:
        size = chance.choice((1, 2, 100, 5000, 1 << 20))
        piece, body = body[:size], body[size:]
        pieces.append(
            b"%0*X%b\r\n%b\r\n" % (chance.choice((0, 8)), len(piece), chance.choice((b"", b";a=b")), piece)
        )
    return (
        b"".join(pieces)
        + b"0\r\n"
        + chance.choice((b"", b"X-Sum: 1\r\nAuthorization: Bearer trailing\r\n"))
        + b"\r\n"
    )


@dataclass(frozen=True, slots=True)
class Received:
    line: bytes
    fields: list[Field]
    body: bytes


class Recorder:
    """A backend that keeps what it gets, by the request's nonce."""

    def __init__(self) -> None:
        self.received: dict[bytes, Received] = {}

    async def serve(self, visit: Visit) -> None:
        while True:
            head = await visit.head()
            chunked = bool(head.all("Transfer-Encoding"))
            body = b"".join([chunk async for chunk in visit.chunks()]) if chunked else await visit.body(head)
            line, *lines = head.head[:-4].split(b"\r\n")
            fields = [
                (name.lower(), name, value.strip(b" \t"))
                for name, _, value in (line.partition(b":") for line in lines)
            ]
            [nonce] = [value for lower, _, value in fields if lower == b"x-nonce"]
            self.received[nonce] = Received(line, fields, body)
            await visit.answer()


@contextlib.asynccontextmanager
async def recorder(address: str) -> AsyncIterator[Recorder]:
    kept = Recorder()
    async with backend(address, kept.serve):
        yield kept


async def _ask(wire: Client, data: bytes, drawn: Drawn) -> None:
    await wire.send(data)
    while (answer := await wire.answer(drawn.method.decode())).status == 100:
        pass
    assert answer.status == 200, (answer, drawn)


def test_what_a_backend_receives_is_what_a_direct_request_would_have_carried(
    bastion: Bastion, cluster: Cluster
) -> None:
    _compare_many(bastion, cluster, REQUESTS // 2)


def test_as_much_where_nothing_is_remembered(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--remember-requests=false") as forgetful:
        _compare_many(forgetful, cluster, REQUESTS // 8)


def _compare_many(bastion: Bastion, cluster: Cluster, requests: int) -> None:
    behind, direct = cluster.pod(), cluster.pod()
    prefix = behind.path("").encode()

    async def conversation(number: int, through: Recorder, straight: Recorder) -> None:
        chance = Random(f"differential {number}")
        reader, writer = await asyncio.open_connection(direct.address, PORT)
        async with client(bastion, plain=True) as wire:
            for request in range(number, requests, SIDE_BY_SIDE):
                drawn = draw(chance)
                for again in range(2):  # the second time it may be remembered
                    nonce = b"%d-%d" % (request, again)
                    one = replace(drawn, lines=[*drawn.lines, b"X-Nonce: " + nonce])
                    await _ask(wire, one.to(prefix), one)
                    await _ask(Client(reader, writer), one.to(b""), one)
                    _compare(through.received.pop(nonce), straight.received.pop(nonce), one, prefix)
        writer.transport.abort()

    async def talk() -> None:
        async with recorder(behind.address) as through, recorder(direct.address) as straight:
            await asyncio.gather(*(conversation(number, through, straight) for number in range(SIDE_BY_SIDE)))

    asyncio.run(talk())


def _compare(ours: Received, theirs: Received, drawn: Drawn, prefix: bytes) -> None:
    assert ours.line == theirs.line, "method, target and version, byte for byte"
    assert ours.body == theirs.body
    expected = passing(theirs.fields, nominated(theirs.fields), keep_authorization=drawn.keep_authorization)
    host = next(value for lower, _, value in theirs.fields if lower == b"host")
    truth = [
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Host: " + host,
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Prefix: " + prefix,
        b"X-Forwarded-Uri: " + prefix + drawn.rest.partition(b"?")[0],
    ]
    framing = [
        b"%b: %b" % (name, value.lower())
        for lower, name, value in theirs.fields
        if lower in (b"content-length", b"transfer-encoding")
    ]
    if drawn.method not in (b"POST", b"PUT", b"PATCH") and framing not in ([], [b"Content-Length: 0"]):
        framing.insert(0, b"Connection: close")
    own, rest = ours.fields[: len(expected)], ours.fields[len(expected) :]
    assert [b"%b: %b" % (name, value) for _, name, value in rest] == [*truth, *framing]
    for kind in (_Kind.DECIDES, _Kind.SECRET, _Kind.PASSES):
        assert [f for f in own if _kind(f) is kind] == [f for f in expected if _kind(f) is kind]


class _Kind(Enum):
    """Of fields: order is kept within each."""

    DECIDES = "a rule reads it"
    SECRET = "a rule reads it, and it is a secret"
    PASSES = "no rule reads it"


def _kind(field: Field) -> _Kind:
    if field[0] in SECRETS:
        return _Kind.SECRET
    return _Kind.DECIDES if field[0] in DECIDING else _Kind.PASSES
