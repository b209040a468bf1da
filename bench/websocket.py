"""What does a WebSocket tunnel cost, in time, speed and memory?

Skipped where the bastion passes no upgrades on.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from bench import streams
from bench.client import await_answer
from bench.fixture import Service, User, web_services
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import bastion, nginx
from bench.report import say
from bench.tunnels import backend, crowd, echo, stall, throughput
from bench.tunnels.client import Entrance, Tunnel, UpgradeRefused
from bench.turns import in_turn, medians

CROWD = 4000

CPU = Target("CPU of a WebSocket message, 32 TLS tunnels, to nginx's", 3.0, "x")
DOWN = Target("speed of one tunnel to the client, to nginx's", 0.7, "x", at_least=True)
UP = Target("speed of one tunnel to the backend, to nginx's", 0.7, "x", at_least=True)
TLS_EACH = Target("memory of a TLS tunnel after 64 KiB each way", 130, " KiB")
PLAIN_EACH = Target("memory of a plain tunnel after 64 KiB each way", 40, " KiB")
TLS_LIVEZ = Target("p99 of GET /livez while TLS tunnels are opened", 50, " ms")
PLAIN_LIVEZ = Target("p99 of GET /livez while plain tunnels are opened", 50, " ms")
HELD = Target("memory held for a stalled reader", 1, " MiB")
STOPPED = Target("written to a stalled reader once buffers are full", 0, " bytes")
TARGETS = {
    "echo": (CPU,),
    "throughput": (DOWN, UP),
    "crowd-tls": (TLS_EACH, TLS_LIVEZ),
    "crowd-plain": (PLAIN_EACH, PLAIN_LIVEZ),
    "stall": (HELD, STOPPED),
}
PARTS = tuple(TARGETS)

Figures = dict[str, Any]
Way = Callable[[Entrance, Program, Service, User, float], throughput.Throughput]


@dataclass(frozen=True, slots=True)
class Proxy:
    program: Program
    port: int
    insecure_port: int
    tls: Entrance

    @property
    def plain(self) -> Entrance:
        return Entrance(self.insecure_port, None)


@dataclass(frozen=True, slots=True)
class TunnelSetup:
    """`web` says that a proxy is ready; `tunnels` is where upgrades go."""

    ground: Ground
    web: Service
    tunnels: Service

    @property
    def services(self) -> list[Service]:
        return [self.web, self.tunnels]

    def bastion(self) -> Proxy:
        """A fresh one: memory that another part has used and left would hide what this one takes."""
        port, plain = free_port(), free_port()
        return self._started(
            "bastion",
            bastion.over_manifests(self.ground, port, self.services, insecure_port=plain),
            port,
            plain,
        )

    def nginx(self) -> Proxy:
        """Raises Unable."""
        port = free_port()
        return self._started("nginx", nginx.proxy(self.ground, port, self.services, tunnels=True), port, 0)

    def _started(self, name: str, command: list[str], port: int, insecure_port: int) -> Proxy:
        program = self.ground.processes.start(name, command, self.ground.proxy_core)
        await_answer(self.ground, program, port, self.web, nginx.GREETING.encode())
        return Proxy(program, port, insecure_port, Entrance(port, self.ground.client_tls()))


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning."""
    setup = _setup(ground)
    outcome = Outcome()
    refused = _refusal(setup)
    if refused:
        say(f"skipped: {refused}")
        outcome.skip((target for part in PARTS if part in parts for target in TARGETS[part]), refused)
        return outcome
    for part in (part for part in PARTS if part in parts):
        try:
            outcome.figures[part] = _MEASURES[part](setup, outcome)
        except (streams.BrokenResponse, UpgradeRefused, NotRunning, OSError) as error:
            outcome.failures.append(f"{part}: {error!r}")
    return outcome


def _setup(ground: Ground) -> TunnelSetup:
    web, tunnels = web_services(ground.network, 1)[0], Service("tunnels", (f"{ground.network}.200",))
    ground.processes.start("backend", nginx.backend(ground, [web]), ground.load_core)
    ground.processes.start("tunnels", backend.command(tunnels), ground.load_core)
    return TunnelSetup(ground, web, tunnels)


def _refusal(setup: TunnelSetup) -> str:
    """Why tunnels cannot be measured, empty where they can."""
    proxy = setup.bastion()
    try:
        Tunnel(proxy.tls, setup.tunnels, "/echo", setup.ground.users[0]).close()
        return ""
    except UpgradeRefused as error:
        return f"no tunnels here: {error}"
    finally:
        setup.ground.processes.stop(proxy.program)


# --- beside nginx


def _pair(setup: TunnelSetup) -> dict[str, Proxy]:
    """Both at once: one idles while the other is measured."""
    return {"nginx": setup.nginx(), "bastion": setup.bastion()}


def _stop(setup: TunnelSetup, proxies: Collection[Proxy]) -> None:
    for proxy in proxies:
        setup.ground.processes.stop(proxy.program)


def _echo(setup: TunnelSetup, outcome: Outcome) -> Figures:
    ground, proxies = setup.ground, _pair(setup)

    def measure(proxy: Proxy) -> echo.EchoFigures:
        return streams.run(
            echo.measure(proxy.tls, proxy.program, setup.tunnels, ground.users, ground.seconds)
        )

    found = {name: medians(samples) for name, samples in in_turn(proxies, measure).items()}
    _stop(setup, proxies.values())
    for name, f in found.items():
        say(
            f"echo        {name:8} {f['rate']:9.0f} messages/s   CPU {f['cpu_us']:6.1f} us/message   busy"
            f" {f['busy']:4.0%}"
        )
    outcome.judge(CPU, found["bastion"]["cpu_us"] / found["nginx"]["cpu_us"])
    return found


def _throughput(setup: TunnelSetup, outcome: Outcome) -> Figures:
    ground, proxies = setup.ground, _pair(setup)
    figures: Figures = {}
    for target, way in ((DOWN, throughput.down), (UP, throughput.up)):

        def measure(proxy: Proxy, way: Way = way) -> throughput.Throughput:
            return way(proxy.tls, proxy.program, setup.tunnels, ground.users[0], ground.seconds)

        found = {name: medians(samples) for name, samples in in_turn(proxies, measure).items()}
        for name, f in found.items():
            say(f"{way.__name__:11} {name:8} {f['mib_s']:9.0f} MiB/s   busy {f['busy']:4.0%}")
        outcome.judge(target, found["bastion"]["mib_s"] / found["nginx"]["mib_s"])
        figures[way.__name__] = found
    _stop(setup, proxies.values())
    return figures


# --- the bastion alone


def _crowd(setup: TunnelSetup, outcome: Outcome, *, plain: bool) -> Figures:
    proxy = setup.bastion()
    count = possible(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    found = crowd.measure(
        setup.ground, proxy.plain if plain else proxy.tls, proxy.port, proxy.program, setup.tunnels, count
    )
    _stop(setup, [proxy])
    kind = "plain" if plain else "TLS"
    say(
        f"crowd       {count} {kind} tunnels, {found.kib_each:.1f} KiB each, p99 of /livez"
        f" {found.livez_p99_ms:.1f} ms"
    )
    if found.livez_failed:
        outcome.failures.append(f"GET /livez failed {found.livez_failed} times while tunnels were opened")
    why = (
        ""
        if count == CROWD
        else f"with {count} tunnels only: more descriptors are not allowed here (ulimit -n)"
    )
    outcome.judge(PLAIN_EACH if plain else TLS_EACH, found.kib_each, why)
    outcome.judge(PLAIN_LIVEZ if plain else TLS_LIVEZ, found.livez_p99_ms)
    return asdict(found)


def possible(descriptors: int) -> int:
    """Tunnels: two descriptors each, some hundred for the rest, and room left: a bastion that is nearly full
    takes no more.
    """
    return min(CROWD, max(1, (descriptors - 300) * 2 // 5))


def _stall(setup: TunnelSetup, outcome: Outcome) -> Figures:
    proxy = setup.bastion()
    found = stall.measure(proxy.tls, proxy.program, setup.tunnels, setup.ground.users[0])
    _stop(setup, [proxy])
    say(
        f"stall       {found.mib_each:.2f} MiB held for a reader that stopped, {found.still_written} bytes"
        " still written to it"
    )
    outcome.judge(HELD, found.mib_each)
    outcome.judge(STOPPED, found.still_written)
    return asdict(found)


_MEASURES = {
    "echo": _echo,
    "throughput": _throughput,
    "crowd-tls": lambda setup, outcome: _crowd(setup, outcome, plain=False),
    "crowd-plain": lambda setup, outcome: _crowd(setup, outcome, plain=True),
    "stall": _stall,
}
