"""An hour of scheduled probes in a moment: the clock and the connections are scripted.

SOAK_ROUNDS: how many targets there are.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections import deque
from typing import Any, cast

import pytest

from bastion.discovery.catalog import Catalog
from bastion.kube.endpoint import Endpoint
from bastion.network.addresses import DialPolicy
from bastion.probe.attempt import Environment
from bastion.probe.contexts import Contexts
from bastion.probe.history import History
from bastion.probe.modulefile import DEFAULT
from bastion.probe.modulesource import ModuleSource
from bastion.probe.oauth import Tokens
from bastion.probe.places import Place, Places
from bastion.probe.runner import Runner
from bastion.probe.sweeper import Sweeper
from bastion.probe.target import ProbeTarget, target_of
from bastion.probe.wanted import Wanted
from tests.fakes import ClockLoop, pass_time, run

TARGETS = int(os.environ.get("SOAK_ROUNDS", "8"))
HOUR, STEP, ROLLOUT = 3600, 10.0, 900  # seconds; pods are replaced by others every ROLLOUT
SAYS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
    b"",
)


class Scripted:
    """Each connection is one end of a pair; what the other says was written before."""

    def __init__(self) -> None:
        self.dialled = 0
        self._others: deque[socket.socket] = deque()

    async def connect(self, policy: DialPolicy, endpoint: Endpoint) -> socket.socket:
        self.dialled += 1
        if self.dialled % 11 == 0:
            raise ConnectionRefusedError(111, "refused")
        here, there = socket.socketpair()
        there.sendall(SAYS[self.dialled % 7 % len(SAYS)])
        there.shutdown(socket.SHUT_WR)
        here.setblocking(False)
        self._others.append(there)
        while len(self._others) > 100:
            self._others.popleft().close()
        return here


class Rollouts:
    """Two pods behind each target, others after a while."""

    async def of(self, target: ProbeTarget, asker: Any, *, udp: bool = False) -> list[Place]:
        generation = int(asyncio.get_running_loop().time()) // ROLLOUT % 200
        name = target.named.name
        return [
            Place((Endpoint(f"10.{generation}.{n}.{int(name) % 250}", 8080),), f"{name}-{generation}-{n}")
            for n in range(2)
        ]

    def same_right(self, target: ProbeTarget, rest: bytes) -> bool:
        return True


class Asked(Sweeper):
    def wanted(self) -> list[Wanted]:
        return [
            Wanted("Service", "a", str(n), target_of(f"services/a/{n}:http".encode()), DEFAULT)
            for n in range(TARGETS)
        ]


@pytest.mark.timeout(120 + 5 * TARGETS)
def test_an_hours_probes_leave_nothing_behind() -> None:
    """Measured from when the rings of results are full, which is after an hour."""

    async def main() -> None:
        scripted, history = Scripted(), History()
        environment = Environment(DialPolicy(), cast(Contexts, None), Tokens(), scripted.connect)
        modules = ModuleSource(None)
        loop = asyncio.get_running_loop()
        sweeper = Asked(
            runner=Runner(environment, cast(Places, Rollouts()), 0, 0),
            modules=modules,
            catalog=Catalog(),
            history=history,
            interval=30.0,
            folk=False,
            now=loop.time,
        )
        task = asyncio.create_task(sweeper.run())
        sizes = []
        for _ in range(2):
            for _ in range(int(HOUR / STEP)):
                await pass_time(STEP)
            gc.collect()
            sizes.append(sys.getallocatedblocks())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert sweeper.runs >= 2 * TARGETS * HOUR / 30 * 0.98
        assert scripted.dialled >= 2 * sweeper.runs
        assert sizes[1] - sizes[0] <= sizes[0] * 0.01, sizes

    run(main(), loop=ClockLoop)
