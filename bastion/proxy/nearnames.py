"""Tells near names with a 404: only those that its user may open with the same verb and the same port."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from bastion.authz.authorizer import Authorizer
from bastion.discovery.resolution import UnknownTarget
from bastion.kube.errors import not_found
from bastion.kube.status import StatusError
from bastion.kube.target import Target
from bastion.proxy.admission import Admitted

MOST_TOLD = 3
MOST_ASKED = 8  # questions to the authorizer for one answer

# resource, namespace and name -> names with their distances, the nearest first
Near = Callable[[str, str, str], list[tuple[int, str]]]


class NearNames:
    def __init__(self, near: Near, authorizer: Authorizer) -> None:
        self._near = near
        self._authorizer = authorizer

    async def told(self, unknown: UnknownTarget, admitted: Admitted) -> StatusError:
        """The 404 for what is unknown, with the nearest names that may be told."""
        target = unknown.target
        names: list[str] = []
        nearest = 0
        candidates = self._near(target.resource, target.namespace, target.name)
        for distance, name in candidates[:MOST_ASKED]:
            if names and (distance > nearest or len(names) >= MOST_TOLD):
                break
            if await self._may_open(name, target, admitted):
                names.append(name)
                nearest = distance
        where = f"{target.resource}/{target.namespace}/" if target.namespace else f"{target.resource}/"
        return not_found(target.resource, target.name, near=[where + name for name in names])

    async def _may_open(self, name: str, target: Target, admitted: Admitted) -> bool:
        id = name
        if target.scheme or target.id.count(":") == 2:
            id = f"{target.scheme}:{name}:{target.port}"
        elif target.port or ":" in target.id:
            id = f"{name}:{target.port}"
        attributes = structs.replace(admitted.info.attributes, name=id)
        try:
            decision = await self._authorizer.authorize(admitted.acting_as, attributes, admitted.asker)
        except StatusError:
            return False  # it is not found all the same
        return decision.allowed
