"""The node proxy, put together: `bastion node`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from bastion.network.responder import Responder
from bastion.node import kernel
from bastion.node.addresses import FAMILIES, IPV4
from bastion.node.config.settings import IPTABLES, USERSPACE
from bastion.node.deriving import loopback_takes_node_ports
from bastion.node.health import Health
from bastion.node.metrics import Metrics
from bastion.runtime.errors import StartError
from bastion.runtime.follow import FileChanges
from bastion.wiring.nodemodes import open_mode, remove_all
from bastion.wiring.nodeproxy import NodeProxy
from bastion.wiring.nodestart import Background, Start, Stop, open_api

LOOK_EVERY = 0.5  # seconds between looks at the configuration file

_log = logging.getLogger("bastion.node")
_start_log = logging.getLogger("bastion.start")


def serve(start: Start) -> int:
    """The exit status: 1 where the configuration file changes, so that a supervisor starts it anew."""
    gc.disable()  # until everything was read once: the first sync only makes what stays
    for note in start.notes:
        _log.warning("%s", note)
    return uvloop.run(_serve(start))


def initialise(start: Start) -> int:
    """What takes full root; afterwards CAP_NET_ADMIN is enough."""
    kernel.set_conntrack(start.settings.conntrack)
    if start.settings.mode == IPTABLES and loopback_takes_node_ports(start.settings):
        kernel.route_loopback(on=True)
    return 0


async def clean_up(start: Start) -> int:
    return 0 if await remove_all() else 1


async def _serve(start: Start) -> int:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop, 0)
    async with AsyncExitStack() as stack:
        running = asyncio.create_task(_open(start, stop, stack))
        stop.status.add_done_callback(lambda _: running.cancel())
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return await stop.status


async def _open(start: Start, stop: Stop, stack: AsyncExitStack) -> None:
    settings = start.settings
    kernel.set_oom_score(settings.oom_score)
    with contextlib.suppress(StartError) if settings.mode == USERSPACE else contextlib.nullcontext():
        kernel.set_conntrack(settings.conntrack)  # in userspace mode whatever may be set is enough
    families = tuple(family for family in FAMILIES if family == IPV4 or kernel.has_ipv6())
    metrics = Metrics()
    mode = await open_mode(settings, families, metrics, start.mapping, stack)
    families = tuple(mode.writers)
    health = Health(families, 2 * settings.sync_period)
    api = await stack.enter_async_context(await open_api(start, stack))
    node = NodeProxy(start, stop, families, metrics, health, api)
    work = Background(stack, stop)
    if start.file is not None:
        work.begin(_watch_file(start.file, stop), "the configuration file")
    node.begin(work)
    pages = ((settings.healthz, node.health_pages()), (settings.metrics, node.metrics_pages()))
    for where, page in pages:
        if where is not None:
            responder = Responder(page)
            stack.callback(responder.close)
            listening = responder.keep_listening(*where, hard=settings.bind_hard_fail)
            work.begin(_or_end(listening, where), f"listening at port {where[1]}")
    await node.ready()
    _start_log.info("serving Services on node %s by %s", settings.node, settings.mode)
    await node.first_sync(mode, work)
    if start.announcing.load_balancer or start.announcing.announce:
        from bastion.wiring.nodebalancing import open_balancing

        await open_balancing(start, stop, node, stack)
    gc.freeze()  # the catalog lives on: it is not to be walked by every full collection
    gc.enable()


async def _watch_file(file: Path, stop: Stop) -> None:
    changes = FileChanges(lambda: [file])
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if changes.happened():
            _log.critical("content of %s was updated: ending, to be started with it", file)
            return stop(1)


async def _or_end(listening: Coroutine[Any, Any, None], where: tuple[str, int]) -> None:
    try:
        await listening
    except OSError as error:
        raise StartError(f"cannot listen at {where[0]} port {where[1]}: {error.strerror}") from error
