"""Which connections are kept, and for whom?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.kube.endpoint import KUBELET, UNVERIFIED, Endpoint, TLSProfile
from bastion.network import connections
from bastion.network.addresses import DialPolicy
from bastion.network.connections import MAX_IDLE_PER_ENDPOINT, ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.errors import DialError, SendError
from bastion.network.transport import Request
from bastion.runtime.certificates import Authority
from bastion.runtime.deadlines import Deadlines
from bastion.settings.kinds import network
from tests.fakes import (
    LOOPBACK,
    NO_KUBELET_TLS,
    Backend,
    ask,
    backend,
    begin,
    head,
    run,
    server_tls,
    start,
    until,
    wire,
)

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def answered(transport: Any, pool: Any, endpoint: Any) -> Any:
    """A fresh connection with one exchange behind it, not yet given back."""
    connection = await pool.dial(endpoint)
    await begin(pool, connection).answer()
    return connection


def test_the_most_recently_used_is_taken_first() -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, wire() as (transport, pool):
            first, second = [await answered(transport, pool, server.endpoint()) for _ in range(2)]
            pool.release(first, clean=True)
            pool.release(second, clean=True)
            assert pool.statistics().idle == 2
            assert pool.take(server.endpoint()) is second
            assert pool.take(server.endpoint()) is first
            assert pool.take(server.endpoint()) is None
            assert (pool.statistics().idle, pool.statistics().open, pool.statistics().dialled) == (0, 2, 2)
            for connection in list(pool._open[server.endpoint().address]):
                connection.close()
            await until(lambda: not pool._idle)  # of an endpoint that has gone nothing is left

    run(main())


OTHERS = [
    pytest.param(lambda e: Endpoint("127.0.0.2", e.port), id="another-address"),
    pytest.param(lambda e: Endpoint(e.address, e.port + 1), id="another-port"),
    pytest.param(lambda e: Endpoint(e.address, e.port, UNVERIFIED), id="another-scheme"),
    pytest.param(lambda e: Endpoint(e.address, e.port, KUBELET), id="another-identity"),
    pytest.param(
        lambda e: Endpoint(e.address, e.port, TLSProfile(server_name="web.test")), id="another-server-name"
    ),
]


@pytest.mark.parametrize("other", OTHERS)
def test_a_connection_serves_its_own_endpoint_alone(other: Any) -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, wire() as (transport, pool):
            await ask(transport, server.endpoint())
            assert pool.take(other(server.endpoint())) is None
            assert pool.take(Endpoint(LOOPBACK, server.port)) is not None

    run(main())


def test_what_was_not_used_cleanly_is_closed() -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, wire() as (transport, pool):
            pool.release(await answered(transport, pool, server.endpoint()), clean=False)
            assert pool.statistics().idle == 0
            await until(lambda: pool.statistics().open == 0)

    run(main())


def test_an_answer_that_was_not_awaited_is_not_clean() -> None:
    async def main() -> None:
        async with backend() as server, wire() as (transport, pool):
            trip = await start(transport, server.endpoint())
            trip.close(clean=True)
            assert pool.statistics().idle == 0
            await until(lambda: pool.statistics().open == 0)

    run(main())


def test_half_an_answer_is_not_clean() -> None:
    async def main() -> None:
        async with (
            backend(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe") as server,
            wire() as (transport, pool),
        ):
            trip = await start(transport, server.endpoint())
            assert await (await trip.answer()).read() == b"he"
            trip.close(clean=True)
            assert pool.statistics().idle == 0
            await until(lambda: pool.statistics().open == 0)

    run(main())


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_kept_connection_that_the_backend_ends_is_forgotten(then: Any) -> None:
    async def main() -> None:
        async with backend(EMPTY, then=then) as server, wire() as (transport, pool):
            connection = await answered(transport, pool, server.endpoint())
            if connection.alive:
                pool.release(connection, clean=True)
            await until(lambda: pool.statistics().open == 0)
            assert pool.statistics().idle == 0
            assert pool.take(server.endpoint()) is None
            assert not pool._idle

    run(main())


def test_a_kept_connection_that_dies_under_the_request_is_a_send_error() -> None:
    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            writer.write(EMPTY)
            await server.read_request(reader)
            writer.close()

        async with Backend(script) as server, wire() as (transport, pool):
            await ask(transport, server.endpoint())
            trip = await transport.round_trip(server.endpoint(), Request("GET", head()))
            assert trip.reused
            trip.send()
            with pytest.raises(SendError, match="closed the connection before it answered"):
                await trip.answer()
            await until(lambda: pool.statistics().open == 0)

    run(main())


def test_a_fresh_connection_may_be_insisted_on() -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, wire() as (transport, pool):
            await ask(transport, server.endpoint())
            trip = await transport.round_trip(server.endpoint(), Request("GET", head()), fresh=True)
            assert not trip.reused
            assert (pool.statistics().idle, pool.statistics().dialled) == (1, 2)

    run(main())


def test_only_so_many_are_kept_and_the_oldest_goes() -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, wire() as (transport, pool):
            connections = [
                await answered(transport, pool, server.endpoint()) for _ in range(MAX_IDLE_PER_ENDPOINT + 1)
            ]
            for connection in connections:
                pool.release(connection, clean=True)
            assert pool.statistics().idle == MAX_IDLE_PER_ENDPOINT
            await until(lambda: pool.statistics().open == MAX_IDLE_PER_ENDPOINT)
            assert not connections[0].alive
            assert connections[1].alive

    run(main())


def test_closing_the_pool_closes_everything() -> None:
    async def main() -> None:
        async with backend(EMPTY, EMPTY) as server, wire() as (transport, pool):
            await ask(transport, server.endpoint())
            await pool.dial(server.endpoint())
            assert (pool.statistics().open, pool.statistics().idle) == (2, 1)
            pool.close()
            await until(lambda: pool.statistics().open == 0)
            assert pool.statistics().idle == 0
            assert pool.take(server.endpoint()) is None
            assert not pool._idle

    run(main())


class Stillborn:
    """A dialer whose connections are lost before anybody knows them."""

    async def dial(self, endpoint: Any, factory: Any, patience: Any) -> Any:
        connection = factory()
        connection.connection_lost(None)
        return connection


class Everywhere:
    """A dialer of connections to wherever, which are open until they are closed."""

    async def dial(self, endpoint: Any, factory: Any, patience: Any = None) -> Any:
        connection = factory()
        connection.connection_made(Ended(connection))
        return connection


class Ended:
    """A transport that tells of its end in the next turn of the loop, as asyncio's do."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def get_write_buffer_size(self) -> int:
        return 0


async def rested(pool: Any, *ports: Any) -> None:
    """One to each, used and given back."""
    for port in ports:
        connection = await pool.dial(Endpoint(LOOPBACK, port))
        connection.begin(b"", to_head=False, answer_within=1, body_idle=1)
        connection.sent()
        connection.data_received(EMPTY)
        pool.release(connection, clean=True)


def test_what_rests_makes_room_for_what_is_needed() -> None:
    """Promise 9: a pod that listens on every port leaves no connection to it behind for each."""

    async def main() -> None:
        async with Deadlines() as clock:
            pool = ConnectionPool(Everywhere(), clock, most=4)
            busy = await pool.dial(Endpoint(LOOPBACK, 1))
            await rested(pool, *range(2, 100))
            assert pool.statistics().open == 4
            # and `busy` lives
            assert [port for port in range(100) if pool.take(Endpoint(LOOPBACK, port)) is not None] == [
                97,
                98,
                99,
            ]
            assert busy.alive
            # An exchange that needs one has it, also where all are in use.
            assert (await pool.dial(Endpoint(LOOPBACK, 100))).alive
            assert pool.statistics().open == 5
            pool.close()
            await until(lambda: pool.statistics().open == pool._count == 0)
            assert not pool._resting

    run(main())


def test_a_dial_that_fails_takes_no_room() -> None:
    async def main() -> None:
        async with Deadlines() as clock:
            pool = ConnectionPool(Dialer(DialPolicy(), NO_KUBELET_TLS, clock, 5.0), clock, most=4)
            for _ in range(8):
                with pytest.raises(DialError):
                    await pool.dial(Endpoint(LOOPBACK, 1))
            assert pool._count == 0

    run(main())


def test_so_many_rest_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_IDLE", 3)

    async def main() -> None:
        async with Deadlines() as clock:
            pool = ConnectionPool(Everywhere(), clock)
            await rested(pool, *range(10))
            assert pool.statistics().idle == pool.statistics().open == 3

    run(main())


def test_nothing_is_kept_of_a_connection_that_is_gone() -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, Deadlines() as clock:
            pool = ConnectionPool(
                Dialer(DialPolicy([network("127.0.0.0/8")]), NO_KUBELET_TLS, clock, 5.0), clock
            )
            await pool.dial(server.endpoint())
            assert len(clock) == pool.statistics().open == 1
            pool.close()
            await until(lambda: pool.statistics().open == 0)
            assert len(clock) == 0

            pool = ConnectionPool(Stillborn(), clock)  # type: ignore[arg-type]
            assert not (await pool.dial(server.endpoint())).alive
            assert len(clock) == pool.statistics().open == 0

    run(main())


def test_a_hundred_at_once_have_a_connection_each_and_leave_them_for_the_next() -> None:
    async def main() -> None:
        async with backend(*[EMPTY] * 5) as server, wire() as (transport, pool):
            for _ in range(3):
                await asyncio.gather(*(ask(transport, server.endpoint()) for _ in range(100)))
            assert (
                pool.statistics().dialled
                == server.connections
                == pool.statistics().idle
                == pool.statistics().open
                <= 100
            )

    run(main())


# --- a backend that says how long it keeps a connection

KEPT_FOR = [
    pytest.param(b"timeout=5, max=100", 4.0, id="Apache"),
    pytest.param(b"timeout=5", 4.0, id="Node"),
    pytest.param(b"timeout=1", 0.5, id="short"),
    pytest.param(b"timeout=0", 0.0, id="not-at-all"),
    pytest.param(b'max=5, Timeout = "9"', 8.0, id="spelled-otherwise"),
    pytest.param(b"timeout=600", 60.0, id="longer-than-ours"),
    pytest.param(b"timeout=soon", 60.0, id="no-number"),
    pytest.param(b"max=3", 60.0, id="says-nothing-of-it"),
]


@pytest.mark.parametrize(("said", "seconds"), KEPT_FOR)
def test_a_connection_is_kept_no_longer_than_its_backend_keeps_it(said: Any, seconds: Any) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: %b\r\n\r\n" % said
        async with backend(answer) as server, wire() as (transport, pool):
            connection = await answered(transport, pool, server.endpoint())
            begun = asyncio.get_running_loop().time()
            pool.release(connection, clean=True)
            assert connection.deadline - begun == pytest.approx(seconds, abs=0.05)

    run(main())


def test_past_that_it_is_good_for_what_may_be_sent_again_alone() -> None:
    async def main() -> None:
        async with backend(EMPTY) as server, wire() as (transport, pool):
            for sure in (False, True):
                connection = await answered(transport, pool, server.endpoint())
                pool.release(connection, clean=True)
                connection.deadline = asyncio.get_running_loop().time()  # and the sweep has yet to come
                assert (pool.take(server.endpoint(), sure=sure) is connection) is not sure

    run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_one_that_is_well_is_taken_for_what_cannot_be_sent_again(tls: Any) -> None:
    async def main() -> None:
        context = server_tls(Authority("of backends")) if tls else None
        async with backend(EMPTY, EMPTY, tls=context) as server, wire() as (transport, _):
            for _ in range(2):
                request = Request("POST", head("POST"), once=True)
                trip = await transport.round_trip(server.endpoint(tls=tls), request)
                trip.send()
                await trip.answer()
                trip.close(clean=True)
            assert server.connections == 1

    run(main())


def test_where_kept_connections_are_ended_soon_what_may_not_be_sent_twice_gets_a_new_one() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read_request(reader)
        writer.write(EMPTY)
        if server.connections == 1:
            writer.close()
        await reader.read()

    server = Backend(play)

    async def main() -> None:
        async with server, backend(EMPTY) as other, wire() as (transport, pool):
            hasty, steady = server.endpoint(), other.endpoint()
            pool.release(await answered(transport, pool, hasty), clean=True)
            await until(lambda: not pool.statistics().idle)
            for endpoint in (hasty, steady):
                pool.release(await answered(transport, pool, endpoint), clean=True)
            assert pool.statistics().idle == 2
            assert pool.take(hasty, sure=True) is None
            await until(lambda: pool.statistics().open == 1)
            assert pool.take(steady, sure=True) is not None

    run(main())
