"""What does a request cost in the bastion, and in nginx, HAProxy and Envoy on the same machine at the same
time?

All proxies run at once on one core, each over the same backends; those that are not measured idle.  Every
scenario goes through them in turn, several times, and the medians count: a noisy moment meets all alike, or
only one of the turns.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import wrk
from bench.client import await_answer
from bench.comparison import Results, Row, divide, lines, ratios, spread
from bench.fixture import Service, web_services
from bench.ground import Ground, Unable, free_port, require
from bench.outcome import Outcome
from bench.processes import Program
from bench.proxies import bastion, envoy, haproxy, nginx
from bench.report import say
from bench.scenarios import DOWNLOAD, LIFETIME, QUOTIENTS, SCENARIOS, US, Scenario
from bench.turns import in_turn, medians

SERVICES = 20
PARTS = (*SCENARIOS, DOWNLOAD)
QUIET = 0.85  # of its core, used by a bastion that nothing disturbs
DOWNLOADS = 5  # of which the median counts

Command = Callable[[Ground, int, Sequence[Service]], list[str]]
PROXIES: dict[str, Command] = {
    "nginx": nginx.proxy,
    "haproxy": haproxy.proxy,
    "envoy": envoy.proxy,
    "bastion": bastion.over_manifests,
}


@dataclass(frozen=True, slots=True)
class RunningProxy:
    program: Program
    port: int

    def url(self, service: Service, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{service.prefix}{path}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Latencies as the client saw them, CPU of the proxy for each request.

    `busy` is the proxy's share of its core: far below 1 it was the load that set rate and latencies, not the
    proxy. `lookups_s` is the CPU that the warm-up took beyond what as many requests took later.
    """

    rate: float
    p50_us: float
    p99_us: float
    cpu_us: float
    busy: float
    lookups_s: float
    failed: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """Of 100 MiB; `cpu_ms` is the proxy's for all of it."""

    mib_s: float
    cpu_ms: float
    failed: int


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    services = web_services(ground.network, SERVICES)
    ground.processes.start("backend", nginx.backend(ground, services), ground.load_core)
    proxies, absent = start_all(ground, services, PROXIES)
    idle = {name: running.program.rss_mib for name, running in proxies.items()}
    results: Results = {}
    for name in (name for name in PARTS if name in parts):
        if name == DOWNLOAD:
            results[name] = _downloads(ground, proxies, services[0])
        else:
            results[name] = _loads(ground, proxies, SCENARIOS[name], services)
        say(*lines(name, results[name]))
    memory = {
        name: {"idle_mib": idle[name], "after_mib": running.program.rss_mib}
        for name, running in proxies.items()
    }
    say(*lines("memory", memory))
    say(
        "\nThe bastion's figures divided by each peer's",
        ratios(results, [name for name in PROXIES if name != US]),
    )
    outcome.figures = {**results, "memory": memory}
    outcome.failures = _failures(results)
    _judge(outcome, results, parts, absent)
    return outcome


def start_all(
    ground: Ground, services: Sequence[Service], commands: Mapping[str, Command]
) -> tuple[dict[str, RunningProxy], dict[str, str]]:
    """Those that run, and why the others do not."""
    running: dict[str, RunningProxy] = {}
    absent: dict[str, str] = {}
    for name, command in commands.items():
        port = free_port()
        try:
            program = ground.processes.start(name, command(ground, port, services), ground.proxy_core)
        except Unable as error:
            absent[name] = str(error)
            say(f"without {name}: {error}")
            continue
        await_answer(ground, program, port, services[0], nginx.GREETING.encode())
        running[name] = RunningProxy(program, port)
    return running, absent


# --- measuring


def _loads(
    ground: Ground, proxies: Mapping[str, RunningProxy], scenario: Scenario, services: Sequence[Service]
) -> Row:
    def measure(running: RunningProxy) -> Sample:
        return sample(
            ground, running, scenario, services, scenario.warm_up, min(ground.seconds, scenario.longest)
        )

    row = {name: medians(samples) for name, samples in in_turn(proxies, measure, scenario.turns).items()}
    for figures in row.values() if scenario.looks_up else ():
        figures["whole_us"] = spread(figures["cpu_us"], figures["lookups_s"], LIFETIME)
    return row


def sample(
    ground: Ground,
    running: RunningProxy,
    scenario: Scenario,
    services: Sequence[Service],
    warm_up_seconds: int,
    seconds: int,
) -> Sample:
    """`warm_up_seconds` 0: it is warm."""
    script = scenario.script(ground, services)

    def load(seconds: int) -> tuple[wrk.Load, float]:
        before = running.program.cpu_seconds
        try:
            done = wrk.run(
                ground, running.url(services[0], scenario.path), scenario.connections, seconds, script
            )
        finally:
            running.program.require()
        return done, running.program.cpu_seconds - before

    warm_up, warm_up_cpu = load(warm_up_seconds) if warm_up_seconds else (None, 0.0)
    done, cpu = load(seconds)
    each = cpu / done.requests
    return Sample(
        done.rate,
        done.p50_us,
        done.p99_us,
        each * 1e6,
        cpu / done.seconds,
        max(0.0, warm_up_cpu - warm_up.requests * each) if warm_up is not None else 0.0,
        done.failed + (warm_up.failed if warm_up is not None else 0),
    )


def _downloads(ground: Ground, proxies: Mapping[str, RunningProxy], service: Service) -> Row:
    def measure(running: RunningProxy) -> Transfer:
        return transfer(ground, running, service)

    return {name: medians(samples) for name, samples in in_turn(proxies, measure, DOWNLOADS).items()}


def transfer(ground: Ground, running: RunningProxy, service: Service) -> Transfer:
    before = running.program.cpu_seconds
    speed = _download(ground, running.url(service, "/100m"))
    return Transfer(speed or 0.0, (running.program.cpu_seconds - before) * 1000, speed is None)


def _download(ground: Ground, url: str) -> float | None:
    """MiB/s, None where not all of it came."""
    require("curl", "curl")
    command = [
        "taskset",
        "-c",
        str(ground.load_core),
        "curl",
        "-s",
        "--http1.1",
        "--cacert",
        str(ground.directory / "ca.crt"),
    ]
    command += [
        "-m",
        "60",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download} %{speed_download}",
        "--config",
        "-",
        url,
    ]
    secret = f'header = "Authorization: {ground.users[0].authorization}"\n'
    said = subprocess.run(command, input=secret, capture_output=True, text=True, timeout=90).stdout
    found = re.fullmatch(r"200 (\d+) (\d+)(?:\.\d+)?", said)
    return int(found[2]) / nginx.MIB if found and int(found[1]) == nginx.FILES["100m"] else None


def _failures(results: Results) -> list[str]:
    return [
        f"{scenario}: {figures['failed']:.0f} requests failed through {proxy}"
        for scenario, row in results.items()
        for proxy, figures in row.items()
        if figures["failed"]
    ]


def _judge(outcome: Outcome, results: Results, parts: tuple[str, ...], absent: Mapping[str, str]) -> None:
    for quotient in QUOTIENTS:
        if quotient.scenario in parts:
            row = results[quotient.scenario]
            why = absent.get(quotient.of) or disturbed(row[US], quotient.scenario)
            outcome.judge(quotient.target, divide(row, quotient), why)


def disturbed(ours: Mapping[str, float], scenario: str) -> str:
    """Many connections keep a bastion busy.

    Where they did not, something else had its core, or the load's.
    """
    if scenario not in SCENARIOS or SCENARIOS[scenario].connections == 1 or ours["busy"] >= QUIET:
        return ""
    return f"the bastion had only {ours['busy']:.0%} of its core, repeat on a quiet machine"
