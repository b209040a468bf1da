"""Nobody is waited for for ever, whichever side it is.  What ends, and how; not when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.e2e.harness import PATIENCE, Bastion, Cluster, serving
from tests.e2e.wire import GONE, Visit, assert_status, backend, client, request

Wait = Callable[[Bastion], Awaitable[None]]

FLAGS = (
    "request-header",
    "keep-alive",
    "request-body-idle",
    "response-stall",
    "connect",
    "response-header",
    "response-idle",
)


@pytest.fixture(scope="module")
def impatient(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """Every wait is a second at most."""
    flags = [word for name in FLAGS for word in (f"--{name}-timeout", "1s")]
    with serving(cluster, tmp_path_factory.mktemp("impatient"), *flags) as running:
        yield running


async def nobody_asks(bastion: Bastion) -> None:
    async with client(bastion) as wire:
        assert await wire.ended() == b""


async def half_a_head(bastion: Bastion) -> None:
    async with client(bastion) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHo")
        assert_status(await wire.answer(), 408, "Timeout")
        assert await wire.ended() == b""


async def nobody_asks_again(bastion: Bastion) -> None:
    async with client(bastion) as wire:
        await wire.send(request("/version"))
        assert (await wire.answer()).status == 200
        assert await wire.ended() == b""


async def half_a_body(bastion: Bastion) -> None:
    pod, freed = bastion.cluster.pod(), asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.head()
        await visit.ended()
        freed.set()

    async with backend(pod.address, serve), client(bastion) as wire:
        await wire.send(request(pod.path(), "Content-Length: 10", method="POST"), b"half!")
        assert_status(await wire.answer(), 408, "Timeout")
        await freed.wait()


async def half_a_body_under_an_answer(bastion: Bastion) -> None:
    """Whether the deadline holds here too or not: what the client sends after it arrives, or the connection
    is at its end.
    """
    pod = bastion.cluster.pod()

    async def serve(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        # so that it is not the answer that is waited for
        talking = asyncio.ensure_future(_keep_talking(visit))
        try:
            async for chunk in visit.chunks():
                await visit.send_chunk(chunk)
        finally:
            talking.cancel()

    async with backend(pod.address, serve), client(bastion) as wire:
        await wire.send(request(pod.path(), "Transfer-Encoding: chunked", method="POST"), b"5\r\nfirst\r\n")
        assert (await wire.head()).status == 200
        talked = 0
        try:
            while talked < 12:
                talked += (await wire.chunk()).count(b".")
            await wire.send(b"6\r\nsecond\r\n")
            while b"second" not in await wire.chunk():
                talked += 1
                assert talked < 20, "what was sent is lost, and nobody is told"
        except GONE:
            pass


async def _keep_talking(visit: Visit) -> None:
    while True:
        await visit.send_chunk(b".")
        await asyncio.sleep(0.2)


async def no_answer(bastion: Bastion) -> None:
    pod, freed = bastion.cluster.pod(), asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.message()
        await visit.ended()
        freed.set()

    async with backend(pod.address, serve), client(bastion) as wire:
        await wire.send(request(pod.path(), method="POST", body=b"whole"))
        assert_status(await wire.answer(), 504, "Timeout")
        await freed.wait()


async def half_an_answer(bastion: Bastion) -> None:
    pod, freed = bastion.cluster.pod(), asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.message()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!")
        await visit.ended()
        freed.set()

    async with backend(pod.address, serve), client(bastion) as wire:
        await wire.send(request(pod.path()))
        await wire.head()
        assert await wire.ended() == b"half!"
        await freed.wait()


async def nobody_reads(bastion: Bastion) -> None:
    pod, freed = bastion.cluster.pod(), asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.message()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        try:
            while True:
                await visit.send(bytes(1 << 16))
        finally:
            freed.set()

    async with backend(pod.address, serve), client(bastion) as wire:
        await wire.send(request(pod.path()))
        await wire.head()
        await freed.wait()


async def no_tls(bastion: Bastion) -> None:
    """A backend that takes a connection and says nothing in the handshake."""
    pod, freed = bastion.cluster.pod(), asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.ended()
        freed.set()

    async with backend(pod.address, serve), client(bastion) as wire:
        await wire.send(request(pod.path(scheme="https")))
        answer = await wire.answer()
        assert_status(answer, 503, "ServiceUnavailable")
        assert "timed out after 1 s" in answer.json()["message"]
        await freed.wait()


WAITS = (
    nobody_asks,
    half_a_head,
    nobody_asks_again,
    half_a_body,
    half_a_body_under_an_answer,
    no_answer,
    half_an_answer,
    nobody_reads,
    no_tls,
)


@pytest.fixture(scope="module")
def outcomes(impatient: Bastion) -> dict[Wait, object]:
    """They wait together, so that all of them last as long as one."""

    async def bounded(wait: Wait) -> None:
        async with asyncio.timeout(PATIENCE):
            await wait(impatient)

    async def together() -> list[object]:
        return list(await asyncio.gather(*map(bounded, WAITS), return_exceptions=True))

    return dict(zip(WAITS, asyncio.run(together()), strict=True))


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__)
def test_every_wait_has_an_end(outcomes: dict[Wait, object], wait: Wait) -> None:
    outcome = outcomes[wait]
    if isinstance(outcome, BaseException):
        raise outcome


def test_an_answer_that_keeps_coming_takes_as_long_as_it_takes(impatient: Bastion) -> None:
    pod = impatient.cluster.pod()

    async def serve(visit: Visit) -> None:
        await visit.message()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(12):
            await visit.send(b"data: x\n\n")
            await asyncio.sleep(0.2)

    async def main() -> None:
        async with backend(pod.address, serve), client(impatient) as wire:
            await wire.send(request(pod.path()))
            await wire.head()
            assert len([chunk async for chunk in wire.chunks()]) == 12

    asyncio.run(main())
