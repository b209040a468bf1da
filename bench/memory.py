"""How much memory does a bastion take, and does it stay at that whatever passes through?"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from bench import streams, wrk
from bench.client import await_answer
from bench.fixture import Service, web_services
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import Program
from bench.proxies import bastion, nginx
from bench.report import say
from bench.tunnels import backend

PARTS = ("requests", "upload", "download")
TARGETS = {
    "idle": Target("memory when idle", 110, " MiB"),
    "requests": Target("memory gained over 200 000 requests", 5, " MiB"),
    "upload": Target("memory gained at most during an upload of 1 GiB", 5, " MiB"),
    "download": Target("memory gained at most during a download of 1 GiB, slowly read", 5, " MiB"),
}

WARM_UP, REQUESTS = 20_000, 200_000
CONNECTIONS = 32
LONGEST_LOAD = 180  # seconds
GIB = 1 << 30
PIECE = 1 << 18
SLOW = 64 << 20  # bytes a second
STALL = 2.0  # seconds at the start of a download in which nothing is read
LONGEST_TRANSFER = 120.0  # seconds
LOOK_EVERY = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class MemorySetup:
    ground: Ground
    program: Program
    port: int
    web: Service
    sink: Service


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    setup = _setup(ground)
    outcome = Outcome()
    idle = setup.program.rss_mib
    outcome.judge(TARGETS["idle"], idle)
    _load(setup, WARM_UP)
    base = setup.program.rss_mib
    say(f"idle      {idle:7.1f} MiB", f"warmed up {base:7.1f} MiB after {WARM_UP} requests")
    outcome.figures = {"idle_mib": idle, "warm_mib": base}
    for part in (part for part in PARTS if part in parts):
        try:
            peak = (
                _requests(setup, outcome)
                if part == "requests"
                else streams.run(_peak(setup, _TRANSFERS[part](setup)))
            )
        except (streams.BrokenResponse, OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            outcome.failures.append(f"{part}: {error!r}")
            continue
        after = setup.program.rss_mib
        say(f"{part:9} {peak:7.1f} MiB at most, {after:.1f} after")
        outcome.figures[part] = {"peak_mib": peak, "after_mib": after}
        outcome.judge(TARGETS[part], peak - base)
    return outcome


def _setup(ground: Ground) -> MemorySetup:
    web = web_services(ground.network, 1)[0]
    sink = Service("sink", (f"{ground.network}.200",))
    ground.processes.start("backend", nginx.backend(ground, [web]), ground.load_core)
    ground.processes.start("sink", backend.command(sink), ground.load_core)
    port = free_port()
    program = ground.processes.start(
        "bastion", bastion.over_manifests(ground, port, [web, sink]), ground.proxy_core
    )
    await_answer(ground, program, port, web, nginx.GREETING.encode())
    return MemorySetup(ground, program, port, web, sink)


# --- requests


def _requests(setup: MemorySetup, outcome: Outcome) -> float:
    """The memory at the end: here it is what stays that counts."""
    failed = _load(setup, REQUESTS)
    if failed:
        outcome.failures.append(f"requests: {failed} failed")
    return setup.program.rss_mib


def _load(setup: MemorySetup, requests: int) -> int:
    """At least so many requests; how many of them failed.  Raises LoadFailed."""
    url = f"https://127.0.0.1:{setup.port}{setup.web.prefix}/"
    script = wrk.gets(setup.ground.users[0])
    done = failed = 0
    deadline = time.monotonic() + LONGEST_LOAD
    while done < requests:
        if time.monotonic() > deadline:
            raise wrk.LoadFailed(f"only {done} of {requests} requests were answered in {LONGEST_LOAD} s")
        load = wrk.run(setup.ground, url, CONNECTIONS, setup.ground.seconds, script)
        done, failed = done + load.requests, failed + load.failed
    return failed


# --- transfers


async def _peak(setup: MemorySetup, transfer: Coroutine[Any, Any, None]) -> float:
    """The most memory seen while it lasts, in MiB."""
    async with _watched(setup.program) as seen:
        await asyncio.wait_for(transfer, LONGEST_TRANSFER)
    return max(seen)


@contextlib.asynccontextmanager
async def _watched(program: Program) -> AsyncIterator[list[float]]:
    seen = [program.rss_mib]

    async def watch() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            seen.append(program.rss_mib)

    task = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        task.cancel()


async def _upload(setup: MemorySetup) -> None:
    connection = await streams.connect(setup.ground, setup.port)
    try:
        connection.ask("POST", f"{setup.sink.prefix}/upload", setup.ground.users[0], GIB)
        piece = bytes(PIECE)
        for _ in range(GIB // PIECE):
            connection.writer.write(piece)
            await connection.writer.drain()
        received = await connection.reader.readexactly(await connection.answered())
    finally:
        connection.close()
    if int(received) != GIB:
        raise streams.BrokenResponse(f"the backend received {int(received)} of {GIB} bytes")


async def _download(setup: MemorySetup) -> None:
    connection = await streams.connect(setup.ground, setup.port)
    try:
        connection.ask("GET", f"{setup.web.prefix}/1g", setup.ground.users[0])
        length = await connection.answered()
        if length != GIB:
            raise streams.BrokenResponse(f"a body of {length} bytes is announced, not {GIB}")
        await asyncio.sleep(STALL)
        await _read_slowly(connection.reader, length)
    finally:
        connection.close()


async def _read_slowly(reader: asyncio.StreamReader, length: int) -> None:
    loop = asyncio.get_running_loop()
    begun, done = loop.time(), 0
    while done < length:
        data = await reader.read(min(PIECE, length - done))
        if not data:
            raise streams.BrokenResponse(f"the body ended after {done} of {length} bytes")
        done += len(data)
        await asyncio.sleep(max(0.0, begun + done / SLOW - loop.time()))


_TRANSFERS = {"upload": _upload, "download": _download}
