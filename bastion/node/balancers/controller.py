"""Gives Services of type LoadBalancer their addresses: finalizer first, then the status, as cloud
controllers do.

Runs while this replica holds the Lease.  What it knows it reads anew each time: the Services' statuses
are the only store, so a restart or another replica changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from bastion.cluster.errors import ApiError
from bastion.node.balancers.allocator import Allocator, Given, Refused
from bastion.node.balancers.pools import Pool
from bastion.node.balancers.services import (
    FINALIZER,
    TYPE,
    Classes,
    Key,
    Service,
    ingress_of,
    is_wanted,
    says,
    wish_of,
)
from bastion.node.events import Events
from bastion.node.watching import Lists, Watching
from bastion.observe.families import Family, gauge
from bastion.runtime.turns import BACKGROUND, Asker

PATH = "/api/v1/services"
AGAIN_FIRST, AGAIN_MOST = 5.0, 300.0  # seconds before a Service that failed is tried again, doubling
CONFLICT, NOT_FOUND = 409, 404

_log = logging.getLogger("bastion.lb")
_decode = msgspec.json.Decoder(Service).decode


class Api(Lists, Protocol):
    """Raises ApiError."""

    async def patch(self, path: str, body: bytes, asker: Asker) -> bytes: ...


class Controller:
    def __init__(self, api: Api, classes: Classes, pools: Iterable[Pool], events: Events) -> None:
        self._api = api
        self._classes = classes
        self._pools = tuple(pools)
        self._events = events
        self._round = _Round(api, classes, self._pools, events)

    async def work(self) -> None:
        """Until cancelled; with nothing left of the time before."""
        self._round = _Round(self._api, self._classes, self._pools, self._events)
        await self._round.run()

    def families(self) -> list[Family]:
        """What a replica that does not hold the Lease knows is not of this moment, and not told."""
        allocator = self._round.allocator
        counts = list(allocator.counts()) if self._round.running else []
        waiting = len(allocator.waiting()) if self._round.running else 0
        return families(counts, waiting)


def families(counts: Iterable[tuple[str, int, int]], waiting: int) -> list[Family]:
    """`counts`: of each pool its name, its addresses and those in use; `waiting` Services have none."""
    help = "Addresses of a pool that Services have."
    return [
        gauge("bastion_lb_pool_addresses", "Addresses of a pool.", ("pool",), _by(counts, 1)),
        gauge("bastion_lb_pool_addresses_in_use", help, ("pool",), _by(counts, 2)),
        gauge("bastion_lb_services_waiting", "Services that get no address.", (), {(): waiting}),
    ]


def _by(counts: Iterable[tuple[str, int, int]], index: int) -> dict[tuple[str], float]:
    return {(str(one[0]),): float(one[index]) for one in counts}


class _Round:
    """From one list of all Services to the loss of the Lease."""

    def __init__(self, api: Api, classes: Classes, pools: tuple[Pool, ...], events: Events) -> None:
        self.allocator = Allocator(pools)
        self.running = False
        self._api = api
        self._classes = classes
        self._events = events
        self._services: dict[Key, Service] = {}
        self._dirty: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self._pauses: dict[Key, float] = {}  # of those that failed, how long the last one was
        self._watching = Watching("services", api, self._put, source=(PATH, Service, {}))

    async def run(self) -> None:
        watching = asyncio.create_task(self._watching.run(), name="watching services")
        self.running = True
        try:
            await self._watching.listed.wait()
            wanted = [one for one in self._services.values() if is_wanted(one, self._classes)]
            self.allocator.begin(map(wish_of, wanted))
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._dirty:
                    key = next(iter(self._dirty))
                    del self._dirty[key]
                    await self._sync(key)
        finally:
            self.running = False
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _put(self, key: Key, service: Service | None) -> None:
        if service is None:
            self._services.pop(key, None)
        else:
            self._services[key] = service
        self._mark(key)

    def _mark(self, key: Key) -> None:
        self._dirty[key] = None
        self._wake.set()

    # --- one Service

    async def _sync(self, key: Key) -> None:
        try:
            await self._settle(key, self._services.get(key))
        except ApiError as error:
            if error.status == CONFLICT:
                return  # somebody else changed it: the watch brings that
            if error.status == NOT_FOUND:
                return
            pause = self._pauses[key] = min(AGAIN_MOST, 2 * self._pauses.get(key, AGAIN_FIRST / 2))
            _log.warning("service %s/%s: %s; trying again in %g s", *key, error, pause)
            asyncio.get_running_loop().call_later(pause, self._mark, key)
        else:
            self._pauses.pop(key, None)

    async def _settle(self, key: Key, service: Service | None) -> None:
        """Raises ApiError."""
        if service is None or not is_wanted(service, self._classes):
            if service is not None and self._was_ours(service):
                await self._give_back(service)
            self._free(key, self.allocator.drop)
            return
        found = self._free(key, lambda _: self.allocator.put(wish_of(service)))
        if isinstance(found, Refused):
            self._events.warn("Service", *key, "AllocationFailed", found.why)
            if service.ingress:
                await self._write_status(service, ())
        else:
            await self._give(service, found)

    def _free(self, key: Key, change: Callable[[Key], Any]) -> Any:
        """What a change leaves free, others that wait may get."""
        before = self.allocator.given(key)
        result = change(key)
        after = self.allocator.given(key)
        if before is not None and (after is None or set(before.addresses) - set(after.addresses)):
            for waiting in self.allocator.waiting():
                if waiting != key:
                    self._mark(waiting)
        return result

    def _was_ours(self, service: Service) -> bool:
        """The finalizer is that of every implementation.  Once the type has changed the class is gone,
        too.
        """
        if not service.has_finalizer:
            return False
        if service.spec.type == TYPE:
            return self._classes.has(service)
        known = self.allocator.given(service.key) is not None
        from_pools = any(one.ip in pool for one in service.ingress if one.ip for pool in self.allocator.pools)
        return self._classes.classless or known or from_pools

    async def _give(self, service: Service, given: Given) -> None:
        key = service.key
        if not service.has_finalizer:
            finalizers = [*(service.metadata.finalizers or ()), FINALIZER]
            service = await self._write(service, {"metadata": {"finalizers": finalizers}})
        if says(service, given.addresses):
            return
        await self._write_status(service, given.addresses)
        for address, pool in zip(given.addresses, given.pools, strict=True):
            where = f"from pool {pool}" if pool else "although it is in no pool any more"
            note = f"{address} given, {where}"
            self._events.tell("Service", key[1], "IPAllocated", note, namespace=key[0])
            _log.info("service %s/%s: %s", *key, note)

    async def _give_back(self, service: Service) -> None:
        if service.ingress and service.metadata.deletion_timestamp is None:
            service = await self._write_status(service, ())
        left = [one for one in service.metadata.finalizers or () if one != FINALIZER]
        await self._write(service, {"metadata": {"finalizers": left or None}})
        _log.info("service %s/%s: its address was given back", *service.key)

    # --- writing: only over what was read

    async def _write_status(self, service: Service, addresses: tuple[str, ...]) -> Service:
        ingress = ingress_of(addresses) or None
        return await self._write(service, {"status": {"loadBalancer": {"ingress": ingress}}}, "/status")

    async def _write(self, service: Service, change: dict[str, Any], what: str = "") -> Service:
        """As it is afterwards.  Raises ApiError."""
        version = {"resourceVersion": service.metadata.resource_version}
        body = {**change, "metadata": {**version, **change.get("metadata", {})}}
        namespace, name = service.key
        path = f"/api/v1/namespaces/{namespace}/services/{name}{what}"
        written = _decode(await self._api.patch(path, msgspec.json.encode(body), BACKGROUND))
        if service.key in self._services:  # one that ended with its last finalizer may be gone meanwhile
            self._services[service.key] = written
        return written
