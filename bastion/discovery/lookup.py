"""Does a name exist that the catalog does not have?  One GET to the API server, for objects just created.

An object found goes into the catalog only where the watch has not reached its version yet: an object that the
watch has passed and the catalog does not have was deleted since, and no event would remove it again.  Unless
the watch had passed it before the GET: then etcd was restored from a backup, and the catalog is outdated.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import partial
from typing import Protocol

import msgspec

from bastion.cluster.errors import ApiError
from bastion.cluster.outage import Doing, unanswered
from bastion.discovery.apiclient import ObjectReader
from bastion.discovery.catalog import Catalog
from bastion.discovery.versions import age, is_passed
from bastion.kube.compaction import compact
from bastion.kube.errors import overloaded
from bastion.kube.objects import SERVICE_NAME_LABEL, STRUCTS, path_of
from bastion.kube.target import Target
from bastion.runtime.cache import Cache, CacheStatistics
from bastion.runtime.limits import Rate
from bastion.runtime.turns import Asker, Key

ABSENT = 1.0  # seconds for which an unknown name is cached
MAX_NAME = 253
SLICES = 25  # of a service just created; the watch brings the others

# RFC 1123; the API server has no object of another name
_NAME = re.compile(r"[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")


class InformerProgress(Protocol):
    """An informer; everything up to `version` is known."""

    resource: str
    namespace: str

    @property
    def version(self) -> str | None: ...


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    resource_version: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata


class _List(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


class Lookup:
    """`budget` limits each asker; `informers` are all that feed the catalog."""

    def __init__(
        self, api: ObjectReader, catalog: Catalog, informers: Iterable[InformerProgress], budget: Rate
    ) -> None:
        self._api = api
        self._catalog = catalog
        self._informers = {(informer.resource, informer.namespace): informer for informer in informers}
        self._budget = budget
        self._found: Cache[bool] = Cache(lambda found: 0.0 if found else ABSENT)
        self._now = asyncio.get_running_loop().time

    async def settle(self, target: Target, asker: Key) -> None:
        """Looks the target up, so that the catalog has it where it exists.

        Raises StatusError: 429 too many lookups of this asker, 503 the API server did not say.
        """
        key = (target.resource, target.namespace, target.name)
        if self._found.get(key) is not None or not _possible(target):
            return
        if not self._found.in_flight(key):
            if self._budget.exhausted(asker, self._now()):
                raise overloaded("too many lookups of unknown names by this user; try again shortly")
            self._budget.spend(asker, self._now())
        try:
            await self._found.find(key, partial(self._look_up, *key), asker)
        except (ApiError, TimeoutError, ValueError) as error:
            what = f"find out whether the {target.resource.removesuffix('s')} is there"
            raise unanswered(Doing(what, f"get {target.resource}"), error) from error

    def statistics(self) -> CacheStatistics:
        return self._found.statistics()

    async def _look_up(self, resource: str, namespace: str, name: str, asker: Asker) -> bool:
        informer = self._informer(resource, namespace)
        before = (
            informer.version
            if informer is not None and not self._catalog.holds(resource, (namespace, name))
            else None
        )
        try:
            found = await self._api.get(path_of(resource, namespace, name), {}, asker)
        except ApiError as error:
            # also where the bastion may not read it: then the catalog decides
            if error.status in (403, 404):
                return False
            raise
        back = self._went_back(resource, found, before)
        if resource == "services":
            selector = {"labelSelector": f"{SERVICE_NAME_LABEL}={name}", "limit": str(SLICES)}
            slices = msgspec.json.decode(
                await self._api.get(path_of("endpointslices", namespace), selector, asker), type=_List
            )
            for piece in slices.items or ():
                self._take("endpointslices", bytes(piece), passed=back)
                await asyncio.sleep(0)  # each may have a thousand endpoints
        return self._take(resource, found, passed=back)

    def _informer(self, resource: str, namespace: str) -> InformerProgress | None:
        return self._informers.get((resource, namespace)) or self._informers.get((resource, ""))

    def _went_back(self, resource: str, body: bytes, before: str | None) -> bool:
        """Whether everything up to `before` was known and yet not this object: then all is listed again."""
        metadata = msgspec.json.decode(body, type=_Object).metadata
        informer, key = self._informer(resource, metadata.namespace), (metadata.namespace, metadata.name)
        if not is_passed(metadata.resource_version, before) or self._catalog.holds(resource, key):
            return False
        if informer is None or not is_passed(metadata.resource_version, informer.version):
            return False  # a list is under way already
        self._catalog.doubt(
            f"{'/'.join(filter(None, key))} of version {metadata.resource_version} exists, but is"
            f" not among the objects up to {before}"
        )
        return True

    def _take(self, resource: str, body: bytes, *, passed: bool = False) -> bool:
        """Applies the object.  False where the watch has passed its version, unless it did so wrongly
        (`passed`).
        """
        metadata = msgspec.json.decode(body, type=_Object).metadata
        informer = self._informer(resource, metadata.namespace)
        behind = (
            informer is not None
            and informer.version is not None
            and age(metadata.resource_version, informer.version) <= 0
        )
        if informer is None or (behind and not passed):
            return False
        found = msgspec.json.decode(body, type=STRUCTS[resource])
        self._catalog.apply(resource, compact(found), (metadata.namespace, metadata.name))
        return True


def _possible(target: Target) -> bool:
    return all(
        len(text) <= MAX_NAME and _NAME.fullmatch(text)
        for text in (target.name, target.namespace or "default")
    )
