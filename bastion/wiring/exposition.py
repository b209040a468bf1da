"""What a scrape of /metrics gets: the metrics of this process, or of all workers where there are several."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

from bastion.observe.collecting import Worker
from bastion.observe.families import Family, pieces
from bastion.observe.metrics import Metrics
from bastion.settings.observing import Observing

_log = logging.getLogger("bastion.metrics")


async def open_exposition(
    settings: Observing, metrics: Metrics, stack: AsyncExitStack
) -> Callable[[], Awaitable[bytes]]:
    if settings.folder is not None:
        worker = Worker(settings.folder, settings.number, os.getpid(), metrics.families)
        try:
            server = await worker.answering()
        except OSError as error:
            _log.error("each worker's /metrics has its own metrics only: %s", error.strerror or error)
        else:
            stack.callback(server.close)

            async def of_all_workers() -> bytes:
                return await _rendered(await worker.of_all())

            return of_all_workers

    async def of_this_process() -> bytes:
        return await _rendered(metrics.families())

    return of_this_process


async def _rendered(families: Iterable[Family]) -> bytes:
    found = []
    for piece in pieces(families):
        found.append(piece)
        await asyncio.sleep(0)
    return b"".join(found)
