"""A bastion over HTTP/2, as its clients see it: what arrives is what arrives over HTTP/1.1."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.e2e.harness import ALICE, BOB, NETWORK, PORT, Bastion, Cluster, Place, serving
from tests.e2e.test_differential import Recorder, draw, recorder
from tests.e2e.wire import Client as Wire
from tests.e2e.wire import client as http1
from tests.fuzz.surgery import nominated
from tests.http2 import frames as f
from tests.http2.backend import Connection, Http2Backend
from tests.http2.client import Client, client
from tests.standalone.objects import pod as make_pod

REQUESTS = int(os.environ.get("SOAK_ROUNDS", "200"))
OVER1 = Place("over-http1", f"{NETWORK}.248")
OVER2 = Place("over-http2", f"{NETWORK}.249")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    plain = make_pod(OVER1.name, ip=OVER1.address, ports=[("http", PORT)])
    h2c = make_pod(OVER2.name, ip=OVER2.address, ports=[("http", PORT)])
    h2c["metadata"]["annotations"] = {"bastion.dev/backend-protocol": "h2c"}
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), plain, h2c)
    with serving(cluster, tmp_path_factory.mktemp("bastion")) as bastion:
        yield bastion


def request(path: str, method: str = "GET", *fields: tuple[str, str], token: str = ALICE) -> f.Pairs:
    return [
        (":method", method),
        (":scheme", "https"),
        (":authority", "bastion.test"),
        (":path", path),
        *([("authorization", f"Bearer {token}")] if token else []),
        *fields,
    ]


# --- the same requests, over either version, to either kind of backend

# What differs by nature: how a message is framed, what is for one connection alone, and that HTTP/1.1 has one
# Cookie.  A name's case is not kept.
DIFFERENT = frozenset(
    b"connection keep-alive proxy-connection transfer-encoding upgrade http2-settings te host trailer".split()
)


@dataclass(frozen=True, slots=True)
class Arrived:
    method: bytes
    target: bytes
    host: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


class Http2Recorder:
    """A backend over HTTP/2 that keeps what it gets, by the request's nonce."""

    def __init__(self) -> None:
        self.received: dict[bytes, Arrived] = {}
        self._tasks: set[asyncio.Future[None]] = set()

    def script(self, connection: Connection, stream: int) -> None:
        self._tasks.add(asyncio.ensure_future(self._serve(connection, stream)))

    async def _serve(self, connection: Connection, stream: int) -> None:
        answer = connection.reader.answer(stream)
        while not answer.end:
            await asyncio.sleep(0.001)
        head = answer.raw[0]
        pseudo = {name: value for name, value in head if name[:1] == b":"}
        fields = [(name, value) for name, value in head if name[:1] != b":"]
        [nonce] = [value for name, value in fields if name == b"x-nonce"]
        self.received[nonce] = Arrived(
            pseudo[b":method"], pseudo[b":path"], pseudo[b":authority"], _kept(fields), answer.body
        )
        connection.say(f.window(0, max(len(answer.body), 1)))
        connection.answer(stream, b"" if pseudo[b":method"] == b"HEAD" else b"ok")


def _kept(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [one for one in fields if one[0] not in DIFFERENT and one != (b"content-length", b"0")]
    return sorted(kept, key=lambda one: one[0])


def _over_http1(recorded: Recorder, nonce: bytes) -> Arrived:
    got = recorded.received.pop(nonce)
    method, target, _ = got.line.split(b" ")
    host = next(value for lower, _, value in got.fields if lower == b"host")
    return Arrived(method, target, host, _kept([(low, value) for low, _, value in got.fields]), got.body)


def test_the_same_arrives_whatever_versions_are_between(served: Bastion) -> None:
    async def main() -> None:
        over2 = Http2Recorder()
        backend = Http2Backend(over2.script)
        async with (
            recorder(OVER1.address) as over1,
            backend.serving(OVER2.address, PORT),
            http1(served) as old,
            client(served.port) as new,
        ):
            chance = Random("differential over HTTP/2")
            for number in range(REQUESTS):
                await _same(number, chance, over1, over2, old, new)

    asyncio.run(main())


async def _same(
    number: int, chance: Random, over1: Recorder, over2: Http2Recorder, old: Wire, new: Client
) -> None:
    drawn = draw(chance)
    split = [line.partition(b":") for line in drawn.lines]
    fields = [(name, value.strip(b" \t")) for name, _, value in split]
    named = nominated([(name.lower(), name, value) for name, value in fields])
    fields = [
        (name, value)
        for name, value in fields
        if name.lower() not in DIFFERENT | named | {b"content-length", b"expect", b"cookie"}
    ]
    host = next(value for name, value in ((n, v.strip()) for n, _, v in split) if name == b"Host")
    body = (
        None if drawn.method in (b"GET", b"HEAD") else chance.choice((None, b"", b"x" * 300, bytes(40_000)))
    )
    length = body is not None and chance.random() < 0.5
    seen = {}
    for place, record in ((OVER1, over1), (OVER2, over2)):
        target = place.path("").encode() + drawn.rest
        for version in (1, 2):
            nonce = b"%d-%d" % (number, version)
            all_of = [*fields, (b"X-Nonce", nonce)]
            if length:
                all_of.append((b"Content-Length", b"%d" % len(body or b"")))
            if version == 1:
                await _ask_http1(old, drawn.method, target, host, all_of, body)
            else:
                pairs = [
                    (":method", drawn.method.decode()),
                    (":scheme", "https"),
                    (":authority", host.decode()),
                    (":path", target.decode("latin-1")),
                    *((name.lower().decode(), value.decode("latin-1")) for name, value in all_of),
                ]
                answer = await new.ask(pairs, body)
                assert answer.status == 200, (answer, drawn)
            arrived = (
                _over_http1(record, nonce) if isinstance(record, Recorder) else record.received.pop(nonce)
            )
            seen[(place, version)] = arrived
    first = seen[(OVER1, 1)]
    for arrived in seen.values():
        assert _without_places(arrived) == _without_places(first), (drawn, fields)


def _without_places(arrived: Arrived) -> Arrived:
    """The two pods have prefixes of their own, and each request its nonce."""
    fields = [
        (name, value.replace(OVER2.name.encode(), OVER1.name.encode()))
        for name, value in arrived.fields
        if name != b"x-nonce"
    ]
    return Arrived(arrived.method, arrived.target, arrived.host, fields, arrived.body)


async def _ask_http1(
    wire: Wire,
    method: bytes,
    target: bytes,
    host: bytes,
    fields: list[tuple[bytes, bytes]],
    body: bytes | None,
) -> None:
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, *(b"%b: %b" % one for one in fields)]
    framed = body or b""
    if body is not None and not any(name == b"Content-Length" for name, _ in fields):
        lines.append(b"Transfer-Encoding: chunked")
        framed = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    await wire.send(b"\r\n".join((*lines, b"", b"")) + framed)
    answer = await wire.answer(method.decode())
    assert answer.status == 200, (answer, lines)


# --- what holds for a request holds for a stream


def test_users_on_one_connection_are_kept_apart(served: Bastion) -> None:
    async def main() -> None:
        async with recorder(OVER1.address), client(served.port) as one:
            nonce = ("x-nonce", "users")
            answers = await asyncio.gather(
                one.ask(request(OVER1.path("/"), "GET", nonce)),
                one.ask(request(OVER1.path("/"), "GET", nonce, token=BOB)),
                one.ask(request(OVER1.path("/"), "GET", nonce, token="")),
                one.ask(request(OVER1.path("/"), "GET", nonce)),
            )
            assert [answer.status for answer in answers] == [200, 403, 401, 200]

    asyncio.run(main())


def test_scheme_http_is_a_proxys_whatever_it_names(served: Bastion) -> None:
    async def main() -> None:
        async with client(served.port) as one:
            for path in ("/.bastion/livez", OVER1.path("/")):
                asked = [(name, "http" if name == ":scheme" else value) for name, value in request(path)]
                assert (await one.ask(asked)).status == 403
                shown = ("proxy-authorization", f"Bearer {ALICE}")
                assert (await one.ask([*asked, shown])).status == 400

    asyncio.run(main())


def test_the_log_and_the_metrics_say_so(served: Bastion) -> None:
    async def main() -> str:
        async with recorder(OVER1.address), client(served.port) as one:
            answer = await one.ask(request(OVER1.path("/"), "GET", ("x-nonce", "log")))
            text = (await one.ask(request("/.bastion/metrics"))).body.decode()
            assert "bastion_client_http2_connections 1" in text
            return answer.heads[0]["audit-id"]

    assert served.line(asyncio.run(main()))["protocol"] == "HTTP/2"


def test_limits_of_a_user_count_streams(tmp_path: Path, cluster: Cluster) -> None:
    async def main() -> None:
        place = cluster.pod()
        with serving(cluster, tmp_path, "--max-exchanges-per-user", 5) as small:
            async with _silent(place.address), client(small.port) as one:
                streams = [one.stream() for _ in range(8)]
                for stream in streams:
                    await one.say(f.headers(stream, request(place.path("/"))))
                await one.until(
                    lambda: sum(one.reader.answer(stream).status == 429 for stream in streams) == 3
                )

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _silent(address: str) -> AsyncIterator[None]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, address, PORT)
    try:
        yield
    finally:
        server.close()


def test_it_can_be_switched_off(tmp_path: Path, cluster: Cluster) -> None:
    async def main(port: int) -> None:
        async with client(port):
            raise AssertionError("HTTP/2 was agreed on")

    with serving(cluster, tmp_path, "--http2=false") as old, pytest.raises(AssertionError) as raised:
        asyncio.run(main(old.port))
    assert "was agreed on" not in str(raised.value)


# --- a WebSocket (RFC 8441)


def test_a_websocket_over_a_stream(served: Bastion) -> None:
    async def main() -> None:
        async with _websockets(OVER1.address) as heads, client(served.port) as one:
            stream = one.stream()
            asked = [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                *[pair for pair in request(OVER1.path("/ws")) if pair[0] != ":method"],
                ("sec-websocket-version", "13"),
                ("sec-websocket-protocol", "chat"),
            ]
            await one.say(f.headers(stream, asked, end=False))
            answer = one.reader.answer(stream)
            await one.until(lambda: answer.status)
            assert answer.status == 200
            assert answer.heads[0]["sec-websocket-protocol"] == "chat"
            assert "sec-websocket-accept" not in answer.heads[0]
            await one.say(f.data(stream, b"\x81\x02hi"))
            await one.until(lambda: answer.body)
            assert answer.body == b"\x81\x02hi"
            other = await one.ask(request("/.bastion/livez"))
            assert other.status == 200
            await one.say(f.data(stream, b"", end=True))
            await one.until(lambda: answer.end)
            assert answer.end == "whole"
            assert b"upgrade: websocket" in heads[0].lower()

    asyncio.run(main())


def test_a_refused_websocket_gets_nothing_of_what_came_early(served: Bastion) -> None:
    async def main() -> None:
        async with _websockets(OVER1.address, refuse=True) as heads, client(served.port) as one:
            stream = one.stream()
            asked = [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                *[pair for pair in request(OVER1.path("/ws")) if pair[0] != ":method"],
            ]
            smuggled = f.data(stream, b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
            await one.say(f.headers(stream, asked, end=False), smuggled)
            answer = one.reader.answer(stream)
            await one.until(lambda: answer.end)
            assert answer.status == 403
            assert len(heads) == 1
            assert (await one.ask(request("/.bastion/livez"))).status == 200

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _websockets(address: str, *, refuse: bool = False) -> AsyncIterator[list[bytes]]:
    """Bytes there and back behind a handshake."""
    heads: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            if refuse:
                writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
                heads.extend([more] if (more := await reader.read()) else [])
                return
            key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
            guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            proof = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + guid).digest())
            writer.write(
                b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: %b\r\n\r\n" % proof
            )
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(accept, address, PORT)
    try:
        yield heads
    finally:
        server.close()


# --- other people's clients


@pytest.mark.skipif(shutil.which("nghttp") is None, reason="nghttp2-client is not installed")
def test_nghttp_and_h2load(served: Bastion) -> None:
    async def main() -> None:
        async with recorder(OVER1.address):
            url = f"https://127.0.0.1:{served.port}{OVER1.path('/')}"
            header = f"authorization: Bearer {ALICE}"
            nonce = "x-nonce: nghttp"
            once = await _run("nghttp", "-nv", "--no-verify-peer", "-H", header, "-H", nonce, url)
            assert ":status: 200" in once, once
            many = await _run("h2load", "-n200", "-c2", "-m10", "-H", header, "-H", nonce, url)
            assert "200 succeeded, 0 failed, 0 errored" in many, many

    asyncio.run(main())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(served: Bastion) -> None:
    async def main() -> None:
        async with recorder(OVER1.address):
            said = await _run(
                *("curl", "-sk", "--http2", "-w", " %{http_version} %{http_code}", "-d", "hello"),
                *("-H", f"authorization: Bearer {ALICE}", "-H", "x-nonce: curl"),
                f"https://127.0.0.1:{served.port}{OVER1.path('/')}",
            )
            assert said == " 2 200", said

    asyncio.run(main())


async def _run(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    return done.stdout
