"""Does a bastion keep up with a large cluster?

50 000 pods of 8 KiB, 10 000 services, 50 000 endpoints, 1 000 nodes.

The API server is a process of its own that makes these objects as they are asked for, and talks TLS.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import scale_resolve, wrk
from bench.fixture import Service
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import bastion, nginx
from bench.report import say
from bench.scale_objects import Cluster
from bench.turns import TURNS

PARTS = ("sync", "resolve", "changes")
TARGETS = {
    "sync": Target("seconds until 50 000 pods are known, on one core", 25, " s"),
    "rss": Target("memory that they take, the program included", 350, " MiB"),
    "pause": Target("longest pause of the loop while they are listed", 50, " ms"),
    "resolve": Target("resolving a service or a pod among them", 5, " us"),
    "behind": Target("behind 2 000 changes/s at their end", 1, " s"),
    "p99": Target("p99 at 2 000 requests/s during 2 000 changes/s, against none", 2, "x"),
}

CONNECTIONS, THINK = 40, 19  # milliseconds between a connection's requests: 2 000 a second in all
CHANGES = 2_000  # a second
LONGEST = 60.0  # seconds to wait for anything


@dataclass(slots=True)
class ScaleSetup:
    ground: Ground
    cluster: Cluster
    api_port: int
    port: int
    plain_port: int
    program: Program
    live: list[Service] = field(default_factory=list)


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    cluster = Cluster(ground.network)
    if "resolve" in parts:
        figures = outcome.figures["resolve"] = scale_resolve.measure(cluster)
        say("resolve   " + ", ".join(f"{what} {us:.2f} us" for what, us in figures.items()))
        outcome.judge(TARGETS["resolve"], max(figures["service"], figures["pod"]))
    if {"sync", "changes"} & set(parts):
        setup = _sync(ground, cluster, outcome)
        if "changes" in parts:
            _changes(setup, outcome)
    return outcome


# --- the lists


def _sync(ground: Ground, cluster: Cluster, outcome: Outcome) -> ScaleSetup:
    last = cluster.pods - cluster.services
    live = [Service(cluster.service_name(i), (cluster.address(last + i),)) for i in range(cluster.live)]
    markers = [Service(f"marker-{turn}", (f"{ground.network}.{200 + turn}",)) for turn in range(TURNS)]
    ground.processes.start("backend", nginx.backend(ground, [*live, *markers]), ground.load_core)
    api_port, port, plain_port = free_port(), free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "bench.scale_api",
        str(api_port),
        ground.network,
        str(ground.certificate),
        str(ground.key),
    ]
    ground.processes.start("api", command, ground.load_core)
    kubeconfig = ground.file("kubeconfig", _kubeconfig(ground, api_port))
    command = [
        *bastion.over_kubeconfig(ground, port, kubeconfig),
        "--enable-node-proxy",
        "--insecure-port",
        str(plain_port),
    ]
    begun = time.monotonic()
    program = ground.processes.start("bastion", command, ground.proxy_core)
    setup = ScaleSetup(ground, cluster, api_port, port, plain_port, program, live)
    peak = _until_ready(setup)
    seconds = time.monotonic() - begun
    time.sleep(2)
    rss, cpu = program.rss_mib, program.cpu_seconds
    heart = _pauses(setup, kubeconfig)
    say(
        f"sync      {seconds:.1f} s, {cpu:.1f} s of processor, {rss:.0f} MiB ({peak:.0f} at most), longest"
        f" pause {heart['longest_net_ms']:.1f} ms ({heart['longest_ms']:.1f} with other programs) in"
        f" {heart['beats']} heartbeats"
    )
    outcome.figures["sync"] = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "rss_mib": rss,
        "peak_mib": peak,
        "heart": heart,
    }
    outcome.judge(TARGETS["sync"], seconds)
    outcome.judge(TARGETS["rss"], max(rss, peak))
    outcome.judge(TARGETS["pause"], heart["longest_net_ms"])
    return setup


def _until_ready(setup: ScaleSetup) -> float:
    """The most memory seen until then, in MiB."""
    peak, deadline = 0.0, time.monotonic() + LONGEST
    while not _ready(setup):
        setup.program.require()
        peak = max(peak, setup.program.rss_mib)
        if time.monotonic() > deadline:
            raise NotRunning(f"bastion is not ready after {LONGEST:g} s\n{setup.program.last_words()}")
        time.sleep(0.1)
    return max(peak, setup.program.rss_mib)


def _ready(setup: ScaleSetup) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", setup.plain_port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _pauses(setup: ScaleSetup, kubeconfig: Path) -> dict[str, float]:
    """What a heartbeat on the loop sees while another bastion reads everything."""
    command = ["taskset", "-c", str(setup.ground.proxy_core), sys.executable, "-m", "bench.scale_heartbeat"]
    try:
        done = subprocess.run(
            [*command, "--enable-node-proxy", "--kubeconfig", str(kubeconfig)],
            capture_output=True,
            timeout=LONGEST,
        )
        seen: dict[str, float] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise NotRunning(f"the heartbeat has nothing to tell: {error}") from error
    return seen


def _kubeconfig(ground: Ground, port: int) -> str:
    authority = base64.b64encode((ground.directory / "ca.crt").read_bytes()).decode()
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    return json.dumps(
        {
            "kind": "Config",
            "current-context": "scale",
            "contexts": [{"name": "scale", "context": {"cluster": "scale", "user": "scale"}}],
            "clusters": [{"name": "scale", "cluster": cluster}],
            "users": [{"name": "scale", "user": {"token": "scale"}}],
        }
    )


# --- changes under load


def _changes(setup: ScaleSetup, outcome: Outcome) -> None:
    quiet, busy, behind, costs = [], [], [], []
    _load(setup)  # everything is warm
    for turn in range(TURNS):
        begun = setup.program.cpu_seconds
        quiet.append(_load(setup))
        between = setup.program.cpu_seconds
        with _changing(setup) as changed:
            busy.append(_load(setup))
        request_us = (between - begun) / quiet[-1].requests * 1e6
        costs.append(
            ((setup.program.cpu_seconds - between) * 1e6 - busy[-1].requests * request_us) / changed[0]
        )
        behind.append(_behind(setup, turn))
        say(
            f"changes   quiet {quiet[-1].rate:.0f}/s p99 {quiet[-1].p99_us} us; with"
            f" {changed[0] / setup.ground.seconds:.0f} changes/s {busy[-1].rate:.0f}/s p99 {busy[-1].p99_us}"
            f" us; {behind[-1]:.2f} s behind; {request_us:.0f} us of processor a request, {costs[-1]:.0f} a"
            " change"
        )
    ratio = statistics.median(load.p99_us for load in busy) / statistics.median(load.p99_us for load in quiet)
    failed = sum(load.failed for load in (*quiet, *busy))
    if failed:
        outcome.failures.append(f"changes: {failed} requests failed")
    outcome.figures["changes"] = {
        "quiet_p99_us": [load.p99_us for load in quiet],
        "busy_p99_us": [load.p99_us for load in busy],
        "rates": [round(load.rate) for load in (*quiet, *busy)],
        "behind": behind,
        "change_cpu_us": costs,
        "rss_mib": setup.program.rss_mib,
    }
    outcome.judge(TARGETS["p99"], ratio)
    outcome.judge(TARGETS["behind"], max(behind))


def _load(setup: ScaleSetup) -> wrk.Load:
    """Requests at a steady rate to services whose pods are there."""
    prefixes = ", ".join(
        f'"/api/v1/namespaces/{setup.cluster.namespace(i)}/services/{service.name}:80/proxy/"'
        for i, service in enumerate(setup.live)
    )
    script = f"""
local paths, turn = {{ {prefixes} }}, 0
function delay() return {THINK} end
function request()
  turn = turn % #paths + 1
  return wrk.format("GET", paths[turn])
end
{wrk.gets(setup.ground.users[0])}"""
    return wrk.run(
        setup.ground, f"https://127.0.0.1:{setup.port}/", CONNECTIONS, setup.ground.seconds, script
    )


@contextlib.contextmanager
def _changing(setup: ScaleSetup) -> Iterator[list[int]]:
    """The number of changes, once the block is left."""
    changed: list[int] = []

    def change() -> None:
        changed.append(int(_api(setup, f"/changes?rate={CHANGES}&seconds={setup.ground.seconds}")))

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    try:
        yield changed
    finally:
        thread.join(LONGEST)


def _behind(setup: ScaleSetup, turn: int) -> float:
    """Seconds until a pod that was added after all changes is served."""
    name = f"marker-{turn}"
    _api(setup, f"/marker?name={name}&address={setup.ground.network}.{200 + turn}")
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", setup.plain_port, timeout=60)
    path = f"/api/v1/namespaces/{setup.cluster.namespace(0)}/pods/{name}:8080/proxy/"
    while True:
        connection.request("GET", path, headers={"Authorization": setup.ground.users[0].authorization})
        response = connection.getresponse()
        said = response.read()
        if response.status == 200:
            return time.monotonic() - begun
        if time.monotonic() - begun > LONGEST:
            raise NotRunning(f"the last change was not seen after {LONGEST:g} s: {said[:300]!r}")
        time.sleep(0.05)


def _api(setup: ScaleSetup, path: str) -> bytes:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", setup.api_port, timeout=LONGEST, context=setup.ground.client_tls()
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()
