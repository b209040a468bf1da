"""An upgrade on its way: what the backend is asked, what the client is told, and what ends the stream that
comes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from bastion.balance.outlier import FAILURES
from bastion.balance.pool import Balancer
from bastion.http.fields import Field
from bastion.kube.endpoint import Endpoint
from bastion.message.answers import Policy
from bastion.message.headers import Forwarded
from bastion.message.upgrade import UpgradeRequest
from bastion.network.connections import ConnectionPool
from bastion.network.relay import Stream
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.envelope import Envelope
from bastion.proxy.router import Route
from bastion.proxy.sending import Ways
from bastion.proxy.streams import Streams
from bastion.proxy.tunnel import Tunneller, upgrade_head
from bastion.proxy.turns import Turns
from bastion.runtime.deadlines import Deadlines
from bastion.settings.sections import StreamLimits
from tests.fakes import LOOPBACK, Backend, refused, run, settle, until, wire
from tests.proxy.exchanges import Exchange, fields_of
from tests.proxy.routes import Standing, admitted, route_to
from tests.tunnel.raw import Before, End, connection

KEY, PROOF = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
WEBSOCKET, SPDY = UpgradeRequest(b"websocket", KEY), UpgradeRequest(b"SPDY/3.1")
YES = (
    b"HTTP/1.1 101 Go on\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
    + PROOF
    + b"\r\nX-Own: kept\r\n\r\n"
)
YES_TO_SPDY = b"HTTP/1.1 101 Go on\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
UNLIMITED = StreamLimits(idle_timeout=0, max_duration=0)
POLICY_VIOLATION, GOING_AWAY = b"\x88\x02\x03\xf0", b"\x88\x02\x03\xe9"
ENVELOPE = Envelope(Forwarded(b"192.0.2.1", b"bastion.test", b"https", b"/prefix", b"/prefix/x"), False)


@dataclass
class Upgrading(Exchange):
    """Its connection is one on loopback; `hijacking` is raised where the client has left."""

    stream: Stream | None = None
    hijacking: BaseException | None = None
    reason: bytes = b""
    body_sent: bytearray = field(default_factory=bytearray)
    writable: bool = True

    def write(self, data: bytes) -> None:
        self.body_sent += data

    def finish(self, data: bytes = b"", trailers: Sequence[Field] = ()) -> None:
        super().finish(data, trailers)
        self.body_sent += data

    async def drain(self) -> None:
        raise AssertionError("it is always writable")

    def hijack(self, reason: bytes, fields: list[Field], status: int = 101) -> Stream:
        if self.hijacking is not None:
            raise self.hijacking
        assert self.stream is not None
        self.start(101, reason, fields, None)
        self.reason = reason
        return self.stream


class Watches:
    """What is told to end a stream; `over` counts the watches that were ended."""

    def __init__(self) -> None:
        self.ends: list[Callable[[str], None]] = []
        self.over = 0

    def __call__(self, admitted: Admitted, end: Callable[[str], None], ago: float) -> Callable[[], None]:
        self.ends.append(end)
        return self._ended

    def _ended(self) -> None:
        self.over += 1


class House:
    """A tunneller, what is under way, and a backend that takes upgrades."""

    def __init__(
        self,
        tunneller: Tunneller,
        streams: Streams,
        watches: Watches,
        pool: ConnectionPool,
        backend: Backend,
        balancer: Balancer,
    ) -> None:
        self.tunneller, self.streams, self.watches = tunneller, streams, watches
        self.pool, self.backend, self.balancer = pool, backend, balancer
        self.record = Record("GET", b"/", "192.0.2.1", "audit-id")

    def route(self, *before: Endpoint) -> Route:
        return route_to(*before, self.backend.endpoint(), target=b"/chat?x=%20")

    async def serve(
        self, exchange: Any, asked: UpgradeRequest = WEBSOCKET, route: Route | None = None
    ) -> None:
        route = route or self.route()
        under_way = self.streams.begin(exchange, route, admitted(), self.record)
        try:
            await self.tunneller.serve(exchange, route, asked, ENVELOPE, self.record, under_way)
        finally:
            self.streams.over(under_way)

    @contextlib.asynccontextmanager
    async def open(
        self, asked: UpgradeRequest = WEBSOCKET
    ) -> AsyncIterator[tuple[Upgrading, End, asyncio.Task[None]]]:
        """(the exchange, its client, the task that serves it) of an upgrade that was accepted."""
        count = self.streams.statistics().long
        async with upgrading() as (exchange, client):
            serving = asyncio.create_task(self.serve(exchange, asked))
            await until(lambda: self.streams.statistics().long == count + 1 or serving.done())
            yield exchange, client, serving
            client.close()
            await serving


@contextlib.asynccontextmanager
async def upgrading() -> AsyncIterator[tuple[Upgrading, End]]:
    with connection(small=False) as (far, near):
        _, before = await asyncio.get_running_loop().create_connection(Before, sock=near)
        yield Upgrading(stream=Stream(before.transport, b"", lambda: None)), End(far)
        before.transport.abort()
        await settle()


@contextlib.asynccontextmanager
async def house(
    answer: bytes = YES, limits: StreamLimits = UNLIMITED, then: str = ""
) -> AsyncIterator[House]:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await backend.read_request(reader)
        writer.write(answer)
        if then == "close":
            writer.close()
            return
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    backend = Backend(script)
    async with backend, wire() as (transport, pool), Deadlines() as deadlines:
        watches, balancer = Watches(), Balancer()
        tunneller = Tunneller(
            ways=Ways(transport, Standing(), balancer, asyncio.get_running_loop().time),
            deadlines=deadlines,
            idle=limits.idle_timeout,
            policy=Policy(),
            turns=Turns(),
        )
        yield House(tunneller, Streams(deadlines, limits, watches), watches, pool, backend, balancer)


def test_what_the_backend_is_asked() -> None:
    exchange = Exchange(
        fields=fields_of(
            "Host: bastion.test",
            "Connection: keep-alive, Upgrade, X-Hop",
            "Upgrade: WebSocket",
            "X-Hop: of this hop",
            "Authorization: Bearer secret",
            "X-Remote-User: root",
            "Sec-WebSocket-Key: " + KEY.decode(),
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0, chat, more",
            "Origin: https://elsewhere.test",
        )
    )
    head = upgrade_head(exchange, b"/a%2Fb?x=%20", UpgradeRequest(b"WebSocket", KEY), ENVELOPE)
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert first == b"GET /a%2Fb?x=%20 HTTP/1.1"
    assert lines == [
        b"Host: bastion.test",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        b"Origin: https://elsewhere.test",
        b"Sec-WebSocket-Protocol: chat,more",  # behind those that carry no secret
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-Host: bastion.test",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Prefix: /prefix",
        b"X-Forwarded-Uri: /prefix/x",
        b"Connection: Upgrade",
        b"Upgrade: WebSocket",
    ]


def test_an_upgrade_that_is_accepted_becomes_a_stream() -> None:
    async def main() -> None:
        async with house() as h, h.open(UpgradeRequest(b"WebSocket", KEY)) as (exchange, client, serving):
            assert exchange.reason == b"Go on"
            answered = {name: value for name, _, value in exchange.answered}
            # as the client wrote it
            assert (answered[b"connection"], answered[b"upgrade"]) == (b"Upgrade", b"WebSocket")
            assert (answered[b"sec-websocket-accept"], answered[b"x-own"]) == (PROOF, b"kept")
            await client.send(b"hello")
            assert await client.read(5) == b"hello"
            assert (
                h.streams.statistics().long,
                h.pool.statistics().open,
                len(h.watches.ends),
                h.watches.over,
            ) == (1, 1, 1, 0)
            client.end()
            await serving
            assert (h.streams.statistics().long, h.watches.over) == (0, 1)
            assert (h.record.outcome, h.record.stream_in, h.record.stream_out) == ("", 5, 5)
            assert h.record.endpoint == str(h.backend.endpoint())
            await until(lambda: not h.pool.statistics().open)
            assert h.pool.statistics().idle == 0

    run(main())


REFUSALS = [
    b"HTTP/1.1 403 No\r\nContent-Length: 7\r\nX-Why: own\r\n\r\nbecause",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Why: own\r\n\r\n7\r\nbecause\r\n0\r\n\r\n",
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 426 Other\r\nUpgrade: h2c\r\nContent-Length: 7\r\nX-Why:"
        b" own\r\n\r\nbecause"
    ),
]


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda answer: answer[9:12].decode())
def test_a_refusal_is_passed_on_whole_and_its_connection_never_used_again(answer: bytes) -> None:
    async def main() -> None:
        async with house(answer) as h:
            exchange = Upgrading()
            await h.serve(exchange)
            assert (exchange.finished, bytes(exchange.body_sent), exchange.aborted) == (
                True,
                b"because",
                False,
            )
            assert {name: value for name, _, value in exchange.answered}[b"x-why"] == b"own"
            assert not {b"upgrade", b"connection"} & {name for name, _, _ in exchange.answered}
            await until(lambda: not h.pool.statistics().open)
            assert (h.pool.statistics().idle, h.streams.statistics().long, h.watches.ends) == (0, 0, [])

    run(main())


def test_a_refusal_that_breaks_off_is_visibly_broken() -> None:
    async def main() -> None:
        async with house(b"HTTP/1.1 403 No\r\nContent-Length: 700\r\n\r\nbecause") as h:
            exchange = Upgrading()
            serving = asyncio.create_task(h.serve(exchange))
            await until(lambda: exchange.body_sent)
            h.pool.close()
            await serving
            assert exchange.aborted
            assert h.record.error
            assert h.pool.statistics().open == 0

    run(main())


BAD = [
    pytest.param(
        b"HTTP/1.1 101 Go on\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", WEBSOCKET, id="no proof"
    ),
    pytest.param(YES.replace(b"s3p", b"S3P"), WEBSOCKET, id="a wrong proof"),
    pytest.param(YES_TO_SPDY, WEBSOCKET, id="another protocol"),
    pytest.param(YES, SPDY, id="another protocol the other way round"),
    pytest.param(b"HTTP/1.1 101 Go on\r\n\r\n", WEBSOCKET, id="no protocol"),
    pytest.param(b"HTTP/1.1 101 Go on\r\nUpgrade: SPDY/3.1\r\n\r\n", SPDY, id="no Connection"),
    pytest.param(b"rubbish", SPDY, id="no HTTP"),
]


@pytest.mark.parametrize(("answer", "asked"), BAD)
def test_a_switch_that_was_not_asked_for_is_none(answer: bytes, asked: UpgradeRequest) -> None:
    async def main() -> None:
        async with house(answer) as h:
            exchange = Upgrading()
            with refused(503):
                await h.serve(exchange, asked)
            assert exchange.status == 0
            await until(lambda: not h.pool.statistics().open)
            assert h.streams.statistics().long == 0

    run(main())


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), RuntimeError()], ids=["the client left", "a fault of our own"]
)
def test_where_the_client_cannot_be_told_the_backend_is_let_go(error: BaseException) -> None:
    async def main() -> None:
        async with house() as h:
            with pytest.raises(type(error)):
                await h.serve(Upgrading(hijacking=error))
            await until(lambda: not h.pool.statistics().open)
            assert h.streams.statistics().long == 0

    run(main())


def test_a_client_that_leaves_before_the_answer_takes_the_backends_connection_along() -> None:
    async def main() -> None:
        async with house(b"") as h:
            serving = asyncio.create_task(h.serve(Upgrading()))
            await until(lambda: h.backend.heads)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            await until(lambda: not h.pool.statistics().open)

    run(main())


DEAD, DEAD_TOO, AND_DEAD = (Endpoint(LOOPBACK, port) for port in (1, 2, 3))


def test_an_endpoint_that_takes_no_connection_is_passed_over() -> None:
    async def main() -> None:
        async with house() as h, upgrading() as (exchange, client):
            serving = asyncio.create_task(h.serve(exchange, route=h.route(DEAD, DEAD_TOO)))
            await until(lambda: h.streams.statistics().long or serving.done())
            await client.send(b"there")
            assert await client.read(5) == b"there"
            assert h.record.endpoint == str(h.backend.endpoint())
            client.close()
            await serving

    run(main())


def test_when_none_takes_a_connection_the_client_is_told() -> None:
    async def main() -> None:
        async with house() as h:
            with refused(503):
                await h.serve(Upgrading(), route=route_to(DEAD, DEAD_TOO, AND_DEAD))
            assert h.backend.connections == 0

    run(main())


# --- what ends a stream

End_ = Callable[[House], Awaitable[None]]


async def access_is_gone(h: House) -> None:
    h.watches.ends[0]("access revoked")


async def the_pod_is_gone(h: House) -> None:
    h.streams.address_gone("192.0.2.99")
    assert h.streams.statistics().long == 1
    h.streams.address_gone(LOOPBACK)


async def all_shall_end(h: House) -> None:
    h.streams.end_all()


@pytest.mark.parametrize(
    ("ending", "told", "outcome"),
    [
        (access_is_gone, POLICY_VIOLATION, "access revoked"),
        (the_pod_is_gone, GOING_AWAY, "the pod is gone"),
        (all_shall_end, GOING_AWAY, "the bastion is stopping"),
    ],
)
@pytest.mark.parametrize(
    "said",
    [b"", b"\x81\x02hi", b"\x81\x02h", b"\x81"],
    ids=["nothing", "a frame", "most of a frame", "half a head"],
)
def test_it_is_closed_and_the_client_told_between_frames(
    ending: End_, told: bytes, outcome: str, said: bytes
) -> None:
    async def main() -> None:
        async with house() as h, h.open() as (_, client, serving):
            await client.send(said)  # and the backend sends it back
            assert await client.read(len(said)) == said
            await ending(h)
            assert await client.rest() == (told if said in (b"", b"\x81\x02hi") else b"")
            await serving
            assert (h.record.outcome, h.watches.over, h.streams.statistics().long) == (outcome, 1, 0)
            await until(lambda: not h.pool.statistics().open)
            for again in (access_is_gone, all_shall_end):
                await again(h)  # too late to matter

    run(main())


def test_what_is_no_websocket_is_told_nothing() -> None:
    async def main() -> None:
        async with house(YES_TO_SPDY) as h, h.open(SPDY) as (_, client, serving):
            h.streams.end_all()
            assert await client.rest() == b""
            await serving

    run(main())


def test_the_longest_duration() -> None:
    async def main() -> None:
        async with house(limits=StreamLimits(max_duration=0.05)) as h, h.open() as (_, client, serving):
            assert await client.rest() == GOING_AWAY
            await serving
            assert h.record.outcome == "the longest duration of a stream is over"

    run(main())


def test_of_many_streams_those_of_the_address_end() -> None:
    async def main() -> None:
        async with (
            house() as h,
            h.open() as (_, one, first),
            h.open() as (_, two, second),
            h.open() as (_, three, third),
        ):
            assert h.streams.statistics().long == 3
            two.end()
            await second
            assert h.streams.statistics().long == 2
            h.streams.address_gone(LOOPBACK)
            assert await one.rest() == await three.rest() == GOING_AWAY
            await asyncio.gather(first, third)
            assert (h.streams.statistics().long, h.watches.over) == (0, 3)

    run(main())


def test_whoever_serves_is_cancelled_and_the_stream_goes_with_it() -> None:
    async def main() -> None:
        async with house() as h, upgrading() as (exchange, client):
            serving = asyncio.create_task(h.serve(exchange))
            await until(lambda: h.streams.statistics().long)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert await client.rest() == b""
            assert (h.watches.over, h.streams.statistics().long) == (1, 0)
            await until(lambda: not h.pool.statistics().open)

    run(main())


# --- outlier detection, as for any other request


def test_an_upgrade_counts_against_an_endpoint_that_cannot_be_dialled() -> None:
    async def main() -> None:
        async with house() as h:
            outliers = h.balancer.outliers
            for _ in range(FAILURES):
                assert outliers.well(DEAD, ENVELOPE.asker)
                with refused(503):
                    await h.serve(Upgrading(), route=route_to(DEAD))
            assert not outliers.well(DEAD, ENVELOPE.asker)

    run(main())


def test_an_upgrade_goes_to_an_endpoint_that_does_not_fail_first() -> None:
    async def main() -> None:
        async with house() as h, upgrading() as (exchange, client):
            now = asyncio.get_running_loop().time()
            for _ in range(FAILURES):
                h.balancer.outliers.failed(DEAD, ENVELOPE.asker, now, dialled=False)
            serving = asyncio.create_task(h.serve(exchange, route=h.route(DEAD)))
            await until(lambda: h.streams.statistics().long or serving.done())
            run = h.balancer.outliers._all[DEAD]
            assert (run.count, h.record.endpoint) == (FAILURES, str(h.backend.endpoint()))
            client.close()
            await serving

    run(main())


@pytest.mark.parametrize(
    ("answer", "failures"), [(YES, 0), (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 0), (b"", 1)]
)
def test_any_answer_to_an_upgrade_is_well_and_none_is_not(answer: bytes, failures: int) -> None:
    async def main() -> None:
        async with house(answer, then="close" if not answer else "") as h, upgrading() as (exchange, client):
            here = h.backend.endpoint()
            h.balancer.outliers.failed(here, ENVELOPE.asker, 0.0, dialled=False)
            serving = asyncio.create_task(h.serve(exchange))
            await until(lambda: h.streams.statistics().long or serving.done())
            run = h.balancer.outliers._all.get(here)
            assert (run.count if run is not None else 0) == (failures and failures + 1)
            client.close()
            await asyncio.gather(serving, return_exceptions=True)

    run(main())
