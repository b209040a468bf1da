"""How long a stream may live: idle, at all, and after the bastion was told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from bastion.server.run import Endings
from tests.e2e.harness import BOB, Bastion, Cluster, Place, serving
from tests.e2e.wire import Visit, ask, backend, client, request
from tests.fakes import until
from tests.tunnel.ends import (
    SPDY,
    WEBSOCKET,
    Upgraded,
    accepting,
    closing,
    echo,
    quiet,
    silent,
    switch,
    tunnel,
)
from tests.tunnel.inside import inside

GOING_AWAY = closing(1001)
IDLE, LONGEST, DRAIN = 0.7, 2.5, 1.0
SLACK = 2.0  # what stopping may take beyond the larger budget


async def ended(bastion: Bastion, stream: Upgraded) -> tuple[str, float]:
    """(why, after how many seconds)."""
    line = await asyncio.to_thread(bastion.line, stream.audit_id)
    return line.get("outcome", ""), line["seconds"]


@pytest.fixture(scope="module")
def short(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    flags = ("--stream-idle-timeout", f"{IDLE:g}s", "--stream-max-duration", f"{LONGEST:g}s")
    with serving(cluster, tmp_path_factory.mktemp("short"), *flags) as running:
        yield running


def test_without_a_byte_a_stream_ends(short: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with (
            backend(pod.address, accepting(silent)),
            tunnel(short, pod.path()) as stream,
            tunnel(short, pod.path(), SPDY, plain=True) as other,
        ):
            assert (await quiet(stream), await quiet(other)) == (b"", b"")
            for one in (stream, other):
                why, seconds = await ended(short, one)
                assert why == "idle"
                assert IDLE <= seconds < LONGEST

    asyncio.run(main())


def test_however_busy_it_is_a_stream_ends_after_its_longest_duration(short: Bastion, pod: Place) -> None:
    async def main() -> None:
        async def chat(stream: Upgraded) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, AssertionError):
                while True:
                    await stream.echoes()
                    await asyncio.sleep(IDLE / 5)

        async def speak(visit: Visit) -> None:
            """A byte of one direction is enough."""
            while True:
                await visit.send(b"\x89\x00")
                await asyncio.sleep(IDLE / 5)

        async with (
            backend(pod.address, accepting(echo)),
            backend(pod.address, accepting(speak), port=8443),
            tunnel(short, pod.path()) as stream,
            tunnel(short, pod.path(port=8443, scheme="http")) as listening,
        ):
            chatting = asyncio.create_task(chat(stream))
            heard = await quiet(listening)
            assert heard.endswith(GOING_AWAY)
            assert len(heard) > 2 * LONGEST / IDLE
            await chatting
            for one in (stream, listening):
                why, seconds = await ended(short, one)
                assert why == "the longest duration of a stream is over"
                assert seconds >= LONGEST

    asyncio.run(main())


def test_a_user_has_so_many_streams_and_others_have_theirs(cluster: Cluster, pod: Place) -> None:
    async def main() -> None:
        path = f"/api/v1/namespaces/default/services/{pod.name}/proxy/"
        async with (
            inside(cluster, "--max-tunnels-per-user", "2") as bastion,
            backend(pod.address, accepting(echo)),
            tunnel(bastion.there, pod.path()) as first,
        ):
            async with tunnel(bastion.there, pod.path(), SPDY) as second:
                refused = await ask(bastion.there, request(pod.path(), *WEBSOCKET))
                assert (refused.status, refused.json()["reason"]) == (429, "TooManyRequests")
                # no place is what he lacks
                assert (await ask(bastion.there, request(pod.path(), *WEBSOCKET, token=BOB))).status == 403
                # what is no stream has places of its own
                assert (await ask(bastion.there, request(path))).status == 404
                await first.echoes()
                await second.echoes()
            await until(lambda: bastion.held()["hijacked"] == 1)
            async with tunnel(bastion.there, pod.path()) as third:
                await third.echoes()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


# --- told to stop


def test_streams_get_a_time_of_their_own_and_exchanges_theirs(
    cluster: Cluster, pod: Place, tmp_path: Path
) -> None:
    """Among the streams are one whose client does not read and one whose backend has ended its direction."""

    async def main() -> None:
        answer, asked = asyncio.Event(), asyncio.Event()

        async def flood(visit: Visit) -> None:
            while True:
                await visit.send(bytes(65536))

        async def serve(visit: Visit) -> None:
            head = await visit.head()
            if not head.all("Upgrade"):
                asked.set()
                await answer.wait()
                await visit.answer(b"x" * 100_000)
                return
            await visit.send(switch(head.head))
            match head.one("X-Do"):
                case "flood":
                    await flood(visit)
                case "end":
                    visit.writer.write_eof()
                    await visit.ended()
                case _:
                    await echo(visit)

        async with (
            backend(pod.address, serve),
            client(bastion) as slow,
            tunnel(bastion, pod.path()) as stream,
            tunnel(bastion, pod.path(), SPDY, plain=True) as raw,
            tunnel(bastion, pod.path(), (*WEBSOCKET, "X-Do: end"), plain=True) as half,
            tunnel(bastion, pod.path(), (*WEBSOCKET, "X-Do: flood")) as stalled,
        ):
            stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
            assert await quiet(half) == b""
            await slow.send(request(pod.path("/slow")))
            await asked.wait()
            bastion.program.signal(signal.SIGTERM)
            told = time.monotonic()
            await refuses(bastion)
            await stream.echoes()
            await raw.echoes()
            assert await quiet(stream) == GOING_AWAY
            assert await quiet(raw) == b""
            assert time.monotonic() - told >= DRAIN - 0.05  # the signal is noticed before `told`
            for one in (stream, raw, half, stalled):
                why, _ = await ended(bastion, one)
                assert why == "the bastion is stopping"
            answer.set()  # the exchange has all its time
            assert (await slow.answer()).body == b"x" * 100_000
            assert await asyncio.wait_for(asyncio.to_thread(bastion.program.wait), 30 + SLACK) == 0

    with serving(cluster, tmp_path, "--stream-drain", f"{DRAIN * 1000:.0f}ms") as bastion:
        asyncio.run(main())


async def refuses(bastion: Bastion) -> None:
    """Returns when it takes no more connections."""
    with contextlib.suppress(ConnectionError):
        while True:
            async with client(bastion, plain=True):
                await asyncio.sleep(0.01)


def test_streams_that_end_by_themselves_are_not_waited_for(
    cluster: Cluster, pod: Place, tmp_path: Path
) -> None:
    async def main() -> None:
        async with backend(pod.address, accepting(echo)):
            async with (
                tunnel(bastion, pod.path()) as stream,
                tunnel(bastion, pod.path(), plain=True) as other,
            ):
                bastion.program.signal(signal.SIGTERM)
                await refuses(bastion)
                await stream.echoes()
                await other.echoes()
            # 60 s were allowed
            assert await asyncio.wait_for(asyncio.to_thread(bastion.program.wait), 15) == 0

    with serving(cluster, tmp_path) as bastion:
        asyncio.run(main())


def test_exchanges_that_take_too_long_leave_the_streams_alone(cluster: Cluster, pod: Place) -> None:
    """And those in turn end after their own time."""

    async def main() -> None:
        async def serve(visit: Visit) -> None:
            head = await visit.head()
            if head.all("Upgrade"):
                await visit.send(switch(head.head))
                await echo(visit)
            else:
                came.set()
                await visit.ended()

        came = asyncio.Event()
        async with (
            inside(cluster, endings=Endings(exchanges=0.5, tunnels=1.5)) as bastion,
            backend(pod.address, serve),
            client(bastion.there) as slow,
            tunnel(bastion.there, pod.path()) as stream,
        ):
            await slow.send(request(pod.path("/slow")))
            await came.wait()
            began = time.monotonic()
            stopping = asyncio.create_task(bastion.stop())
            assert await quiet(slow) == b""
            assert time.monotonic() - began >= 0.5
            await stream.echoes()
            assert await quiet(stream) == GOING_AWAY
            assert time.monotonic() - began >= 1.5
            await asyncio.wait_for(stopping, SLACK)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
