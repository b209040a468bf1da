"""What happens to a request whose endpoint fails: who gets it next, and who has it twice?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from bastion.balance.cookie import tokens
from bastion.balance.group import COOKIE
from bastion.balance.outlier import FAILURES
from bastion.balance.pool import Balancer
from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import Endpoint
from bastion.kube.status import StatusError
from bastion.message.answers import Policy
from bastion.observe.record import Record
from bastion.proxy.forward import Forwarder
from bastion.proxy.revival import Revival
from bastion.proxy.sending import Ways
from bastion.proxy.streams import Streams
from bastion.proxy.turns import Turns
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.limits import Shares
from bastion.settings.sections import StreamLimits
from tests.fakes import SOMEBODY, Backend, Upload, backend, run, until, wire
from tests.proxy.exchanges import Exchange, fields_of
from tests.proxy.routes import Standing, admitted, route_to
from tests.proxy.test_forward import ENVELOPE, OK

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha"
# what breaks -> how an endpoint answers then
FAULTS: dict[str, Any] = {
    "close": {"then": "close", "answers": (b"",)},
    "reset": {"then": "reset", "answers": (b"",)},
    "hang": {"then": "wait", "answers": (b"",)},
    "503": {"then": "wait", "answers": (BUSY,) * 20},
    "cut": {"then": "close", "answers": (CUT,)},
}


class Body(Upload):
    def __init__(self, pieces: list[bytes], length: int | None) -> None:
        super().__init__(pieces, chunked=length is None)
        self.length = length

    @property
    def touched(self) -> bool:
        return self.taken > 0


class House:
    def __init__(self, ways: Ways, deadlines: Deadlines, max_body: int = 0) -> None:
        self.ways = ways
        self.balancer = ways.balancer
        self._forwarder = Forwarder(ways, Shares(0), Policy(), Turns(), max_body=max_body)
        self._streams = Streams(deadlines, StreamLimits(), lambda *watched: lambda: None)

    async def ask(
        self,
        *endpoints: Endpoint,
        method: str = "GET",
        policy: EndpointPolicy = EndpointPolicy(),  # noqa: B008 frozen
        fields: tuple[str, ...] = (),
        body: Body | None = None,
    ) -> Exchange:
        exchange = Exchange(method, fields=fields_of(*fields))
        exchange.body = body  # type: ignore[assignment]
        route = structs.replace(route_to(*endpoints), policy=policy)
        record = Record(method, b"/", "192.0.2.1", "audit-id")
        under_way = self._streams.begin(exchange, route, admitted(), record)
        try:
            await self._forwarder.serve(exchange, route, ENVELOPE, record, under_way)
        except StatusError as error:
            exchange.refused = error
        finally:
            self._streams.over(under_way)
        return exchange


@contextlib.asynccontextmanager
async def house(max_body: int = 0) -> AsyncIterator[House]:
    async with wire() as (transport, pool), Deadlines() as deadlines:
        now = asyncio.get_running_loop().time
        balancer = Balancer(token_of=tokens(b"key"))
        balancer.revive = Revival(pool, balancer.outliers, now)
        yield House(Ways(transport, Standing(), balancer, now), deadlines, max_body)


def code(exchange: Exchange) -> int:
    return exchange.refused.code if exchange.refused is not None else exchange.status


def broken(fault: str) -> Backend:
    return backend(*FAULTS[fault]["answers"], then=FAULTS[fault]["then"])


ALL = "connect,reset,timeout,503"
ROWS = [
    # fault, method, retry-on, status, requests the other endpoint gets
    ("close", "GET", "connect,reset", 200, 1),
    ("reset", "GET", "connect,reset", 200, 1),
    ("reset", "DELETE", "connect,reset", 200, 1),
    ("reset", "POST", "connect,reset", 503, 0),
    ("reset", "PATCH", ALL, 503, 0),
    ("reset", "GET", "connect", 503, 0),
    ("reset", "GET", "", 503, 0),
    ("hang", "GET", "connect,reset", 504, 0),
    ("hang", "GET", ALL, 200, 1),
    ("hang", "POST", ALL, 504, 0),
    ("503", "GET", "connect,reset", 503, 0),
    ("503", "GET", ALL, 200, 1),
    ("503", "POST", ALL, 503, 0),
    ("cut", "GET", ALL, 200, 0),  # a response that has begun is never replaced
]


@pytest.mark.parametrize(("fault", "method", "retry_on", "status", "others"), ROWS)
def test_where_it_goes_next(fault: str, method: str, retry_on: str, status: int, others: int) -> None:
    policy = EndpointPolicy(retry_on=frozenset(filter(None, retry_on.split(","))), response_timeout=0.1)

    async def main() -> None:
        async with house() as h, broken(fault) as bad, backend(OK) as good:
            exchange = await h.ask(bad.endpoint(), good.endpoint(), method=method, policy=policy)
            assert (code(exchange), len(bad.heads), len(good.heads)) == (status, 1, others)
            assert exchange.aborted is (fault == "cut")

    run(main())


def test_where_all_fail_the_last_failure_is_told() -> None:
    async def main() -> None:
        async with house() as h, broken("reset") as one, broken("close") as other:
            assert code(await h.ask(one.endpoint(), other.endpoint())) == 503
            assert (len(one.heads), len(other.heads)) == (1, 1)
        policy = EndpointPolicy(retry_on=frozenset(("503",)))
        async with house() as h, broken("503") as one, broken("503") as other:
            exchange = await h.ask(one.endpoint(), other.endpoint(), policy=policy)
            assert (exchange.status, len(one.heads), len(other.heads)) == (503, 1, 1), "the backend's own"

    run(main())


async def reading(server: Backend, size: int, got: list[bytes], answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read_request(reader)
        got.append(await reader.readexactly(size))
        if answer:
            writer.write(answer)
            await writer.drain()
            await reader.read(1)
        writer.transport.abort()

    server._script = script


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (200_000, 503)])
def test_a_small_body_is_held_and_sent_whole_again(size: int, status: int) -> None:
    async def main() -> None:
        first: list[bytes] = []
        second: list[bytes] = []
        async with house() as h, backend() as bad, backend() as good:
            await reading(bad, size, first, b"")
            await reading(good, size, second, OK)
            body = Body([b"x" * 500] * (size // 500), size)
            exchange = await h.ask(bad.endpoint(), good.endpoint(), method="PUT", body=body)
            assert code(exchange) == status
            assert second == ([b"x" * size] if status == 200 else [])

    run(main())


@pytest.mark.parametrize(
    ("flag", "own", "size", "status"),
    [(0, None, 50, 200), (0, 40, 50, 413), (40, None, 50, 413), (40, 100, 50, 413), (100, 50, 50, 200)],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_as_large_as_it_may_be(
    flag: int, own: int | None, size: int, status: int, chunked: bool
) -> None:
    async def main() -> None:
        got: list[bytes] = []
        async with house(flag) as h, backend() as server:
            framed = size + (len(b"32\r\n\r\n0\r\n\r\n") if chunked else 0)
            await reading(server, framed, got, OK)
            body = Body([b"x" * size], None if chunked else size)
            policy = EndpointPolicy(max_body_size=own)
            assert code(await h.ask(server.endpoint(), method="PUT", policy=policy, body=body)) == status
            assert bool(got) is (status == 200)

    run(main())


@pytest.mark.parametrize("fault", ["reset", "hang", "cut", "503"])
def test_five_failures_in_a_row_eject_and_then_none_is_sent_there(fault: str) -> None:
    policy = EndpointPolicy(retry_on=frozenset(("503", "timeout")), response_timeout=0.05)

    async def main() -> None:
        async with house() as h, broken(fault) as bad, backend(*[OK] * 40) as good:
            for _ in range(4 * FAILURES):
                await h.ask(bad.endpoint(), good.endpoint(), method="POST", policy=policy)
            assert len(bad.heads) == FAILURES
            (group,) = h.balancer.statistics()
            assert (group.requests, group.ejections, group.serving) == (4 * FAILURES, 1, 2)

    run(main())


def test_what_is_out_is_dialled_where_no_request_may_be_its_probe() -> None:
    async def main() -> None:
        async with house() as h, backend(OK) as server:
            outliers, endpoint = h.balancer.outliers, server.endpoint()
            for _ in range(FAILURES):
                outliers.failed(endpoint, SOMEBODY, 0.0, dialled=False)
            h.balancer.revive(endpoint, SOMEBODY)
            await until(lambda: outliers.well(endpoint, SOMEBODY))
            assert (server.connections, server.heads) == (1, [])

    run(main())


def test_a_cookie_keeps_a_client_at_its_endpoint_and_says_nothing_of_it() -> None:
    policy = EndpointPolicy(affinity=COOKIE)

    async def main() -> None:
        async with house() as h, backend(*[OK] * 9) as one, backend(*[OK] * 9) as other:
            there = (one.endpoint(), other.endpoint())

            async def ask(*fields: str) -> list[bytes]:
                found = await h.ask(*there, policy=policy, fields=fields)
                return [value for lower, _, value in found.answered if lower == b"set-cookie"]

            (line,) = await ask()
            pair, *attributes = line.decode().split("; ")
            assert attributes == ["Path=/prefix", "Secure", "HttpOnly", "SameSite=Lax"]
            assert not any(str(endpoint.port) in pair or endpoint.address in pair for endpoint in there)
            for _ in range(3):
                assert await ask(f"Cookie: {pair}; app=1") == []
            assert sorted((len(one.heads), len(other.heads))) == [0, 4]
            home = one if one.heads else other
            assert b"Cookie: app=1\r\n" in home.heads[-1]
            assert len(await ask("Cookie: bastion_endpoint=AAAA")) == 1
            for _ in range(FAILURES):
                h.balancer.outliers.failed(home.endpoint(), ENVELOPE.asker, 0.0, dialled=False)
            (new,) = await ask(f"Cookie: {pair}")
            assert new.partition(b";")[0] != pair.encode()

    run(main())
