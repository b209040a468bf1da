"""Runs one reflector over the API client and hands what changes to the catalog."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator
from typing import Protocol

from bastion.cluster.errors import ApiError
from bastion.discovery.catalog import Catalog
from bastion.discovery.reflector import GONE, Change, Reflector, WatchExpired
from bastion.kube.objects import STRUCTS, Object, path_of

AT_ONCE = 2  # events of a watch, or so many bytes of them; then whoever waits for the loop goes first
BYTES_AT_ONCE = 65536

_log = logging.getLogger("bastion.discovery")


class Lists(Protocol):
    """What is needed of the API server.  Both raise ApiError."""

    async def list(self, path: str, query: dict[str, str]) -> bytes: ...

    def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[bytes, None]: ...


class Informer:
    """Keeps one resource of the catalog (in one namespace, where one is named) equal to the API server's."""

    def __init__(self, resource: str, api: Lists, catalog: Catalog, namespace: str = "") -> None:
        self.resource = resource
        self.namespace = namespace
        self.lists = 0
        self._path = path_of(resource, namespace)
        self._api = api
        self._catalog = catalog
        self._reflector: Reflector[Object] = Reflector(STRUCTS[resource])
        self._failing = False
        catalog.expect(resource, namespace)

    @property
    def version(self) -> str | None:
        """All that was up to this resourceVersion is known; None while a list is due."""
        return self._reflector.version

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._reflector.delay(random.random()))
            try:
                await self._once()
            except ApiError as error:
                self._reflector.failed(error.status, error.retry_after)
                self._say(error)
            except WatchExpired as error:
                self._say_expired(error)
            except ValueError as error:
                self._reflector.failed()
                self._say(error)
            else:
                self._failing = False

    async def _once(self) -> None:
        ask = self._reflector.ask()
        if ask.watch:
            await self._watch(ask.query)
        else:
            await self._list(ask.query)

    async def _list(self, query: dict[str, str]) -> None:
        self.lists += "continue" not in query
        for changes in self._reflector.slices(await self._api.list(self._path, query)):
            for change in changes:
                self._apply(change)
            await asyncio.sleep(0)  # whoever waits for the loop goes first
        keys = self._reflector.listed()
        if keys is not None:
            for _ in self._catalog.retain(self.resource, keys, self.namespace):
                await asyncio.sleep(0)

    async def _watch(self, query: dict[str, str]) -> None:
        events = size = 0
        async with contextlib.aclosing(self._api.watch(self._path, query)) as lines:
            async for line in lines:
                change = self._reflector.event(line)
                if change is not None:
                    self._apply(change)
                events += 1
                size += len(line)
                if events == AT_ONCE or size >= BYTES_AT_ONCE:
                    events = size = 0
                    await asyncio.sleep(0)  # in a burst, too
        self._reflector.ended()

    def _apply(self, change: Change[Object]) -> None:
        self._catalog.apply(self.resource, change.object, change.key)

    def _say(self, error: Exception) -> None:
        """The first of a row of failures is news, the others are not."""
        if isinstance(error, ApiError) and error.status == GONE:
            return self._say_expired(error)
        if not self._failing:
            _log.warning("cannot read %s from the API server: %s; retrying with back-off", self._path, error)
        self._failing = True
        return None

    def _say_expired(self, error: Exception) -> None:
        _log.info("where %s was to go on is no longer known (%s): listing anew", self._path, error)
