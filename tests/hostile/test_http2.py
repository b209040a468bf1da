"""Floods over HTTP/2: the connection that they come over is ended, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ALICE, PORT, Bastion, Place
from tests.http2 import frames as f
from tests.http2.client import Client, client

PATIENCE = 5.0  # seconds for another client's request
MOST_MEMORY = 64 << 20  # bytes gained

Attack = Callable[[Client, f.Pairs], Coroutine[Any, Any, None]]


async def _until_ended(one: Client, frames: Callable[[int], bytes], times: int) -> None:
    for number in range(times):
        if one.closed.is_set() or one.reader.goaways:
            return
        await one.say(frames(number))


async def rapid_reset(one: Client, fields: f.Pairs) -> None:
    await _until_ended(one, lambda n: f.headers(2 * n + 1, fields) + f.reset(2 * n + 1), 5000)


async def rapid_reset_of_uploads(one: Client, fields: f.Pairs) -> None:
    await _until_ended(one, lambda n: f.headers(2 * n + 1, fields, end=False) + f.reset(2 * n + 1), 5000)


async def provoked_reset(one: Client, fields: f.Pairs) -> None:
    await _until_ended(one, lambda n: f.headers(2 * n + 1, fields) + f.data(2 * n + 1, b"x"), 5000)


async def continuation(one: Client, fields: f.Pairs) -> None:
    await one.say(f.frame(f.HEADERS, 0, 1, f.block(fields)))
    await _until_ended(one, lambda n: f.frame(f.CONTINUATION, 0, 1, f.block([("x", "v" * 1000)])), 5000)


async def settings(one: Client, fields: f.Pairs) -> None:
    await _until_ended(one, lambda n: f.settings(table=n % 2 * 4096) * 50, 400)


async def pings(one: Client, fields: f.Pairs) -> None:
    await _until_ended(one, lambda n: f.frame(f.PING, 0, 0, bytes(8)) * 50, 400)


async def empty_data(one: Client, fields: f.Pairs) -> None:
    await one.say(f.headers(1, fields, end=False))
    await _until_ended(one, lambda n: f.data(1, b"") * 50, 400)


FLOODS: dict[str, Attack] = {
    "rapid reset": rapid_reset,
    "rapid reset of uploads": rapid_reset_of_uploads,
    "provoked reset": provoked_reset,
    "continuation": continuation,
    "settings": settings,
    "pings": pings,
    "empty data": empty_data,
}


@contextlib.asynccontextmanager
async def backend(address: str) -> AsyncIterator[None]:
    """Large responses under /much, nothing at all elsewhere."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/much" in head.partition(b"\r\n")[0]:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (10 << 20))
                for _ in range(160):
                    writer.write(bytes(65536))
                    await writer.drain()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, address, PORT)
    try:
        yield
    finally:
        server.close()


async def _others(bastion: Bastion, over: asyncio.Event) -> float:
    """The longest that one of another client's requests took, in seconds."""
    worst = 0.0
    while not over.is_set():
        began = time.monotonic()
        async with client(bastion.port) as one:
            fields = [(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/livez")]
            assert (await one.ask(fields)).status == 200
        worst = max(worst, time.monotonic() - began)
    return worst


def _asked(path: str) -> f.Pairs:
    pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", path)]
    return [*pseudo, ("authorization", f"Bearer {ALICE}")]


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_its_connection_and_nobody_else_waits(bastion: Bastion, pod: Place, flood: str) -> None:
    async def main() -> None:
        over = asyncio.Event()
        async with backend(pod.address):
            others = asyncio.ensure_future(_others(bastion, over))
            async with client(bastion.port) as one:
                await FLOODS[flood](one, _asked(pod.path("/")))
                await one.until(lambda: one.reader.goaways)
                assert one.closed.is_set() or one.reader.goaways
            over.set()
            assert await others < PATIENCE

    asyncio.run(main())


def test_windows_of_nothing_cost_no_memory(bastion: Bastion, pod: Place) -> None:
    """CVE-2019-9517: responses are wanted, and not a byte of them is taken."""

    async def main() -> None:
        before = _resident(bastion)
        async with backend(pod.address), client(bastion.port) as one:
            await one.say(f.settings(initial_window=0))
            fields = [(":method", "GET"), *list(_asked(pod.path("/much")))[1:]]
            for _ in range(40):
                await one.say(f.headers(one.stream(), fields))
            await one.until(lambda: sum(bool(a.status) for a in one.reader.answers.values()) == 40)
            await asyncio.sleep(0.3)
            assert _resident(bastion) - before < MOST_MEMORY

    asyncio.run(main())


def _resident(bastion: Bastion) -> int:
    pages = int(Path(f"/proc/{bastion.program.process.pid}/statm").read_text().split()[1])
    return pages * 4096
