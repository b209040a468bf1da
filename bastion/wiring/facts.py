"""What this replica tells of itself on the operations page."""

from __future__ import annotations

import platform
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

from bastion import __version__
from bastion.observe.expiry import Expiry
from bastion.server.state import ServerStatistics
from bastion.settings.config import Config
from bastion.web.figures import listed, moment, number, size, span
from bastion.web.health import DEGRADED, DOWN, UP
from bastion.web.ops.page import Check, Facts, Limit
from bastion.web.target.view import Stat
from bastion.wiring.cluster import Cluster
from bastion.wiring.gateway import Parts
from bastion.wiring.probes import HubProbes


@dataclass(frozen=True, slots=True)
class Seen:
    """What is looked at.  `connections`: how many there may be; `server` is asked once clients are served."""

    config: Config
    cluster: Cluster
    parts: Parts
    probes: HubProbes
    expiry: Expiry
    connections: int
    server: Callable[[], ServerStatistics]


def facts_of(seen: Seen, replica: str) -> Facts:
    streams = seen.parts.streams
    return Facts(
        replica=replica,
        since=time.time(),
        checks=lambda: list(_checks(seen)),
        limits=lambda: list(_limits(seen)),
        numbers=lambda: list(_numbers(seen)),
        versions=lambda: list(_versions(seen)),
        settings=seen.config.shown,
        streams=lambda: streams.statistics().long,
        in_flight=lambda: sum(1 for _ in streams.under_way()),
    )


def _checks(seen: Seen) -> Iterator[Check]:
    outages = seen.cluster.outages.lines()
    urls = ", ".join(seen.cluster.urls)
    yield Check("API server", outages[0] if outages else urls, *((DOWN, "Away") if outages else (UP, "Well")))
    checks = {name: reason() for name, reason in seen.cluster.readiness().items()}
    for name, why in checks.items():
        if why:
            yield Check(name, why, DEGRADED, "Not ready")
    if not any(checks.values()):
        yield Check("Objects and reviews", f"{listed(list(checks))} are as they should be", UP, "Well")
    broken = seen.probes.broken
    yield Check(
        "Probes", broken or "targets are reached", *((DEGRADED, "Broken") if broken else (UP, "Well"))
    )


def _limits(seen: Seen) -> Iterator[Limit]:
    guard = seen.parts.access.guard.statistics()
    limits = seen.config.limits
    server = seen.server()
    yield Limit("Connections", server.connections, seen.connections)
    yield Limit("Requests of one user", guard.most_exchanges, limits.exchanges_per_user, "the busiest")
    yield Limit("Streams of one user", guard.most_tunnels, limits.tunnels_per_user, "the busiest")
    yield Limit("Turned away", server.turned_away, 0, "connections, since the start")


def _numbers(seen: Seen) -> Iterator[Stat]:
    yield Stat("con", "Connections", number(seen.server().connections))
    value, _, unit = size(_resident()).rpartition(" ")
    yield Stat("mem", "Memory", value, unit)


def _versions(seen: Seen) -> Iterator[tuple[str, str]]:
    yield "bastion", __version__
    yield "Python", platform.python_version()
    yield "uvicorn", version_of("uvicorn")
    yield "OpenSSL", ssl.OPENSSL_VERSION
    now = time.time()
    for purpose, end in sorted(seen.expiry.ends.items()):
        yield f"Certificate, {purpose}", f"until {moment(end.at)} ({span(end.at - now)})"


def _resident() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return 0
