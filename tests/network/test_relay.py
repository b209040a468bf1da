"""Two connections joined.

The ends are ordinary sockets on loopback; between them stands what the program puts there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from bastion.network.relay import CLOSE_SECONDS, Relay, Stream
from bastion.runtime.deadlines import Deadlines
from tests import fakes
from tests.fakes import ClockLoop, moment, pass_time, settle, until
from tests.tunnel.raw import PIECE, Before, End, connection

MIB = 1 << 20
IN_THE_KERNEL = 24 * MIB  # what the buffers of two connections may hold at the very most


def run(
    work: Coroutine[Any, Any, None], loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
) -> None:
    fakes.run(work, loop)


class Joined:
    """A relay, and the ends behind it."""

    def __init__(
        self, relay: Relay, client: End, backend: End, deadlines: Deadlines, lost: list[str]
    ) -> None:
        self.relay, self.client, self.backend = relay, client, backend
        self.deadlines, self.lost = deadlines, lost

    def ends(self, first: str) -> tuple[End, End]:
        """(the one named, the other one)."""
        return (self.client, self.backend) if first == "client" else (self.backend, self.client)

    async def over(self) -> str:
        """How it ended; both connections are gone, each was said so once, and nothing waits for anything."""
        reason = await self.relay.finished
        await until(lambda: len(self.lost) == 2)
        await settle()
        assert sorted(self.lost) == ["backend", "client"]
        assert len(self.deadlines) == 0
        return reason


@contextlib.asynccontextmanager
async def joined(
    *,
    early: tuple[bytes, bytes] = (b"", b""),
    idle: float = 3600.0,
    seen: Callable[[bytes], None] | None = None,
    small: bool = False,
    gone: str = "",
) -> AsyncIterator[Joined]:
    """`early`: what came of the client and of the backend before; `small`: the kernel holds little for the
    client; `gone`: who left.
    """
    loop = asyncio.get_running_loop()
    lost: list[str] = []
    async with Deadlines() as deadlines:
        with connection(small) as (client, near_client), connection(False) as (backend, near_backend):
            before = {}
            for name, near in (("client", near_client), ("backend", near_backend)):
                _, before[name] = await loop.create_connection(Before, sock=near)
                if name == gone:
                    before[name].transport.abort()
                    await until(lambda name=name: before[name].heard)  # type: ignore[misc]
            streams = [
                Stream(before[name].transport, data, lambda name=name: lost.append(name))  # type: ignore[misc]
                for name, data in zip(("client", "backend"), early, strict=True)
            ]
            relay = Relay(*streams, deadlines, idle, seen)  # type: ignore[arg-type, call-arg]
            try:
                yield Joined(relay, End(client), End(backend), deadlines, lost)
            finally:
                for side in (relay.client, relay.backend):
                    if not side.gone:
                        side.transport.abort()
                await settle()
            assert not [name for name, protocol in before.items() if protocol.heard and name != gone]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


SIZES = [1, 2, 1000, PIECE - 1, PIECE, PIECE + 1, MIB, 8 * MIB + 1]


@pytest.mark.parametrize("size", SIZES)
def test_bytes_arrive_as_they_were_sent_both_ways_at_once(size: int) -> None:
    async def main() -> None:
        there, back = noise(size), noise(size + 1)
        async with joined() as j:
            async with asyncio.TaskGroup() as group:
                group.create_task(j.client.send(there))
                group.create_task(j.backend.send(back))
                at_backend = group.create_task(j.backend.read(size))
                at_client = group.create_task(j.client.read(size + 1))
            assert at_backend.result() == there
            assert at_client.result() == back
            assert (j.relay.client.received, j.relay.backend.received) == (size, size + 1)
            j.client.end()
            j.backend.end()
            assert await j.over() == ""

    run(main())


@pytest.mark.parametrize("sizes", [(10, 20), (0, 10), (10, 0), (MIB, MIB)])
def test_what_came_early_arrives_first(sizes: tuple[int, int]) -> None:
    async def main() -> None:
        early = (noise(sizes[0]), noise(sizes[1]))
        async with joined(early=early) as j:
            await j.client.send(b"then")
            await j.backend.send(b"that")
            assert await j.backend.read(sizes[0] + 4) == early[0] + b"then"
            assert await j.client.read(sizes[1] + 4) == early[1] + b"that"
            assert (j.relay.client.received, j.relay.backend.received) == (sizes[0] + 4, sizes[1] + 4)

    run(main())


def test_what_comes_of_the_backend_is_seen_and_nothing_else() -> None:
    async def main() -> None:
        seen = bytearray()
        async with joined(early=(b"client", b"early"), seen=seen.extend) as j:
            await j.client.send(b"of the client")
            await j.backend.send(b", late")
            await j.client.read(11)
            assert seen == b"early, late"

    run(main())


# --- the end of one direction


@pytest.mark.parametrize("first", ["client", "backend"])
def test_one_ends_and_the_other_goes_on(first: str) -> None:
    async def main() -> None:
        async with joined() as j:
            ending, going = j.ends(first)
            await ending.send(b"the last of it")
            ending.end()
            assert await going.rest() == b"the last of it"
            assert not j.relay.finished.done()
            much = noise(4 * MIB)
            _, arrived = await asyncio.gather(going.send(much), ending.read(len(much)))
            assert arrived == much
            going.end()
            assert await ending.rest() == b""
            assert await j.over() == ""

    run(main())


@pytest.mark.parametrize("first", ["client", "backend"])
def test_the_end_comes_after_all_that_was_sent(first: str) -> None:
    """The other end reads only once everything was sent and ended: what is on its way must not be lost to the
    end of it.
    """

    async def main() -> None:
        much = noise(2 * MIB)
        async with joined() as j:
            ending, going = j.ends(first)
            sending = asyncio.create_task(ending.send(much))
            going.end()
            await asyncio.sleep(0.05)
            arrived = asyncio.create_task(going.rest())
            await sending
            ending.end()
            assert await arrived == much
            assert await j.over() == ""

    run(main())


def test_a_reader_that_is_slow_at_the_end_gets_all_of_it() -> None:
    """The last bytes are sent and both ended, but the client takes its time: longer than one that is thrown
    out is given.
    """

    async def main() -> None:
        much = noise(PIECE)
        async with joined(small=True) as j:
            await j.backend.send(much)
            j.backend.end()
            j.client.end()
            await until(j.relay.finished.done)
            assert j.relay.client.transport.get_write_buffer_size()
            for _ in range(4):
                await pass_time(CLOSE_SECONDS)
            assert await j.client.rest() == much
            assert await j.over() == ""

    run(main(), ClockLoop)


# --- how it ends


@pytest.mark.parametrize("who", ["client", "backend"])
def test_a_reset_ends_both(who: str) -> None:
    async def main() -> None:
        async with joined() as j:
            left, other = j.ends(who)
            await other.send(b"x")
            await left.read(1)
            left.reset()
            assert await other.rest() == b""
            assert await j.over() == f"the {who} reset the connection"

    run(main())


@pytest.mark.parametrize("who", ["client", "backend"])
def test_a_reset_is_noticed_although_the_other_one_does_not_read(who: str) -> None:
    async def main() -> None:
        async with joined() as j:
            left, _ = j.ends(who)
            pouring = asyncio.create_task(left.pour())
            await settled(lambda: j.relay.client.received + j.relay.backend.received)
            pouring.cancel()
            await settle()
            left.reset()
            for _ in range(10):
                await pass_time(1)
            assert j.relay.finished.done(), "nobody looked for ten seconds"
            for _ in range(10):
                await pass_time(60)
            assert await j.over() == f"the {who} reset the connection"

    run(main(), ClockLoop)


def test_told_to_end_both_are_closed_and_the_client_is_told_why() -> None:
    async def main() -> None:
        async with joined() as j:
            await j.backend.send(b"some")
            assert await j.client.read(4) == b"some"
            j.relay.end("for a reason", b"farewell")
            j.relay.end("for another", b"again")
            assert await j.client.rest() == b"farewell"
            assert await j.backend.rest() == b""
            assert await j.over() == "for a reason"

    run(main())


@pytest.mark.parametrize("farewell", [b"", b"farewell"], ids=["quietly", "with a farewell"])
@pytest.mark.parametrize("ended", ["client", "backend"])
def test_told_to_end_when_one_direction_has_ended_already(ended: str, farewell: bytes) -> None:
    async def main() -> None:
        async with joined() as j:
            ending, other = j.ends(ended)
            ending.end()
            assert await other.rest() == b""
            j.relay.end("for a reason", farewell)
            assert await j.over() == "for a reason"
            assert await j.client.rest() == (farewell if ended == "client" else b"")

    run(main())


def test_told_to_end_whoever_does_not_read_is_not_waited_for() -> None:
    async def main() -> None:
        async with joined(small=True) as j:
            pouring = asyncio.create_task(j.backend.pour())
            await settled(lambda: j.relay.backend.received)
            j.relay.end("for a reason", b"farewell")
            await pass_time(CLOSE_SECONDS + 1)
            assert await j.over() == "for a reason"
            pouring.cancel()

    run(main(), ClockLoop)


@pytest.mark.parametrize("gone", ["client", "backend"])
def test_a_connection_that_was_lost_before_leaves_nothing_behind(gone: str) -> None:
    """Its own protocol heard that it is gone, and nobody will say it again."""

    async def main() -> None:
        async with joined(gone=gone) as j:
            assert await j.relay.finished == ""
            for _ in range(10):
                await pass_time(60)
            assert len(j.deadlines) == 0

    run(main(), ClockLoop)


# --- idleness


def test_without_a_byte_it_ends() -> None:
    async def main() -> None:
        async with joined(idle=100.0) as j:
            await pass_time(99)
            assert not j.relay.finished.done()
            await pass_time(102)
            assert await j.over() == "idle"

    run(main(), ClockLoop)


@pytest.mark.parametrize("who", ["client", "backend"])
def test_with_a_byte_now_and_then_it_does_not(who: str) -> None:
    async def main() -> None:
        async with joined(idle=100.0) as j:
            sender, receiver = j.ends(who)
            for _ in range(20):
                await pass_time(90)
                await sender.send(b".")
                await receiver.read(1)
            assert not j.relay.finished.done()
            await pass_time(101)
            await pass_time(101)
            assert await j.over() == "idle"

    run(main(), ClockLoop)


def test_an_idle_timeout_of_0_is_none() -> None:
    async def main() -> None:
        async with joined(idle=0.0) as j:
            await pass_time(1e9)
            await j.client.send(b".")
            assert await j.backend.read(1) == b"."

    run(main(), ClockLoop)


# --- as fast as the slower reads


async def settled(count: Callable[[], int]) -> int:
    """What is counted once it does not grow any more."""
    seen, last = 0, -1
    while seen < 20:
        seen = seen + 1 if count() == last else 0
        last = count()
        await moment(0.01)
    return last


@pytest.mark.parametrize("stalled", ["client", "backend"])
def test_a_stalled_reader_stops_the_writer_and_little_is_held(stalled: str) -> None:
    async def main() -> None:
        async with joined() as j:
            reader, writer = j.ends(stalled)
            inside = j.relay.client if stalled == "client" else j.relay.backend
            pouring = asyncio.create_task(writer.pour())
            assert 0 < await settled(lambda: inside.other.received) < IN_THE_KERNEL
            assert 0 < inside.transport.get_write_buffer_size() <= MIB
            await reader.send(b"still here")  # the other direction is not held up by it
            assert await writer.read(10) == b"still here"
            before = inside.other.received
            await reader.read(32 * MIB)  # and once it reads, all goes on
            assert inside.other.received > before
            pouring.cancel()

    run(main())
