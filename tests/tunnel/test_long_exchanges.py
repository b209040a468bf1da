"""Exchanges that last as long as streams are held to the same: asked about again, limited, ended with their
pods, drained.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest
import uvloop

from bastion.server.run import Endings
from tests.e2e.harness import ALICE, Bastion, Cluster, Place
from tests.e2e.wire import Client, Message, Visit, assert_status, backend, client, request
from tests.tunnel.ends import WEBSOCKET, quiet
from tests.tunnel.inside import inside
from tests.tunnel.processes import eventually, gauges
from tests.tunnel.world import Stage, running

INTERVAL = 0.3
REVOKED, POD_GONE, STOPPING = "access revoked", "the pod is gone", "the bastion is stopping"
MANY = 40


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        context = running(
            tmp_path_factory.mktemp("world"), "--stream-recheck-interval", f"{INTERVAL * 1000:.0f}ms"
        )
        world, bastion = runner.run(context.__aenter__())
        yield Stage(world, bastion, runner)
        runner.run(context.__aexit__(None, None, None))


# --- the kinds of them


async def events(
    visit: Visit,
    *,
    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
) -> None:
    await visit.send(head)
    while True:
        await visit.send_chunk(b"data: tick\n\n")
        await asyncio.sleep(0.05)


async def download(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await visit.send(b"x" * 100)
        await asyncio.sleep(0.05)


async def hear(visit: Visit) -> None:
    await visit.ended()


@dataclass(frozen=True)
class Kind:
    """`begun`: an answer has begun; `sends`: the client does not stop sending a body."""

    serve: Callable[[Visit], Awaitable[None]]
    begun: bool = True
    sends: bool = False
    lines: tuple[str, ...] = ()


KINDS = {
    "an event stream": Kind(events),
    "a slow download": Kind(download),
    "a slow upload": Kind(hear, begun=False, sends=True),
    "an answer that is waited for": Kind(hear, begun=False),
    "both ways": Kind(events, sends=True),
    "an upgrade that was refused at length": Kind(events, lines=WEBSOCKET),
    "an upgrade that is waited for": Kind(hear, begun=False, lines=WEBSOCKET),
}


@contextlib.asynccontextmanager
async def under_way(
    bastion: Bastion, pod: Place, kind: Kind, token: str, gone: asyncio.Event, *, plain: bool = False
) -> AsyncIterator[Client]:
    """Its backend is asked, and the client has what comes first; `gone` is set once the backend sees the
    end.
    """
    came = asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.head()
        came.set()
        try:
            await kind.serve(visit)
        finally:
            gone.set()

    async def pour(wire: Client) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await wire.send(b"4\r\nmore\r\n")
                await asyncio.sleep(0.05)

    async with backend(pod.address, serve), client(bastion, plain=plain) as wire:
        body = ("Transfer-Encoding: chunked",) if kind.sends else ()
        await wire.send(
            request(pod.path(), *kind.lines, *body, method="POST" if kind.sends else "GET", token=token)
        )
        pouring = asyncio.create_task(pour(wire)) if kind.sends else None
        await came.wait()
        yield wire
        if pouring is not None:
            pouring.cancel()


async def told(wire: Client, kind: Kind) -> Message:
    """How the client hears of the end: a Status, or an answer without its own."""
    head = await asyncio.wait_for(wire.head(), 20)
    if not kind.begun:
        return Message(head.start, head.fields, head.head, await wire.body(head))
    body = await quiet(wire)
    if head.one("Transfer-Encoding"):
        assert body.endswith(b"\r\n")
        assert not body.endswith(b"0\r\n\r\n")
    else:
        assert len(body) < 1_000_000
    return head


# --- what ends them


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "tls"])
def test_all_kinds_end_when_the_right_is_taken_away(stage: Stage, plain: bool) -> None:
    async def one(kind: Kind) -> None:
        tenant, gone = stage.world.tenant(), asyncio.Event()
        async with under_way(stage.bastion, tenant.pod, kind, tenant.token, gone, plain=plain) as wire:
            await asyncio.sleep(3 * INTERVAL)
            assert not gone.is_set(), "it is allowed"
            stage.world.revoke(tenant)
            answer = await told(wire, kind)
            if not kind.begun:
                assert_status(answer, 403, "Forbidden")
            await asyncio.wait_for(gone.wait(), 20)
            line = await asyncio.to_thread(stage.bastion.line, answer.one("Audit-Id"))
            assert (line["outcome"], line["code"]) == (REVOKED, 200 if kind.begun else 403), kind

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for kind in KINDS.values():
                group.create_task(one(kind))

    stage.run(main())


def test_it_ends_with_its_pod(stage: Stage) -> None:
    async def main() -> None:
        tenant, gone, kind = stage.world.tenant(), asyncio.Event(), KINDS["an event stream"]
        async with under_way(stage.bastion, tenant.pod, kind, tenant.token, gone) as wire:
            await eventually(lambda: gauges(stage.bastion)["streams"] == 1)
            stage.world.delete_pod(tenant)
            answer = await told(wire, kind)
            line = await asyncio.to_thread(stage.bastion.line, answer.one("Audit-Id"))
            assert line["outcome"] == POD_GONE

    stage.run(main())


def test_many_of_one_user_are_asked_about_as_one(stage: Stage) -> None:
    async def main() -> None:
        tenant = stage.world.tenant()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await events(visit)

        async with backend(tenant.pod.address, serve), contextlib.AsyncExitStack() as stack:
            wires = [await stack.enter_async_context(client(stage.bastion, plain=True)) for _ in range(MANY)]
            for wire in wires:
                await wire.send(request(tenant.pod.path(), token=tenant.token))
                assert (await wire.head()).status == 200
            await asyncio.sleep(2 * INTERVAL)
            before, began = stage.world.calls(), time.monotonic()
            await asyncio.sleep(4 * INTERVAL)
            # Two questions (who, and whether) each time, whatever other tests left behind aside.
            assert 0 < stage.world.calls() - before <= 3 * (time.monotonic() - began) / (0.9 * INTERVAL) + 4
            stage.world.revoke(tenant)
            await asyncio.gather(*map(quiet, wires))

    stage.run(main())


def test_those_that_last_have_the_time_of_streams_when_the_bastion_stops(
    cluster: Cluster, pod: Place
) -> None:
    async def main() -> None:
        flags = ("--stream-recheck-interval", f"{INTERVAL * 1000:.0f}ms")
        kind, gone = KINDS["an event stream"], asyncio.Event()
        async with (
            inside(cluster, *flags, endings=Endings(exchanges=0.3, tunnels=1.2)) as bastion,
            under_way(bastion.there, pod, kind, ALICE, gone) as wire,
        ):
            await asyncio.sleep(INTERVAL + 0.7)
            began = time.monotonic()
            stopping = asyncio.create_task(bastion.stop())
            await told(wire, kind)
            assert 1.2 <= time.monotonic() - began < 3
            await asyncio.wait_for(stopping, 4)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
