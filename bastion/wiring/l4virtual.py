"""`--virtual-ip`: an address that one of several load balancers has, in place of keepalived.

Who has it is decided as for the addresses of Services: by Leases, and by a hash.  It is on an interface of
our own while it is ours, and the kernel does not answer for it on the link: what remains of a process that
was killed must not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack

from bastion.node import kernel
from bastion.node.balancers.announcer import Announcer, Settings, steady
from bastion.node.balancers.renewal import Renewal
from bastion.node.userspace.interface import Interface, remove_interface
from bastion.runtime.errors import StartError
from bastion.settings.balancing import Balancing
from bastion.wiring.l4servers import Checks

INTERFACE = "bastion-lb"

_log = logging.getLogger("bastion.lb")


class _Carried:
    """The addresses on our interface."""

    def __init__(self) -> None:
        self._interface = Interface(INTERFACE)
        self._now: frozenset[str] = frozenset()

    def carry(self, addresses: frozenset[str]) -> None:
        for some, change in (
            (self._now - addresses, self._interface.remove),
            (addresses - self._now, self._interface.add),
        ):
            for address in some:
                try:
                    change(address)
                except OSError as error:
                    _log.error("%s: %s", address, error.strerror)
        self._now = addresses


async def open_virtual(
    options: Balancing, checks: Checks, serves: Callable[[], bool], stack: AsyncExitStack
) -> None:
    """`serves`: whether a connection would be led anywhere; else others have it.  Raises StartError."""
    api = checks.api
    assert api is not None
    try:
        carried = _Carried()
    except OSError as error:
        raise StartError(f"--virtual-ip: {error.strerror}: it takes CAP_NET_ADMIN and CAP_NET_RAW") from error
    stack.callback(_removed)
    host, namespace, prefix = socket.gethostname().lower(), options.lease_namespace, options.virtual_ip_lease
    renewal = Renewal(api, namespace, prefix, options.virtual_ip_identity or host, steady, serves)
    announcer = Announcer(
        api,
        renewal,
        Settings(options.virtual_ip_identity or host, namespace, prefix, options.virtual_ip_interfaces),
        kernel.attached,
        kernel.answer_strictly,
        carried.carry,
    )
    announcer.claim(dict.fromkeys(options.virtual_ips))
    task = asyncio.create_task(announcer.run(), name="announcing")
    task.add_done_callback(_ended)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _log.critical("the virtual IP is announced no more: %r", task.exception())


def _removed() -> None:
    with contextlib.suppress(OSError):
        remove_interface(INTERFACE)
