"""What does an open tunnel hold in memory, and does the bastion stay quick while thousands are opened?"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.fixture import Service, User
from bench.ground import Ground
from bench.processes import Program
from bench.streams import BrokenResponse
from bench.tunnels.client import Entrance, Tunnel

PAYLOAD = bytes(1 << 16)
PRACTICE = 50  # tunnels opened and closed beforehand: what is loaded once is no tunnel's
RESTING = 2.0  # seconds with all tunnels open
PROBE_EVERY = 0.01  # seconds
LONGEST = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class CrowdFigures:
    """`kib_each`: resident memory for each tunnel.  `livez_p99_ms`: how long GET /livez took meanwhile."""

    tunnels: int
    kib_each: float
    livez_p99_ms: float
    livez_failed: int


def measure(
    ground: Ground, entrance: Entrance, tls_port: int, program: Program, service: Service, count: int
) -> CrowdFigures:
    """Raises UpgradeRefused, BrokenResponse, OSError."""
    for tunnel in [_used(entrance, service, ground.users, i) for i in range(PRACTICE)]:
        tunnel.close()
    time.sleep(0.5)
    before = program.rss_mib
    tunnels: list[Tunnel] = []
    with Probe(ground, tls_port) as probe:
        try:
            _fill(tunnels, entrance, service, ground.users, count)
            time.sleep(RESTING)
            gained = program.rss_mib - before
        finally:
            for tunnel in tunnels:
                tunnel.close()
    if len(probe.seconds) < 10:
        raise BrokenResponse(
            f"GET /livez was answered only {len(probe.seconds)} times, failed {probe.failed} times"
        )
    return CrowdFigures(
        count, gained * 1024 / count, statistics.quantiles(probe.seconds, n=100)[98] * 1000, probe.failed
    )


def _fill(
    tunnels: list[Tunnel], entrance: Entrance, service: Service, users: Sequence[User], count: int
) -> None:
    deadline = time.monotonic() + LONGEST
    while len(tunnels) < count:
        if time.monotonic() > deadline:
            raise BrokenResponse(f"only {len(tunnels)} of {count} tunnels were open after {LONGEST:g} s")
        tunnels.append(_used(entrance, service, users, len(tunnels)))


def _used(entrance: Entrance, service: Service, users: Sequence[User], number: int) -> Tunnel:
    """Open, and a large frame went each way.  Each user has an address: there are limits for both."""
    user = number % len(users)
    tunnel = Tunnel(entrance, service, "/echo", users[user], f"127.0.1.{1 + user}")
    tunnel.send(PAYLOAD)
    if tunnel.receive() != PAYLOAD:
        tunnel.close()
        raise BrokenResponse("something else came back than was sent")
    return tunnel


class Probe:
    """Asks GET /livez on one connection, again and again, while it is open.

    `seconds` holds how long each took.
    """

    def __init__(self, ground: Ground, port: int) -> None:
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=10, context=ground.client_tls()
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="livez")
        self.seconds: list[float] = []
        self.failed = 0

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._over.wait(PROBE_EVERY):
            begun = time.monotonic()
            try:
                self._connection.request("GET", "/livez")
                response = self._connection.getresponse()
                response.read()
                self.failed += response.status != 200
            except (OSError, http.client.HTTPException):
                self._connection.close()  # the next request opens it anew
                self.failed += 1
            self.seconds.append(time.monotonic() - begun)
