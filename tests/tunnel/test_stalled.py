"""A reader that does not read stops whoever writes to it, and costs the bastion little."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.e2e.harness import Bastion, Place
from tests.e2e.wire import Client, Visit, Wire, backend
from tests.tunnel.ends import accepting, place, tunnel
from tests.tunnel.processes import resident

MIB = 1 << 20
PIECE = bytes(1 << 16)
STALLED = 3
# what the buffers of two connections, and of the streams at the ends, may hold at the very most
IN_THE_KERNEL = 24 * MIB


class Meter:
    """Counts what the other side took."""

    def __init__(self) -> None:
        self.taken = 0

    async def pour(self, wire: Wire) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await wire.send(PIECE)
                self.taken += len(PIECE)


async def settled(meters: list[Meter]) -> int:
    """What was taken in all, once hardly more is: the kernel finds a little room for a long time."""
    before = -1
    while (total := sum(meter.taken for meter in meters)) > before:
        before = total + len(meters) * len(PIECE)
        await asyncio.sleep(0.3)
    return total


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("stalled", ["client", "backend"])
def test_a_stalled_reader_stops_the_writer_and_little_is_held_for_it(
    bastion: Bastion, pod: Place, tls: bool, stalled: str
) -> None:
    async def main() -> None:
        meters = [Meter() for _ in range(STALLED)]
        visits: asyncio.Queue[Visit] = asyncio.Queue()
        done = asyncio.Event()

        async def serve(visit: Visit) -> None:
            visits.put_nowait(visit)
            await done.wait()

        path, where = place(pod, bastion, tls)
        async with backend(pod.address, accepting(serve), **where), contextlib.AsyncExitStack() as open_:
            pairs: list[tuple[Client, Visit]] = []
            for _ in range(STALLED):
                wire = await open_.enter_async_context(tunnel(bastion, path, plain=not tls, small=True))
                pairs.append((wire, await visits.get()))
            before = resident(bastion)
            writers: list[Wire] = [visit if stalled == "client" else wire for wire, visit in pairs]
            readers: list[Wire] = [wire if stalled == "client" else visit for wire, visit in pairs]
            for reader in readers:
                reader.writer.transport.pause_reading()  # type: ignore[attr-defined]
            pouring = [
                asyncio.create_task(meter.pour(wire)) for meter, wire in zip(meters, writers, strict=True)
            ]
            taken = await settled(meters)
            assert 0 < taken < STALLED * IN_THE_KERNEL
            grown = resident(bastion) - before
            assert grown <= STALLED * MIB, f"{grown / STALLED / MIB:.2f} MiB for each stalled reader"
            # The other direction is not held up, and once a reader reads, its writer goes on.
            await readers[0].send(b"still here")
            assert await writers[0].reader.readexactly(10) == b"still here"
            readers[0].writer.transport.resume_reading()  # type: ignore[attr-defined]
            before_reading = meters[0].taken
            while meters[0].taken == before_reading:
                assert await readers[0].reader.read(1 << 18)
            for task in pouring:
                task.cancel()
            done.set()

    asyncio.run(main())
