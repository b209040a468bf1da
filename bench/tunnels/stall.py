"""Does a client that stops reading stop its backend, too, or does the bastion hold what it does not take?"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.fixture import Service, User
from bench.processes import Program
from bench.tunnels.client import Entrance, Tunnel, counts

READERS = 8
FILLING = 3.0  # seconds in which the kernel's buffers, and ours, may fill
WATCHING = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Stall:
    """`mib_each`: memory held for a reader.

    `still_written`: bytes that the backends could write after the buffers were full.
    """

    mib_each: float
    still_written: int


def measure(entrance: Entrance, program: Program, service: Service, user: User) -> Stall:
    """Raises UpgradeRefused, BrokenResponse, OSError."""
    _stalled(entrance, service, user).close()
    time.sleep(0.5)
    before = program.rss_mib
    readers = [_stalled(entrance, service, user) for _ in range(READERS)]
    try:
        time.sleep(FILLING)
        written = counts(service)["written"]
        time.sleep(WATCHING)
        return Stall((program.rss_mib - before) / READERS, counts(service)["written"] - written)
    finally:
        for reader in readers:
            reader.close()


def _stalled(entrance: Entrance, service: Service, user: User) -> Tunnel:
    tunnel = Tunnel(entrance, service, "/source", user)
    tunnel.receive()
    return tunnel
