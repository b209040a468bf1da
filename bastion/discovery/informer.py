"""Runs a reflector over the API client and applies its changes to the catalog."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import NamedTuple

from bastion.cluster.errors import ApiError
from bastion.cluster.outages import Outages
from bastion.cluster.rights import reading
from bastion.discovery.apiclient import ListWatchClient
from bastion.discovery.catalog import Catalog
from bastion.discovery.reflector import GONE, ObjectChange, Reflector, WatchExpired
from bastion.kube.objects import STRUCTS, Object, path_of
from bastion.runtime.turns import BACKGROUND

# seconds without a response: a watch is asked to last for half of it, and counts when it begins and ends
STALE = 60.0
AT_ONCE = 2  # events of a watch, or so many bytes of them; then other tasks run first
BYTES_AT_ONCE = 65536

_log = logging.getLogger("bastion.discovery")


class InformerStatistics(NamedTuple):
    """`age`: seconds since the API server last responded, None before that; `lists`: lists requested."""

    age: float | None
    lists: int


class Informer:
    """Keeps one resource of the catalog (in one namespace, where one is given) equal to the API server's."""

    def __init__(
        self,
        resource: str,
        api: ListWatchClient,
        catalog: Catalog,
        namespace: str = "",
        outages: Outages | None = None,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.lists = 0
        self._path = path_of(resource, namespace)
        self._api = api
        self._catalog = catalog
        self._reflector: Reflector[Object] = Reflector(STRUCTS[resource])
        self._rights = {right.verb: right for right in reading(resource, namespace)}
        self._outages = outages if outages is not None else Outages()
        self._heard: float | None = None
        self._refused = False
        self._asking = self._rights["list"]
        self._doubted = ""  # why
        self._since: float | None = None  # when the watch at hand began
        self._watching: asyncio.Timeout | None = None
        catalog.listeners.went_back.append(self.doubt)
        catalog.expect(resource, namespace)

    @property
    def version(self) -> str | None:
        """Everything up to this resourceVersion is known; None while a list is due."""
        return self._reflector.version

    @property
    def age(self) -> float | None:
        """Seconds since the API server last responded for this resource; None before that."""
        return asyncio.get_running_loop().time() - self._heard if self._heard is not None else None

    def statistics(self) -> InformerStatistics:
        return InformerStatistics(self.age, self.lists)

    def why_not_ready(self) -> str | None:
        """None although a permission was lost: a mistake in RBAC must not take out all replicas."""
        age = self.age
        if age is None:
            return "not yet read from the API server"
        return (
            f"nothing heard from the API server for {age:.0f} s"
            if age > STALE and not self._refused
            else None
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._reflector.delay(random.random()))
            try:
                self._settle_doubt()
                await self._once()
            except ApiError as error:
                self._reflector.failed(
                    error.status, error.retry_after, ahead=error.ahead, lasted=self._lasted()
                )
                self._failed(error)
            except WatchExpired as error:
                self._say_expired(error)
            except ValueError as error:
                self._reflector.failed()
                self._failed(ApiError(f"its response cannot be decoded: {error}"))

    def _settle_doubt(self) -> None:
        """Raises WatchExpired."""
        why, self._doubted = self._doubted, ""
        if why and self._reflector.version is not None:
            self._reflector.went_back(why)

    async def _once(self) -> None:
        self._since = None
        ask = self._reflector.ask()
        self._asking = self._rights["watch" if ask.watch else "list"]
        if ask.watch:
            await self._watch(ask.query)
        else:
            await self._list(ask.query)

    async def _list(self, query: dict[str, str]) -> None:
        self.lists += "continue" not in query
        page = await self._api.list(self._path, query)
        for changes in self._reflector.slices(page):
            for change in changes:
                self._apply(change)
            await asyncio.sleep(0)  # other tasks run first
        self._answered()
        keys = self._reflector.listed()
        if keys is not None:
            for _ in self._catalog.retain(self.resource, keys, self.namespace):
                await asyncio.sleep(0)

    def doubt(self, why: str) -> None:
        """The API server's data went back in time: lists again, and at once."""
        self._doubted = why
        if self._watching is not None and not self._watching.expired():
            self._watching.reschedule(0.0)

    async def _watch(self, query: dict[str, str]) -> None:
        """Raises WatchExpired, also where `doubt` was called meanwhile."""
        try:
            async with asyncio.timeout(None) as self._watching:
                await self._follow(query)
        except TimeoutError:
            pass
        finally:
            self._watching = None
        self._reflector.ended(self._lasted())

    def _lasted(self) -> float:
        """Seconds since the current watch began, 0 where it did not."""
        return asyncio.get_running_loop().time() - self._since if self._since is not None else 0.0

    async def _follow(self, query: dict[str, str]) -> None:
        events = size = 0
        async with contextlib.aclosing(self._api.watch(self._path, query)) as lines:
            async for line in lines:
                self._answered()
                if not line:
                    await self._begun()
                    continue
                change = self._reflector.event(line)
                if change is not None:
                    self._check(change)
                    self._apply(change)
                events += 1
                size += len(line)
                if events == AT_ONCE or size >= BYTES_AT_ONCE:
                    events = size = 0
                    await asyncio.sleep(0)  # in a burst, too
        self._answered()

    async def _begun(self) -> None:
        """Raises ApiError, and WatchExpired where the API server's data is of an earlier time."""
        self._since = asyncio.get_running_loop().time()
        query = self._reflector.begun()
        if query is not None:
            self._asking = self._rights["list"]
            self._reflector.checked(await self._api.get(self._path, query, BACKGROUND))
            self._answered()
            self._asking = self._rights["watch"]

    def _check(self, change: ObjectChange[Object]) -> None:
        """A change of an unknown object means that the API server's data is another history.

        Slices without a service are not kept, so they do not count.
        """
        if (
            change.of_known
            and self.resource != "endpointslices"
            and not self._catalog.holds(self.resource, change.key)
        ):
            self._catalog.doubt(f"{'/'.join(filter(None, change.key))} was changed but never added")

    def _apply(self, change: ObjectChange[Object]) -> None:
        self._catalog.apply(self.resource, change.object, change.key)

    def _answered(self) -> None:
        self._heard = asyncio.get_running_loop().time()
        self._refused = False
        self._outages.answered(self._asking)

    def _failed(self, error: ApiError) -> None:
        if error.ahead or error.status == GONE:
            return self._say_expired(error)
        self._refused = error.status in (401, 403)
        if self._refused and not self._catalog.synced.get(self.resource):
            self._catalog.refused.add(self.resource)
        else:
            self._catalog.refused.discard(self.resource)
        self._outages.failed(self._asking, error)
        return None

    def _say_expired(self, error: Exception) -> None:
        _log.info("the watch of %s cannot go on (%s): listing again", self._path, error)
