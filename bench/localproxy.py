"""What does `bastion proxy` cost beside `kubectl proxy`?

Both stand in front of the same API server (nginx, over TLS) with the same kubeconfig, and are loaded in turn;
medians count.  Without kubectl the comparisons are skipped.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence

from bench import wrk
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import nginx
from bench.report import say

PARTS = ("compare", "alone")
COMPARED = {
    "cpu": Target("bastion proxy: CPU of a small GET at 32 connections, of kubectl's", 3, "x"),
    "p50": Target("bastion proxy: p50 at one connection, of kubectl's", 1.5, "x"),
}
ALONE = {
    "start": Target("bastion proxy: from start to first response", 0.6, " s"),
    "idle": Target("bastion proxy: idle memory", 60, " MiB"),
    "download": Target("bastion proxy: more memory while 1 GiB is downloaded", 16, " MiB"),
    "watches": Target("bastion proxy: concurrent watches that get their event", 200, "", at_least=True),
}
ROUNDS, EACH = 20, 100  # of one connection: turns, and requests in a turn
LOADS = 3  # of 32 connections
STARTS = 5
WATCHES = 200
PATIENCE = 20.0  # seconds for a program to serve
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMALL = b"/api/v1/namespaces/default/configmaps/c"


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    api = free_port()
    ground.processes.start("api", nginx.api(ground, api), ground.load_core)
    config = ground.file("kubeconfig", json.dumps(_kubeconfig(ground, f"https://127.0.0.1:{api}")))
    ours = [sys.executable, "-m", "bastion", "proxy", f"--kubeconfig={config}"]
    if "compare" in parts:
        if shutil.which("kubectl") is None:
            outcome.skip(COMPARED.values(), "there is no kubectl here")
        else:
            _compare(ground, outcome, ours, ["kubectl", "proxy", f"--kubeconfig={config}"])
    if "alone" in parts:
        _alone(ground, outcome, ours)
    return outcome


# --- beside kubectl


def _compare(ground: Ground, outcome: Outcome, ours: Sequence[str], theirs: Sequence[str]) -> None:
    commands = (("bastion", ours), ("kubectl", theirs))
    with_ports = [(name, *_started(ground, name, command)) for name, command in commands]
    p50: dict[str, list[float]] = {name: [] for name, _ in commands}
    cpu: dict[str, list[float]] = {name: [] for name, _ in commands}
    for _ in range(ROUNDS):
        for name, _, port in with_ports:
            p50[name].append(statistics.median(_in_turn(port, EACH)))
    for _ in range(LOADS):
        for name, program, port in with_ports:
            cpu[name].append(_cpu(ground, program, port))
    for name, program, _ in with_ports:
        say(
            f"{name}: {statistics.median(cpu[name]) * 1e6:.0f} us of CPU a request at 32 connections, p50"
            f" {statistics.median(p50[name]) * 1e6:.0f} us at one"
        )
        ground.processes.stop(program)
    for key, seconds in (("cpu", cpu), ("p50", p50)):
        ratio = statistics.median(seconds["bastion"]) / statistics.median(seconds["kubectl"])
        outcome.figures[key] = {name: statistics.median(values) for name, values in seconds.items()}
        outcome.judge(COMPARED[key], ratio)


def _cpu(ground: Ground, program: Program, port: int) -> float:
    """Seconds of CPU for one request."""
    before = program.cpu_seconds
    load = wrk.run(ground, f"http://127.0.0.1:{port}{SMALL.decode()}", 32, ground.seconds, wrk.REPORT)
    return (program.cpu_seconds - before) / load.requests


def _in_turn(port: int, count: int) -> Iterator[float]:
    """Seconds that each of some requests took, one after the other on one connection."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(count):
            begun = time.perf_counter()
            connection.sendall(GET % SMALL)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            yield time.perf_counter() - begun


# --- alone


def _alone(ground: Ground, outcome: Outcome, ours: Sequence[str]) -> None:
    begun = [_start_seconds(ground, ours) for _ in range(STARTS)]
    outcome.judge(ALONE["start"], statistics.median(begun))
    program, port = _started(ground, "bastion", ours)
    idle = program.rss_mib
    outcome.judge(ALONE["idle"], idle)
    outcome.judge(ALONE["download"], max(_download(program, port)) - idle)
    ground.processes.stop(program)
    outcome.judge(ALONE["watches"], asyncio.run(_watch(ground, ours)))


def _start_seconds(ground: Ground, ours: Sequence[str]) -> float:
    begun = time.perf_counter()
    program, _ = _started(ground, "bastion", ours)
    seconds = time.perf_counter() - begun
    ground.processes.stop(program)
    return seconds


def _started(ground: Ground, name: str, command: Sequence[str]) -> tuple[Program, int]:
    """Once it answers."""
    port = free_port()
    program = ground.processes.start(name, [*command, f"--port={port}"], ground.proxy_core)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        program.require()
        try:
            list(_in_turn(port, 1))
        except OSError:
            time.sleep(0.005)
        else:
            return program, port
    raise NotRunning(f"{name} does not answer: {program.last_words()}")


def _download(program: Program, port: int) -> Iterator[float]:
    """MiB of memory, as it goes."""
    left, look = 1 << 30, 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(GET % b"/1g")
        while left > 0:
            data = connection.recv(1 << 20)
            assert data, "the download broke off"
            left, look = left - len(data), look + len(data)
            if look > 1 << 26:
                look = 0
                yield program.rss_mib


async def _watch(ground: Ground, ours: Sequence[str]) -> int:
    """How many of the watches got an event that came once all of them were open."""
    opened, event = asyncio.Semaphore(0), asyncio.Event()

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        opened.release()
        await event.wait()
        writer.write(b"6\r\nevent\n\r\n")
        await writer.drain()

    async def watch(port: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"/api/v1/pods?watch=true")
        await reader.readuntil(b"event\n")
        writer.close()
        return True

    server = await asyncio.start_server(api, "127.0.0.1", 0)
    port = free_port()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    command = [*ours, f"--server={url}", f"--port={port}"]
    program = ground.processes.start("watched", command, ground.proxy_core)
    await asyncio.sleep(2.0)
    program.require()
    watches = [asyncio.create_task(watch(port)) for _ in range(WATCHES)]
    async with asyncio.timeout(PATIENCE):
        for _ in range(WATCHES):
            await opened.acquire()
        event.set()
        got = sum(await asyncio.gather(*watches))
    ground.processes.stop(program)
    server.close()
    return got


def _kubeconfig(ground: Ground, server: str) -> dict[str, object]:
    cluster = {"server": server, "certificate-authority": str(ground.directory / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": "t"}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }
