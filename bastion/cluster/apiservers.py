"""Which API server is called?  Of several the current one while it is healthy, else another healthy one.

Each is probed at `/readyz` every second, so that one that fails or is silent is left within two seconds;
calls under way there end, and their callers repeat them.  A failed server has to pass two probes in a row.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

Probe = Callable[[str], Awaitable[bool]]

PROBE_EVERY = 1.0  # seconds
PROBE_LEAST = 0.1  # seconds between probes, however much fails
PROBE_TIMEOUT = 0.8  # seconds
WELL_AGAIN = 2  # good probes

_log = logging.getLogger("bastion.cluster")


class ApiServer:
    """Its URL, how many probes in a row it has passed, and the calls under way there."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.healthy = True
        self._well = 0
        self._calls: set[asyncio.Timeout] = set()

    @contextlib.asynccontextmanager
    async def call(self, deadline: float | None) -> AsyncIterator[None]:
        """Raises TimeoutError after `deadline` seconds, or as soon as the server is given up."""
        async with asyncio.timeout(deadline) as timeout:
            self._calls.add(timeout)
            try:
                yield
            finally:
                self._calls.discard(timeout)

    def observe(self, well: bool) -> None:
        self._well = self._well + 1 if well else 0
        self.healthy = well and (self.healthy or self._well >= WELL_AGAIN)

    def give_up(self) -> None:
        now = asyncio.get_running_loop().time()
        for timeout in list(self._calls):
            if not timeout.expired():
                timeout.reschedule(now)


class ApiServers:
    """Each process starts with a random one of `urls`, so that not all of them load the first."""

    def __init__(
        self, urls: Sequence[str], choose: Callable[[Sequence[ApiServer]], ApiServer] = random.choice
    ) -> None:
        self._servers = [ApiServer(url) for url in dict.fromkeys(urls)]
        self._choose = choose
        self._doubt = asyncio.Event()
        self.current = choose(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def other_than(self, server: ApiServer) -> ApiServer | None:
        """Another healthy one, None where there is none."""
        well = [other for other in self._servers if other.healthy and other is not server]
        if self.current in well:
            return self.current
        return self._choose(well) if well else None

    def refused(self, server: ApiServer) -> None:
        """A connection could not be made: no probe is needed."""
        server.observe(False)
        self._move()

    def doubt(self) -> None:
        """A call failed: the next probes are due now."""
        self._doubt.set()

    async def watch(self, probe: Probe) -> None:
        """Until cancelled."""
        while True:
            results = await asyncio.gather(*(self._well(server, probe) for server in self._servers))
            for server, well in zip(self._servers, results, strict=True):
                server.observe(well)
            self._move()
            await asyncio.sleep(PROBE_LEAST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_EVERY - PROBE_LEAST):
                    await self._doubt.wait()
            self._doubt.clear()

    def _move(self) -> None:
        if self.current.healthy:
            return
        left, found = self.current, self.other_than(self.current)
        if found is not None:
            self.current = found
            _log.warning("the API server %s is not healthy: using %s from now on", left.url, found.url)
            left.give_up()

    async def _well(self, server: ApiServer, probe: Probe) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                return await probe(server.url)
        except TimeoutError:
            return False
