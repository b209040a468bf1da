"""What does probing cost, beside blackbox_exporter and on schedule?

`exporter`: both are asked over TLS to probe the same backend, in turns: CPU time of one probe.
`schedule`: 2 000 services ask to be probed every 30 s; how much of a core, and how evenly?
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from statistics import median
from typing import Any

import httpx

from bench import streams
from bench.client import STARTING
from bench.fixture import BACKEND_PORT, NAMESPACE, Service, manifests
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import bastion
from bench.report import say

PARTS = ("exporter", "schedule")
TARGETS = {
    "exporter": Target("CPU of a probe to blackbox_exporter's", 1.5, "x"),
    "core": Target("2 000 scheduled targets every 30 s, of a core", 0.3, ""),
    "even": Target("the fullest second of the schedule to the mean", 1.5, "x"),
}
EXPORTER, PACKAGE = "prometheus-blackbox-exporter", "prometheus-blackbox-exporter"
RATE = 50  # probes a second
LONGEST = 60.0  # seconds that a probe may take on a busy machine
TURNS, WARM_UP = 3, 1.0  # of each, and seconds before the first
PODS, SCHEDULED, INTERVAL = 200, 2000, 30
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning."""
    outcome = Outcome()
    if "exporter" in parts:
        _beside_the_exporter(ground, outcome)
    if "schedule" in parts:
        _on_schedule(ground, outcome)
    return outcome


# --- the backends: in this process, which is not on the core that is measured


@contextlib.asynccontextmanager
async def _backends(addresses: Sequence[str], came: Callable[[], None]) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
        writer.close()

    async with contextlib.AsyncExitStack() as open_ones:
        for address in addresses:
            await open_ones.enter_async_context(await asyncio.start_server(serve, address, BACKEND_PORT))
        yield


# --- beside the exporter


def _beside_the_exporter(ground: Ground, outcome: Outcome) -> None:
    if shutil.which(EXPORTER) is None:
        outcome.skip([TARGETS["exporter"]], f"{EXPORTER} is not installed (Debian: apt install {PACKAGE})")
        return
    web = Service("web", (f"{ground.network}.10",))
    port, other = free_port(), free_port()
    serve = [*bastion.over_manifests(ground, port, [web]), "--max-probes-per-user", "0", "--max-probes", "0"]
    ours = ground.processes.start("bastion", serve, ground.proxy_core)
    modules = ground.file("blackbox.yml", "modules: {http_2xx: {prober: http, timeout: 60s}}\n")
    tls = {"cert_file": str(ground.certificate), "key_file": str(ground.key)}
    secure = ground.file("blackbox-tls.yml", json.dumps({"tls_server_config": tls}))
    command = [EXPORTER, f"--config.file={modules}", f"--web.config.file={secure}"]
    command += [f"--web.listen-address=127.0.0.1:{other}", "--log.level=error"]
    theirs = ground.processes.start("exporter", command, ground.proxy_core)
    asked = {
        "bastion": (ours, port, f"services/{NAMESPACE}/web:80/"),
        "exporter": (theirs, other, f"http://{web.addresses[0]}:{BACKEND_PORT}/"),
    }
    costs = streams.run(_in_turns(ground, asked, web.addresses))
    ratios = [a / b for a, b in zip(costs["bastion"], costs["exporter"], strict=True)]
    for name, found in costs.items():
        say(f"{name:9} {1000 * median(found):6.2f} ms of CPU a probe at {RATE} a second")
    outcome.figures["probe_ms"] = {name: [1000 * one for one in found] for name, found in costs.items()}
    outcome.judge(TARGETS["exporter"], median(ratios))


async def _in_turns(
    ground: Ground, asked: dict[str, tuple[Program, int, str]], addresses: Sequence[str]
) -> dict[str, list[float]]:
    """Seconds of CPU a probe, by turn."""
    costs: dict[str, list[float]] = {name: [] for name in asked}
    authorization = {"Authorization": ground.users[0].authorization}
    async with (
        _backends(addresses, lambda: None),
        httpx.AsyncClient(
            verify=ground.client_tls(), trust_env=False, headers=authorization, timeout=LONGEST
        ) as client,
    ):
        for program, port, target in asked.values():
            await _until_it_probes(client, program, port, target)
            await _paced(client, port, target, WARM_UP)
        for _ in range(TURNS):
            for name, (program, port, target) in asked.items():
                before = program.cpu_seconds
                probes = await _paced(client, port, target, float(ground.seconds))
                costs[name].append((program.cpu_seconds - before) / probes)
    return costs


async def _until_it_probes(client: httpx.AsyncClient, program: Program, port: int, target: str) -> None:
    """Raises NotRunning."""
    deadline = time.monotonic() + STARTING
    last: object = "nothing"
    while time.monotonic() < deadline:
        program.require()
        try:
            await _probe(client, port, target)
            return
        except NotRunning as error:
            last = error
        await asyncio.sleep(0.1)
    raise NotRunning(f"{program.name} does not probe (last: {last!r})\n{program.last_words()}")


async def _probe(client: httpx.AsyncClient, port: int, target: str) -> None:
    """Raises NotRunning where it is no success."""
    try:
        answer = await client.get(f"https://127.0.0.1:{port}/probe", params={"target": target})
    except httpx.HTTPError as error:
        raise NotRunning(f"the probe failed: {error!r}") from error
    successes = [line for line in answer.text.splitlines() if line.startswith("probe_success")]
    if not successes or not all(line.endswith(" 1") for line in successes):
        samples = "".join(f"{line}\n" for line in answer.text.splitlines() if not line.startswith("#"))
        raise NotRunning(f"the probe of {target} failed: {answer.status_code}\n{samples}")


async def _paced(client: httpx.AsyncClient, port: int, target: str, seconds: float) -> int:
    """How many probes were made."""
    loop = asyncio.get_running_loop()
    begun, count = loop.time(), int(seconds * RATE)

    async def one(number: int) -> None:
        await asyncio.sleep(begun + number / RATE - loop.time())
        await _probe(client, port, target)

    await asyncio.gather(*(one(number) for number in range(count)))
    return count


# --- on schedule


def _on_schedule(ground: Ground, outcome: Outcome) -> None:
    port = free_port()
    addresses = [f"{ground.network}.{10 + n}" for n in range(PODS)]
    command = bastion.over_manifests(ground, port, [])
    pods = [Service(f"pod-{n}", (address,)) for n, address in enumerate(addresses)]
    ground.file("cluster.yaml", manifests(pods) + "---\n" + _asking())
    command += ["--probe-interval", f"{INTERVAL}s", "--max-probes", "0"]
    arrivals: list[float] = []

    async def main() -> float:
        async with _backends(addresses, lambda: arrivals.append(time.monotonic())):
            program = ground.processes.start("bastion", command, ground.proxy_core)
            await _until_all_are_probed(program, arrivals)
            before, begun = program.cpu_seconds, time.monotonic()
            del arrivals[:]
            await asyncio.sleep(2 * INTERVAL)
            return (program.cpu_seconds - before) / (time.monotonic() - begun)

    core = streams.run(main())
    fullest, mean = evenness(arrivals)
    say(
        f"schedule  {SCHEDULED} targets every {INTERVAL} s: {core:.2f} of a core,"
        f" {mean:.0f} probes a second, {fullest} in the fullest"
    )
    outcome.figures |= {"schedule_core": core, "schedule_mean": mean, "schedule_fullest": fullest}
    if mean < 0.9 * SCHEDULED / INTERVAL:
        outcome.failures.append(f"schedule: only {mean:.1f} probes a second")
    outcome.judge(TARGETS["core"], core)
    outcome.judge(TARGETS["even"], fullest / mean)


async def _until_all_are_probed(program: Program, arrivals: Sequence[float]) -> None:
    """Raises NotRunning."""
    deadline = time.monotonic() + STARTING + INTERVAL
    while len(arrivals) < SCHEDULED:
        program.require()
        if time.monotonic() > deadline:
            raise NotRunning(f"only {len(arrivals)} probes in time\n{program.last_words()}")
        await asyncio.sleep(0.1)


def evenness(arrivals: Sequence[float]) -> tuple[int, float]:
    """The most in a second, and the mean: of the whole seconds from the first arrival on."""
    if not arrivals:
        return 0, 0.0
    counts = Counter(int(one - arrivals[0]) for one in arrivals)
    seconds = max(counts)
    whole = [counts[second] for second in range(seconds)]
    return (max(whole), sum(whole) / seconds) if whole else (len(arrivals), float(len(arrivals)))


def _asking() -> str:
    """Services that stand before the same pods, each with a target of its own."""
    items: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": f"asks-{n}",
                "namespace": NAMESPACE,
                "annotations": {"bastion.dev/probe": "true", "bastion.dev/probe-path": f"/{n}"},
            },
            "spec": {
                "ports": [{"name": "http", "port": 80, "targetPort": BACKEND_PORT}],
                "selector": {"app": f"pod-{n % PODS}"},
            },
        }
        for n in range(SCHEDULED)
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
