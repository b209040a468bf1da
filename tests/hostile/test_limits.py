"""One client, user or target too many.

Whoever is over a limit is told so, and nobody else notices.

Each limit is reached, exceeded, and free again once somebody leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bastion.kube.status import StatusError
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.listening import listen
from bastion.server.app import App
from bastion.server.door import RESERVED, Door
from bastion.server.http1.body import LEAST_RATE
from bastion.server.http1.exchange import HttpExchange
from bastion.server.listener import Listener
from bastion.server.state import BODY_GRACE, ServerState
from tests import fakes
from tests.e2e.harness import ALICE, BOB, CAROL, LIVE, Bastion, Cluster, Place, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.wire import Client, Message, Visit, ask, assert_status, backend, client, request
from tests.fakes import pass_time, until
from tests.server.test_protocol import clocked, conversation, echo

FLAGS = (
    "--max-connections-per-address",
    4,
    "--max-exchanges-per-user",
    2,
    "--max-waiting-per-target",
    1,
    "--trusted-proxy-cidr",
    "127.0.0.9/32",
)


@pytest.fixture(scope="module")
def strict(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    with serving(cluster, tmp_path_factory.mktemp("strict"), *FLAGS) as running:
        yield running


def over(answer: Message, code: int) -> bool:
    assert_status(answer, code)
    return bool(answer.one("Retry-After"))


@contextlib.asynccontextmanager
async def waiting(bastion: Bastion, pod: Place, address: str, token: str = ALICE) -> AsyncIterator[Client]:
    """A request whose answer does not come."""
    async with client(bastion, local_addr=(address, 0)) as wire:
        await wire.send(request(pod.path(), token=token))
        yield wire


# --- connections


def test_an_address_has_so_many_connections_and_others_have_theirs(strict: Bastion) -> None:
    async def is_served(wire: Client) -> bool:
        await wire.send(request("/version"))
        return (await wire.answer()).status == 200

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            inside = [
                await stack.enter_async_context(client(strict, plain=True, local_addr=("127.0.0.2", 0)))
                for _ in range(4)
            ]
            for wire in inside:
                assert await is_served(wire)
            async with client(strict, plain=True, local_addr=("127.0.0.2", 0)) as turned_away:
                assert await turned_away.ended() == b""
            # another one; a trusted proxy, behind which there are many
            for address in ("127.0.0.3", *["127.0.0.9"] * 9):
                assert await is_served(
                    await stack.enter_async_context(client(strict, plain=True, local_addr=(address, 0)))
                )
            inside[0].writer.transport.abort()
            while True:
                async with client(strict, plain=True, local_addr=("127.0.0.2", 0)) as next_one:
                    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                        assert await is_served(next_one)
                        break

    asyncio.run(main())


class Refusing:
    """A gateway that nobody gets through."""

    async def serve(self, exchange: HttpExchange) -> None:
        exchange.start(200, b"", [], 2)
        exchange.finish(b"in")

    def refuse(self, exchange: HttpExchange, error: StatusError) -> None:
        exchange.send_status(error)


async def health(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_re_047_nearly_full_health_is_answered_and_full_accepting_pauses_until_somebody_leaves() -> None:
    """The total comes from the descriptors that the process may open."""

    async def asked(path: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        return await reader.readuntil(b"\r\n\r\n")

    async def main() -> None:
        async with Deadlines() as deadlines, contextlib.AsyncExitStack() as stack:
            door = Door(RESERVED + 40, 0, lambda address: False)
            assert door.total == 20
            app = App(Refusing(), health, door.is_crowded)  # type: ignore[arg-type]
            state = ServerState(app, deadlines, door)
            sock = listen((fakes.LOOPBACK, 0))
            port = sock.getsockname()[1]
            listener = Listener(sock, None, state)
            listener.start()
            stack.callback(listener.stop)

            async def connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                reader, writer = await asyncio.open_connection(fakes.LOOPBACK, port)
                stack.callback(writer.transport.abort)
                return reader, writer

            first = await connected()
            assert b" 200 " in await asked(b"/x", *first)
            others = [await connected() for _ in range(17)]
            await until(lambda: door.inside == 18)
            refusal = await asked(b"/x", *others[0])
            assert b" 503 " in refusal and b"Retry-After" in refusal and b"Connection: close" in refusal
            assert b" 200 " in await asked(b"/livez", *others[1])
            while door.inside < door.total:
                others.append(await connected())
                await asyncio.sleep(0.01)
            late = await connected()
            answer = asyncio.create_task(asked(b"/livez", *late))
            await asyncio.sleep(0.1)
            assert not answer.done()
            assert door.inside == door.total
            for _, writer in (first, *others[1:8]):
                writer.transport.abort()
            assert b" 200 " in await answer
            await until(lambda: not door.is_crowded())
            assert b" 200 " in await asked(b"/x", *late)

    fakes.run(main())


# --- exchanges


async def has_come(behind: object, count: int) -> None:
    while len(behind.visits) < count:  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)


def test_a_user_has_so_many_requests_under_way_and_others_have_theirs(
    strict: Bastion, cluster: Cluster
) -> None:
    first, second, third = cluster.pod(), cluster.pod(), cluster.pod()

    async def never(visit: Visit) -> None:
        await visit.ended()

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            one, two = [
                await stack.enter_async_context(backend(pod.address, never)) for pod in (first, second)
            ]
            for address in (third.address, LIVE):
                await stack.enter_async_context(backend(address))
            async with waiting(strict, first, "127.0.0.5"), waiting(strict, second, "127.0.0.5"):
                await has_come(one, 1)
                await has_come(two, 1)
                assert over(await ask(strict, request(third.path())), 429)
                service = Place("pair", LIVE, "services").path(port=80)
                assert (await ask(strict, request(service, token=BOB))).status == 200
            while (answer := await ask(strict, request(third.path()))).status != 200:
                assert over(answer, 429)

    asyncio.run(main())


def test_a_target_has_so_many_who_wait_and_others_are_reached(strict: Bastion, cluster: Cluster) -> None:
    slow, other = cluster.pod(), cluster.pod()
    answering = asyncio.Event()

    async def slowly(visit: Visit) -> None:
        while True:
            await visit.message()
            await answering.wait()
            await visit.answer(b"at last")

    async def main() -> None:
        async with (
            backend(slow.address, slowly) as behind,
            backend(other.address),
            waiting(strict, slow, "127.0.0.6") as first,
        ):
            await has_come(behind, 1)
            assert over(await ask(strict, request(slow.path())), 503)
            assert (await ask(strict, request(other.path()))).status == 200
            answering.set()
            assert (await first.answer()).body == b"at last"
            assert (await ask(strict, request(slow.path()))).status == 200

    asyncio.run(main())


# --- guesses


def test_re_049_guessing_is_limited_per_address_and_whoever_is_known_is_not(
    cluster: Cluster, tmp_path: Path
) -> None:
    limits = ("--max-authentication-failure-qps", 1, "--max-authentication-failure-burst", 5)
    pod = cluster.pod()
    (tmp_path / "api").mkdir()

    async def guess(bastion: Bastion, number: int, address: str) -> Message:
        async with client(bastion, local_addr=(address, 0)) as wire:
            await wire.send(request(pod.path(), token=f"guess-{number}"))
            return await wire.answer()

    async def main(api: KubeApi, bastion: Bastion) -> None:
        async with backend(pod.address):
            assert (await ask(bastion, request(pod.path()))).status == 200  # from 127.0.0.1, and remembered
            before = api.calls["tokenreviews"]
            statuses = [(await guess(bastion, number, "127.0.0.1")).status for number in range(60)]
            asked = api.calls["tokenreviews"] - before
            assert set(statuses) == {401, 429}
            assert statuses[:5] == [401] * 5
            assert statuses.count(401) == asked < 30  # who is over the limit costs the API server nothing
            answers = [await guess(bastion, 100 + number, "127.0.0.1") for number in range(8)]
            assert over(next(answer for answer in answers if answer.status == 429), 429)
            assert (await ask(bastion, request(pod.path()))).status == 200
            assert (await guess(bastion, 0, "127.0.0.7")).status == 401

    with KubeApi(tmp_path / "api") as api:
        flags = (*limits, "--authentication-token-webhook-cache-ttl", "60s")
        with serving(Cluster(tmp_path), tmp_path, *flags, source=("--kubeconfig", api.kubeconfig)) as bastion:
            asyncio.run(main(api, bastion))


def test_re_050_a_storm_of_namespaces_reaches_the_api_server_at_its_rate(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Who waits for too long is told 503; the review of somebody else takes its turn."""
    (tmp_path / "api").mkdir()
    qps, burst, storm = 20, 10, 120

    async def main(api: KubeApi, bastion: Bastion) -> None:
        loop = asyncio.get_running_loop()
        began, before = loop.time(), api.calls["subjectaccessreviews"]
        paths = [f"/api/v1/namespaces/ns-{number}/services/web/proxy/" for number in range(storm)]
        statuses = {
            answer.status
            for answer in await asyncio.gather(*(ask(bastion, request(path, token=CAROL)) for path in paths))
        }
        reviews = api.calls["subjectaccessreviews"] - before
        assert statuses <= {403, 429, 503}
        assert reviews <= burst + qps * (loop.time() - began) + 1

    with KubeApi(tmp_path / "api") as api:
        flags = ("--kube-api-qps", qps, "--kube-api-burst", burst)
        with serving(Cluster(tmp_path), tmp_path, *flags, source=("--kubeconfig", api.kubeconfig)) as bastion:
            asyncio.run(main(api, bastion))


# --- bodies that drip


@pytest.mark.parametrize(
    ("rate", "status"),
    [(LEAST_RATE - 100, 408), (LEAST_RATE + 100, 200)],
    ids=["too slowly", "just fast enough"],
)
def test_re_006_a_body_may_be_slow_for_a_while_and_not_for_ever(rate: int, status: int) -> None:
    size = int(BODY_GRACE * 1.2) * rate

    async def talk() -> None:
        async with conversation(echo) as c:
            peer = await c.peer()
            await peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
            while peer.silent():
                await peer.send(b"x" * rate)
                await pass_time(1)
            assert (await peer.answer())[0] == status

    clocked(talk)
