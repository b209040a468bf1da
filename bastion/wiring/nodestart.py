"""What a start of the node proxy needs of its surroundings: the API client, background work, an end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastion.cluster.access import ApiAccess
from bastion.cluster.apiservers import ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.kubeconfig import access_from_text, load_access
from bastion.cluster.throttle import Throttle
from bastion.node.config.settings import Settings
from bastion.node.userspace.mapping import Mapped
from bastion.runtime.errors import StartError
from bastion.settings.allocating import Announcing

_log = logging.getLogger("bastion.node")


@dataclass(frozen=True, slots=True)
class Start:
    """`configured` is the whole configuration as an object; `notes` are said once."""

    settings: Settings
    configured: dict[str, Any]
    notes: tuple[str, ...]
    file: Path | None
    master: str
    manifests: tuple[Path, ...]
    mapping: tuple[Mapped, ...]
    announcing: Announcing


class Stop:
    """The first reason to end counts."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def __call__(self, status: int) -> None:
        if not self.status.done():
            self.status.set_result(status)


async def open_api(start: Start, stack: AsyncExitStack, *, throttled: bool = True) -> ApiClient:
    settings = start.settings
    access: ApiAccess
    if start.manifests:
        from bastion.standalone.apiserver import ApiServer

        embedded = await stack.enter_async_context(ApiServer(start.manifests, None))
        access = access_from_text(embedded.kubeconfig())
    else:
        given = Path(settings.kubeconfig) if settings.kubeconfig else None
        access = await asyncio.to_thread(load_access, given)
    keeping = asyncio.create_task(access.keep(), name="credentials")
    stack.callback(keeping.cancel)
    servers = ApiServers([start.master] if start.master else [access.server])
    if not throttled:
        return ApiClient(access, servers)
    return ApiClient(access, servers, Throttle(max(1, round(settings.qps)), max(1, settings.burst)))


class Background:
    """Tasks that end with the stack; one that fails ends the program."""

    def __init__(self, stack: AsyncExitStack, stop: Stop) -> None:
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        stack.push_async_callback(self._cancel)

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        expected = isinstance(error, StartError)
        _log.critical("%s: %s", task.get_name(), error, exc_info=None if expected else error)
        self._stop(1)

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
