"""The pages for people who are signed in."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bastion.http.ownpaths import PREFIX
from bastion.kube.attributes import Attributes
from bastion.proxy.identified import Identification
from bastion.settings.config import Config
from bastion.web.addresses import Addresses
from bastion.web.frame import LINKS, OPS, Frame
from bastion.web.openable.listing import Openable
from bastion.web.portal.inventory import Inventory
from bastion.web.portal.page import Portal
from bastion.web.reader import Reader, Readers
from bastion.web.refusals import Refusals
from bastion.web.site import Site
from bastion.wiring.cluster import Cluster
from bastion.wiring.gateway import Parts
from bastion.wiring.probes import HubProbes

OPERATE = Attributes("get", version="", path="/ui/ops")


@dataclass(frozen=True, slots=True)
class Frames:
    """Makes what stands around a page; the link to operations is for those who may see them."""

    parts: Parts
    replica: str

    async def __call__(self, reader: Reader) -> Frame:
        decision = await self.parts.access.authorizer.authorize(reader.user, OPERATE, reader.asker)
        return Frame(
            now=time.time(),
            place=reader.exchange.host.decode("ascii", "replace"),
            user=reader.user.name,
            groups=tuple(group for group in reader.user.groups if group != "system:authenticated"),
            until=reader.until,
            links=(*LINKS, OPS) if decision.allowed else LINKS,
            can_sign_in=self.parts.browsers.desk is not None,
            replica=self.replica,
            request_id=reader.exchange.audit_id,
        )


def site_of(config: Config, cluster: Cluster, parts: Parts, probes: HubProbes) -> Site:
    access, browsers = parts.access, parts.browsers
    sessions = browsers.desk.sessions if browsers.desk is not None else None
    root = "" if parts.passing is None else PREFIX.decode()
    identification = Identification(parts.credentials, access.guard, access.impersonator, access.authorizer)
    addresses = Addresses(config.browsers.public_url, browsers.hosts)
    inventory = Inventory(cluster.catalog, probes, addresses, time.time, nodes=config.targets.node_proxy)
    openable = Openable(access.authorizer, inventory.known, asyncio.get_running_loop().time)
    frames = Frames(parts, os.environ.get("POD_NAME", "") or socket.gethostname())
    return Site(
        readers=Readers(identification, parts.origins, sessions, time.time),
        refusals=Refusals(sessions, root, time.time),
        portal=Portal(inventory, openable, frames, lambda: _progress(cluster), root),
    )


def _progress(cluster: Cluster) -> Mapping[str, tuple[bool, int]]:
    catalog = cluster.catalog
    known = {"services": len(catalog.services), "pods": len(catalog.pods), "nodes": len(catalog.nodes)}
    return {
        resource: (read, known.get(resource, len(catalog.keys(resource))))
        for resource, read in catalog.synced.items()
    }
