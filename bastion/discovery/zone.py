"""In which zone does this program run?  As its node's label says, where it may read that."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from bastion.cluster.errors import ApiError
from bastion.discovery.apiclient import ObjectReader
from bastion.kube.objects import path_of
from bastion.runtime.turns import BACKGROUND

LABEL = "topology.kubernetes.io/zone"
PATIENCE = 3.0  # seconds

_log = logging.getLogger("bastion.discovery")


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Node(msgspec.Struct):
    metadata: _Metadata


async def zone_of(api: ObjectReader, node: str) -> str:
    """Empty where that is not known."""
    if not node:
        return ""
    try:
        async with asyncio.timeout(PATIENCE):
            body = await api.get(path_of("nodes", name=node), {}, BACKGROUND)
        found = msgspec.json.decode(body, type=_Node)
    except (ApiError, TimeoutError, ValueError) as error:
        _log.info("the zone of node %s is not known: %s", node, error)
        return ""
    return (found.metadata.labels or {}).get(LABEL, "")
