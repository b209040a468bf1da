"""What gives addresses to Services of type LoadBalancer, put together: `bastion lb controller`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from bastion.cluster.apiservers import ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.election import Election, Holder, Leading
from bastion.cluster.kubeconfig import load_access
from bastion.network.responder import NOT_FOUND, Page, Responder
from bastion.node.balancers.controller import Controller
from bastion.node.balancers.poolfile import pools_of
from bastion.node.balancers.pools import Pool
from bastion.node.balancers.services import Classes
from bastion.node.events import Events
from bastion.observe.families import Family, gauge, text
from bastion.observe.process import Process
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.allocating import Allocating, PoolText
from bastion.wiring.background import in_background

_start_log = logging.getLogger("bastion.start")


def pools(flags: Iterable[PoolText], file: Path | None) -> tuple[Pool, ...]:
    """Raises ConfigError."""
    written = None
    if file is not None:
        try:
            written = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            raise ConfigError([f"{file}: {reason}"]) from error
    return pools_of([(one.name, one.ranges) for one in flags], written, str(file))


def open_controller(
    api: ApiClient,
    classes: Classes,
    found: tuple[Pool, ...],
    namespace: str,
    lease: str,
    stack: AsyncExitStack,
) -> tuple[Controller, Election]:
    """It runs until the stack closes."""
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
    events = Events(api, "bastion-lb", identity)
    in_background(stack, events.keep(), "events")
    controller = Controller(api, classes, found, events)
    clock = asyncio.get_running_loop().time
    election = Election(api, namespace, lease, Holder(identity), clock, what="gives addresses to Services")
    leading = asyncio.create_task(Leading(election, controller.work, lambda: True).run(), name="controller")

    async def end() -> None:
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)

    stack.push_async_callback(end)
    return controller, election


async def serve(options: Allocating, found: tuple[Pool, ...]) -> int:
    """Until SIGTERM.  The Lease is given up, so that the next one need not wait."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        access = await asyncio.to_thread(load_access, options.kubeconfig)
        in_background(stack, access.keep(), "credentials")
        api = await stack.enter_async_context(ApiClient(access, ApiServers([access.server])))
        classes = Classes(options.balancer_class, options.classless)
        controller, election = open_controller(
            api, classes, found, options.lease_namespace, options.lease, stack
        )
        await _pages(options, controller, election, stack)
        _start_log.info("%d pools for Services of class %s", len(found), classes.name)
        await stopping.wait()
    return 0


def leads(*, holds: bool) -> Family:
    return gauge("bastion_lb_leads", "1 where this replica works.", (), {(): holds})


async def _pages(
    options: Allocating, controller: Controller, election: Election, stack: AsyncExitStack
) -> None:
    """Raises StartError."""
    where = options.metrics_bind_address
    if where is None:
        return
    process = Process()

    def page(path: str) -> Page:
        if path == "/metrics":
            families = [leads(holds=election.holds), *controller.families(), *process.families()]
            return Page(200, text(families), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/livez":
            return Page(200, b"ok\n")
        if path in ("/readyz", "/healthz"):
            return Page(503, f"{election.failure}\n".encode()) if election.failure else Page(200, b"ok\n")
        return NOT_FOUND

    responder = Responder(page)
    stack.callback(responder.close)
    try:
        await responder.listen([where[0]], where[1])
    except OSError as error:
        raise StartError(f"cannot listen at {where[0]} port {where[1]}: {error.strerror}") from error
