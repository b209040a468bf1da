"""A bastion in this very process and loop, where what it holds can be counted: tasks, deadlines,
connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

from bastion.runtime.listening import listen
from bastion.server.run import Endings, Server
from bastion.server.tls import serving_context
from bastion.settings.config import serve_config
from bastion.wiring.bastion import Bastion as Wired
from bastion.wiring.bastion import open_bastion
from tests.e2e.harness import ALLOWED, Bastion, Cluster

SOON = Endings(exchanges=0.1, tunnels=0.1)


class Inside:
    """`there` is where clients find it, as if it were a process of its own."""

    def __init__(self, wired: Wired, server: Server, there: Bastion, serving: asyncio.Task[None]) -> None:
        self._wired, self._server, self._serving = wired, server, serving
        self.there = there

    def held(self) -> dict[str, int]:
        state = self._wired.state
        return {
            "tasks": len(asyncio.all_tasks()),
            # the streams look twice a second for exchanges that have grown long
            "deadlines": len(state.deadlines) - 1,
            "connections": len(state.connections),
            "hijacked": len(state.hijacked),
            "exchanges": state.exchanges,
            "backend connections": self._wired.pool.statistics().open,
            "idle backend connections": self._wired.pool.statistics().idle,
        }

    async def stop(self) -> None:
        """As by a signal from outside.  Returns when it has stopped.

        A program ignores signals from then on, until it has ended; this one goes on.
        """
        os.kill(os.getpid(), signal.SIGTERM)
        await self._serving
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.asynccontextmanager
async def inside(cluster: Cluster, *flags: str, endings: Endings = SOON) -> AsyncIterator[Inside]:
    sources = (
        "--manifests",
        str(cluster.manifests),
        "--token-auth-file",
        str(cluster.tokens),
        "--allow-target-cidr",
        ALLOWED,
    )
    asked = serve_config([*sources, *flags])
    certificate, key = cluster.serving
    tls = serving_context(certificate, key)
    secure, plain = listen(("127.0.0.1", 0)), listen(("127.0.0.1", 0))
    log = os.open(os.devnull, os.O_WRONLY)
    there = Bastion(None, cluster, secure.getsockname()[1], plain.getsockname()[1], cluster.trust)  # type: ignore[arg-type]
    async with open_bastion(asked, log) as wired:
        server = Server(wired.state, endings, lambda: tls, [plain], wired.app)
        await wired.synced()
        serving = asyncio.create_task(server.serve(sockets=[secure]))
        while not server.started:
            await asyncio.sleep(0.001)
        running = Inside(wired, server, there, serving)
        try:
            yield running
        finally:
            if not serving.done():
                await running.stop()
    os.close(log)
