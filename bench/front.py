"""What does a call that is passed on cost beside HAProxy and nginx?  What does an open watch hold?"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from bench import wrk
from bench.client import STARTING, answer
from bench.front_api import PODS, SMALL
from bench.ground import Ground, Unable, free_port
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import haproxy, nginx
from bench.report import say
from bench.turns import in_turn, medians

LOADS = {"get": SMALL, "list": PODS}
PARTS = (*LOADS, "watches")
TARGETS = {
    "get": Target("CPU of a small GET that is passed on, to HAProxy's", 2.0, "x"),
    "list": Target("CPU of a list of 500 pods that is passed on, to HAProxy's", 2.0, "x"),
    "watches": Target("memory of a watch that is passed on, over TLS", 90, " KiB"),
}
CONNECTIONS = 32
WATCHES = 5000
PRACTICE = 100  # watches opened and closed beforehand: what is loaded once is no watch's
AT_ONCE = 50  # handshakes
SETTLED = 2.0  # seconds with all of them open
LONGEST = 240.0  # seconds
WATCH = (
    b"GET /api/v1/namespaces/bench/configmaps?watch=true HTTP/1.1\r\nHost: bench\r\nAuthorization: %b\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Running:
    program: Program
    port: int


@dataclass(frozen=True, slots=True)
class Sample:
    rate: float
    cpu_us: float
    busy: float
    failed: int


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    api = free_port()
    command = [sys.executable, "-m", "bench.front_api", str(api), str(ground.certificate), str(ground.key)]
    await_small(ground, Running(ground.processes.start("api", command, ground.load_core), api))
    loads = [part for part in LOADS if part in parts]
    if loads:
        fronts = _started(ground, api, {"haproxy": haproxy.front, "nginx": nginx.front, "bastion": passing})
        for part in loads:
            _compare(ground, outcome, part, fronts)
        for front in fronts.values():
            ground.processes.stop(front.program)
    if "watches" in parts:
        front = _started(ground, api, {"bastion": passing})["bastion"]
        try:
            _judge_watches(outcome, asyncio.run(_watches(ground, front)))
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            outcome.failures.append(f"watches: {error!r}")
    return outcome


def passing(ground: Ground, port: int, api: int) -> list[str]:
    """The command of a bastion that passes calls on."""
    url = f"https://127.0.0.1:{api}"
    config = ground.file("kubeconfig", json.dumps(_kubeconfig(ground, url)))
    command = [sys.executable, "-m", "bastion", "serve", "--pass-through", "--kubeconfig", str(config)]
    command += ["--port", str(port)]
    return [*command, "--tls-cert-file", str(ground.certificate), "--tls-private-key-file", str(ground.key)]


Command = Callable[[Ground, int, int], list[str]]


def _started(ground: Ground, api: int, commands: Mapping[str, Command]) -> dict[str, Running]:
    fronts = {}
    for name, command in commands.items():
        port = free_port()
        try:
            program = ground.processes.start(name, command(ground, port, api), ground.proxy_core)
        except Unable as error:
            say(f"without {name}: {error}")
            continue
        fronts[name] = Running(program, port)
        await_small(ground, fronts[name])
    return fronts


def await_small(ground: Ground, front: Running) -> None:
    """Raises NotRunning."""
    deadline, last = time.monotonic() + STARTING, "nothing"
    while time.monotonic() < deadline:
        front.program.require()
        try:
            status, body = answer(ground, front.port, SMALL, ground.users[0])
            if status == 200 and b'"small"' in body:
                return
            last = f"{status} {body[:200]!r}"
        except (OSError, http.client.HTTPException) as error:
            last = repr(error)
        time.sleep(0.1)
    raise NotRunning(f"{front.program.name} does not answer (last: {last})\n{front.program.last_words()}")


# --- beside HAProxy and nginx


def _compare(ground: Ground, outcome: Outcome, part: str, fronts: Mapping[str, Running]) -> None:
    def measure(front: Running) -> Sample:
        url = f"https://127.0.0.1:{front.port}{LOADS[part]}"
        before = front.program.cpu_seconds
        load = wrk.run(ground, url, CONNECTIONS, ground.seconds, wrk.gets(ground.users[0]))
        cpu = front.program.cpu_seconds - before
        return Sample(load.rate, cpu / load.requests * 1e6, cpu / load.seconds, load.failed)

    found = {name: medians(samples) for name, samples in in_turn(fronts, measure).items()}
    for name, f in found.items():
        say(
            f"{part:8} {name:8} {f['rate']:8.0f} req/s   CPU {f['cpu_us']:7.1f} us/req"
            f"   busy {f['busy']:4.0%}"
        )
        if f["failed"]:
            outcome.failures.append(f"{part}: {f['failed']:.0f} requests failed at {name}")
    outcome.figures[part] = found
    if "haproxy" not in found:
        outcome.skip([TARGETS[part]], "there is no HAProxy here")
        return
    outcome.judge(TARGETS[part], found["bastion"]["cpu_us"] / found["haproxy"]["cpu_us"])


# --- watches


def _judge_watches(outcome: Outcome, kib_each: float) -> None:
    say(f"watches  {WATCHES} over TLS, {kib_each:.1f} KiB each")
    outcome.figures["watches"] = {"watches": WATCHES, "kib_each": kib_each}
    outcome.judge(TARGETS["watches"], kib_each)


async def _watches(ground: Ground, front: Running) -> float:
    """KiB of the bastion's for each.  Raises OSError, TimeoutError, IncompleteReadError."""
    async with asyncio.timeout(LONGEST):
        async with _open(ground, front.port, PRACTICE):
            pass
        await asyncio.sleep(SETTLED)
        before = front.program.rss_mib
        async with _open(ground, front.port, WATCHES):
            await asyncio.sleep(SETTLED)
            return (front.program.rss_mib - before) * 1024 / WATCHES


@contextlib.asynccontextmanager
async def _open(ground: Ground, port: int, count: int) -> AsyncIterator[None]:
    """So many watches, each of which has had its first event."""
    tls, places = ground.client_tls(), asyncio.Semaphore(AT_ONCE)

    async def watch(number: int) -> asyncio.StreamWriter:
        """Each user has an address: there are limits for both."""
        async with places:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, limit=1 << 12, local_addr=(f"127.0.1.{1 + number}", 0)
            )
            writer.write(WATCH % ground.users[number].authorization.encode())
            await reader.readuntil(b'"ADDED"')
            return writer

    users = len(ground.users)
    writers = await asyncio.gather(*(watch(number % users) for number in range(count)))
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


def _kubeconfig(ground: Ground, server: str) -> dict[str, object]:
    cluster = {"server": server, "certificate-authority": str(ground.directory / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": "bastions-own"}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }
