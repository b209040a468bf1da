"""Where a request goes, and where it goes next: never to an address that its target has no more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from bastion.balance.pool import Balancer
from bastion.kube.endpoint import Endpoint
from bastion.kube.errors import not_found
from bastion.kube.status import StatusError
from bastion.message.answers import Policy
from bastion.message.headers import Forwarded
from bastion.network.connections import ConnectionPool
from bastion.observe.record import Record
from bastion.proxy.envelope import Envelope
from bastion.proxy.forward import Forwarder, request_head
from bastion.proxy.sending import Ways
from bastion.proxy.streams import Streams
from bastion.proxy.turns import Turns
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.limits import Shares
from bastion.settings.sections import StreamLimits
from tests.fakes import LOOPBACK, Backend, Upload, run, unavailable, until, wire
from tests.proxy.exchanges import Exchange, fields_of
from tests.proxy.routes import Standing, admitted, route_to

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ENVELOPE = Envelope(Forwarded(b"192.0.2.1", b"bastion.test", b"https", b"/prefix", b"/prefix/x"), False)
DEAD = [Endpoint(LOOPBACK, port) for port in (1, 2, 3, 4)]


class House:
    """A forwarder; `router` says where the target leads by now."""

    def __init__(
        self, forwarder: Forwarder, router: Standing, streams: Streams, pool: ConnectionPool
    ) -> None:
        self.forwarder, self.router, self.streams, self.pool = forwarder, router, streams, pool

    async def ask(
        self, *endpoints: Endpoint, method: str = "GET", fields: tuple[str, ...] = (), kept: bool = False
    ) -> Exchange:
        """Raises StatusError."""
        exchange = Exchange(method, fields=fields_of(*fields))
        route = route_to(*endpoints)
        self.record = record = Record(method, b"/", "192.0.2.1", "audit-id")
        under_way = self.streams.begin(exchange, route, admitted(), record)
        envelope = structs.replace(ENVELOPE, keep_authorization=kept)
        try:
            await self.forwarder.serve(exchange, route, envelope, record, under_way)
        finally:
            self.streams.over(under_way)
        return exchange


@contextlib.asynccontextmanager
async def house() -> AsyncIterator[House]:
    async with wire() as (transport, pool), Deadlines() as deadlines:
        router = Standing()
        ways = Ways(transport, router, Balancer(), asyncio.get_running_loop().time)
        forwarder = Forwarder(ways, Shares(0), Policy(), Turns())
        yield House(
            forwarder, router, Streams(deadlines, StreamLimits(), lambda *watched: lambda: None), pool
        )


class Dying(Backend):
    """Answers the first request of each connection, and dies under the second; `dead` then lets nobody see
    what comes.
    """

    def __init__(self) -> None:
        super().__init__(self._play)
        self.asked = asyncio.Event()
        self.die = asyncio.Event()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.read_request(reader)
        writer.write(OK)
        await self.read_request(reader)
        self.asked.set()
        await self.die.wait()
        writer.transport.abort()


def answering() -> Backend:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await backend.read_request(reader)
            writer.write(OK)

    backend = Backend(play)
    return backend


# --- the target is asked about before every attempt after the first


GONE = [not_found("pods", "web"), unavailable("no endpoints available for service")]


@pytest.mark.parametrize("gone", GONE, ids=["404", "503"])
def test_a_request_is_not_sent_again_to_an_address_whose_pod_is_gone(gone: StatusError) -> None:
    async def main() -> None:
        async with house() as h, Dying() as old:
            await h.ask(old.endpoint())
            asking = asyncio.create_task(h.ask(old.endpoint()))
            await old.asked.wait()  # type: ignore[attr-defined]
            h.router.now = gone
            old.die.set()  # type: ignore[attr-defined]
            with pytest.raises(StatusError) as told:
                await asking
            assert told.value is gone
            assert (old.connections, len(old.heads)) == (1, 2)

    run(main())


def test_it_is_sent_to_where_the_target_leads_by_then() -> None:
    async def main() -> None:
        async with house() as h, Dying() as old, answering() as new:
            await h.ask(old.endpoint())
            asking = asyncio.create_task(h.ask(old.endpoint()))
            await old.asked.wait()  # type: ignore[attr-defined]
            h.router.now = [new.endpoint()]
            old.die.set()  # type: ignore[attr-defined]
            assert (await asking).status == 200
            assert (old.connections, len(new.heads)) == (1, 1)
            assert h.record.tried == 2

    run(main())


def test_where_a_new_connection_ends_before_the_answer_idle_ones_are_not_tried() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Two connections answer one request each, once both are there; whatever comes then ends them."""
        await backend.read_request(reader)
        if backend.connections == 2:
            both.set()
        if backend.connections <= 2:
            await both.wait()
            writer.write(OK)
            await backend.read_request(reader)
        writer.transport.abort()

    async def main() -> None:
        async with house() as h, backend:
            await asyncio.gather(h.ask(backend.endpoint()), h.ask(backend.endpoint()))
            assert h.pool.statistics().idle == 2
            with pytest.raises(StatusError):
                await h.ask(backend.endpoint())
            assert len(backend.heads) == 4  # on a kept connection, and on a new one
            await until(lambda: h.pool.statistics().open == 0)

    both, backend = asyncio.Event(), Backend(play)
    run(main())


def test_on_a_kept_connection_nothing_is_asked_again() -> None:
    async def main() -> None:
        async with house() as h, answering() as backend:
            await h.ask(backend.endpoint())
            h.router.asked = 0
            for _ in range(3):
                await h.ask(backend.endpoint())
            assert (h.router.asked, backend.connections) == (0, 1)
            assert h.record.tried == 1

    run(main())


def test_after_a_dial_that_failed_only_what_is_there_now_is_dialled() -> None:
    async def main() -> None:
        async with house() as h, answering() as former, answering() as new:
            h.router.now = [DEAD[0], new.endpoint()]
            assert (await h.ask(DEAD[0], former.endpoint())).status == 200
            assert (former.connections, new.connections) == (0, 1)

    run(main())


def test_an_address_that_became_anothers_while_it_was_dialled_is_sent_nothing() -> None:
    async def main() -> None:
        async with house() as h, answering() as anothers, answering() as new:
            h.router.now = [new.endpoint()]
            assert (await h.ask(anothers.endpoint())).status == 200
            assert (anothers.heads, len(new.heads)) == ([], 1)
            h.router.now = GONE[0]
            with pytest.raises(StatusError) as told:
                await h.ask(anothers.endpoint())
            assert told.value is GONE[0]
            assert not anothers.heads
            await until(lambda: h.pool.statistics().open == 1)

    run(main())


@pytest.mark.parametrize("dead", [1, 3, 40])
def test_however_many_take_no_connection_the_one_that_does_is_found(dead: int) -> None:
    async def main() -> None:
        async with house() as h, answering() as last:
            gone = [Endpoint(LOOPBACK, port) for port in range(1, dead + 1)]
            assert (await h.ask(*gone, last.endpoint())).status == 200
            assert last.connections == 1

    run(main())


def test_of_those_known_to_fail_a_few_are_tried_and_no_more() -> None:
    async def main() -> None:
        async with house() as h:
            for _ in range(5):  # in a row
                with pytest.raises(StatusError):
                    await h.ask(*DEAD)
            h.router.asked = 0
            with pytest.raises(StatusError) as told:
                await h.ask(*DEAD)
            assert (told.value.code, h.router.asked) == (503, 3)

    run(main())


def test_also_after_a_kept_connection_that_died() -> None:
    async def main() -> None:
        async with house() as h, Dying() as old, answering() as last:
            await h.ask(old.endpoint())
            asking = asyncio.create_task(h.ask(old.endpoint()))
            await old.asked.wait()  # type: ignore[attr-defined]
            h.router.now = [*DEAD[:2], last.endpoint()]
            old.die.set()  # type: ignore[attr-defined]
            assert (await asking).status == 200
            assert last.connections == 1

    run(main())


# --- a kept connection


class EndsUnread(Backend):
    """Answers, and ends the connection as soon as it is told to: the loop has no turn in between to read the
    end.
    """

    def __init__(self) -> None:
        super().__init__(self._play)
        self.ended = asyncio.Event()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.ended.is_set():
            await self.read_request(reader)
            writer.write(OK)

    def end(self) -> None:
        """In this very turn of the loop, so that ours has not read it."""
        for writer in self._writers:
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
                sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_cannot_be_sent_again_takes_no_kept_connection_that_has_ended(method: str) -> None:
    async def main() -> None:
        async with house() as h, EndsUnread() as backend:
            await h.ask(backend.endpoint(), method="GET")
            backend.end()  # type: ignore[attr-defined]
            assert (await h.ask(backend.endpoint(), method=method)).status == 200
            assert (backend.connections, len(backend.heads)) == (2, 2)

    run(main())


def test_an_endpoint_that_leaves_its_service_keeps_no_idle_connection_and_what_is_under_way_goes_on() -> None:
    async def main() -> None:
        async with house() as h, answering() as backend, Dying() as busy:
            await h.ask(backend.endpoint())
            await h.ask(busy.endpoint())
            asking = asyncio.create_task(h.ask(busy.endpoint()))
            await busy.asked.wait()  # type: ignore[attr-defined]
            h.pool.endpoint_left(LOOPBACK)
            await until(lambda: h.pool.statistics().open == 1)
            assert not asking.done()
            h.router.now = [backend.endpoint()]
            busy.die.set()  # type: ignore[attr-defined]
            assert (await asking).status == 200

    run(main())


def test_what_is_open_to_an_address_serves_nobody_after_its_pod_has_left() -> None:
    async def main() -> None:
        async with house() as h, answering() as backend:
            await h.ask(backend.endpoint())
            h.pool.address_left("192.0.2.99")
            assert h.pool.statistics().idle == 1
            h.pool.address_left(LOOPBACK)
            await until(lambda: not h.pool.statistics().open)
            await h.ask(backend.endpoint())
            assert backend.connections == 2

    run(main())


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("NTLM TlRM", False),
        ("Negotiate YII=", False),
        ("Kerberos x", False),
        ("Basic eDp5", True),
        ("Bearer x", True),
    ],
)
def test_a_login_of_a_connection_is_nobody_elses(line: str, kept: bool) -> None:
    async def main() -> None:
        async with house() as h, answering() as backend:
            field = f"Authorization: {line}"
            await h.ask(backend.endpoint(), fields=(field,), kept=True)
            assert h.pool.statistics().idle == kept
            await h.ask(backend.endpoint(), fields=(field,))  # the bastion's own: the backend does not see it
            assert h.pool.statistics().idle == 1

    run(main())


# --- what a backend may leave unread


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH"])
def test_a_body_that_may_stay_unread_is_the_last_thing_on_its_connection(method: str, chunked: bool) -> None:
    exchange = Exchange(method)
    exchange.body = Upload([], chunked=chunked)  # type: ignore[assignment]
    head = request_head(exchange, route_to(DEAD[0]), ENVELOPE, Policy())
    assert (b"\r\nConnection: close\r\n" in head) is (method not in ("POST", "PUT", "PATCH"))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_a_body_it_is_not(method: str) -> None:
    exchange = Exchange(method)
    assert b"Connection" not in request_head(exchange, route_to(DEAD[0]), ENVELOPE, Policy())
    exchange.body = Upload([])  # type: ignore[assignment]
    exchange.body.length = 0  # type: ignore[attr-defined]
    assert b"Connection" not in request_head(exchange, route_to(DEAD[0]), ENVELOPE, Policy())
