"""Runs one reflector with kube-proxy's selectors and hands what changes to the model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

from bastion.cluster.errors import ApiError
from bastion.discovery.reflector import GONE, ObjectChange, Reflector, WatchExpired
from bastion.node.objects import HEADLESS_LABEL, PROXY_NAME_LABEL, EndpointSlice, Node, Service, ServiceCIDR
from bastion.runtime.turns import BACKGROUND, Asker

Key = tuple[str, str]
Put = Callable[[Key, Any], None]

QUIET = 30.0  # seconds between two lines about the same failure
Source = tuple[str, type[Any], dict[str, str]]  # path, what an object is, selectors
SELECTORS: dict[str, Source] = {
    "services": (
        "/api/v1/services",
        Service,
        {"labelSelector": f"!{PROXY_NAME_LABEL}", "fieldSelector": "spec.clusterIP!=None"},
    ),
    "endpointslices": (
        "/apis/discovery.k8s.io/v1/endpointslices",
        EndpointSlice,
        {"labelSelector": f"!{HEADLESS_LABEL}"},
    ),
    "nodes": ("/api/v1/nodes", Node, {}),
    "servicecidrs": ("/apis/networking.k8s.io/v1/servicecidrs", ServiceCIDR, {}),
}

_log = logging.getLogger("bastion.node")


class Lists(Protocol):
    """What is needed of the API server; see `discovery.informer`."""

    async def list(self, path: str, query: dict[str, str]) -> bytes: ...

    def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[bytes, None]: ...

    async def get(self, path: str, query: dict[str, str], asker: Asker) -> bytes: ...


class Watching:
    """`listed` is set once a whole list was seen; for what is optional also when the server does not know
    it.
    """

    def __init__(
        self,
        resource: str,
        api: Lists,
        put: Put,
        *,
        only: str = "",
        optional: bool = False,
        source: Source | None = None,
    ) -> None:
        """`source` instead of the row of SELECTORS."""
        self.resource = resource
        self._path, struct, self._query = source or SELECTORS[resource]
        if only:
            self._query = self._query | {"fieldSelector": f"metadata.name={only}"}
        self.listed = asyncio.Event()
        self._api = api
        self._put = put
        self._optional = optional
        self._known: set[Key] = set()
        self._reflector: Reflector[Any] = Reflector(struct)
        self._said: tuple[str, float] = ("", 0.0)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._reflector.delay(random.random()))
            began = loop.time()
            try:
                ask = self._reflector.ask()
                if ask.watch:
                    await self._watch(ask.query | self._query)
                    self._reflector.ended(loop.time() - began)
                else:
                    await self._list(ask.query | self._query)
            except ApiError as error:
                lasted = loop.time() - began
                self._reflector.failed(error.status, error.retry_after, ahead=error.ahead, lasted=lasted)
                self._failed(error)
            except WatchExpired:
                _log.info("what came next of %s is no longer known: listing anew", self._path)
            except ValueError as error:
                self._reflector.failed()
                self._failed(ApiError(f"what it sent cannot be read: {error}"))

    async def _list(self, query: dict[str, str]) -> None:
        page = await self._api.list(self._path, query)
        for changes in self._reflector.slices(page):
            for change in changes:
                self._apply(change)
            await asyncio.sleep(0)
        keys = self._reflector.listed()
        if keys is not None:
            for key in self._known - keys:
                self._apply(ObjectChange(key, None))
            self.listed.set()

    async def _watch(self, query: dict[str, str]) -> None:
        async with contextlib.aclosing(self._api.watch(self._path, query)) as lines:
            async for line in lines:
                if not line:
                    check = self._reflector.begun()
                    if check is not None:
                        body = await self._api.get(self._path, check | self._query, BACKGROUND)
                        self._reflector.checked(body)
                    continue
                change = self._reflector.event(line)
                if change is not None:
                    self._apply(change)

    def _apply(self, change: ObjectChange[Any]) -> None:
        if change.object is None:
            self._known.discard(change.key)
        else:
            self._known.add(change.key)
        self._put(change.key, change.object)

    def _failed(self, error: ApiError) -> None:
        if error.ahead or error.status == GONE:
            return
        if self._optional and error.status in (403, 404):
            self.listed.set()
        now = asyncio.get_running_loop().time()
        text, since = self._said
        if str(error) != text or now - since > QUIET:
            self._said = (str(error), now)
            level = logging.INFO if self._optional else logging.WARNING
            _log.log(level, "%s cannot be read: %s; what is in force stays", self.resource, error)
