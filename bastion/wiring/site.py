"""The pages for people who are signed in."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bastion.http.ownpaths import PREFIX
from bastion.observe.recent import Recent
from bastion.proxy.identified import Identification
from bastion.settings.config import Config
from bastion.web.addresses import Addresses
from bastion.web.frame import LINKS, OPS, Frame
from bastion.web.live.events import EVERY, Events
from bastion.web.openable.listing import REMEMBERED, Openable
from bastion.web.ops.page import OPERATE, Operations
from bastion.web.permitted import Permitted
from bastion.web.portal.inventory import Inventory
from bastion.web.portal.page import Portal
from bastion.web.reader import Reader, Readers
from bastion.web.refusals import Refusals
from bastion.web.site import Site
from bastion.web.status.page import Status
from bastion.web.streamlist import StreamList
from bastion.web.target.page import TargetPage
from bastion.web.target.view import Views
from bastion.wiring.cluster import Cluster
from bastion.wiring.facts import Seen, facts_of
from bastion.wiring.gateway import Parts


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


@dataclass(frozen=True, slots=True)
class Around:
    """What the pages look at, beside what serves requests."""

    seen: Seen
    recent: Recent


def site_of(config: Config, parts: Parts, around: Around) -> Site:
    cluster, probes, browsers = around.seen.cluster, around.seen.probes, parts.browsers
    clock, access, root = asyncio.get_running_loop().time, parts.access, _root(parts)
    addresses = Addresses(config.browsers.public_url, browsers.hosts)
    inventory = Inventory(cluster.catalog, probes, addresses, time.time, nodes=config.targets.node_proxy)
    openable = Openable(access.authorizer, inventory.known, clock)
    permitted = Permitted(access.authorizer, openable, inventory)
    streams = StreamList(parts.streams, permitted, time.time)
    replica = os.environ.get("POD_NAME", "") or socket.gethostname()
    frames = Frames(parts, replica)
    views = Views(
        catalog=cluster.catalog,
        inventory=inventory,
        permitted=permitted,
        streams=streams,
        recent=around.recent,
        probes=probes,
        now=time.time,
    )
    # else a page of an application could read them, and press every button, as its visitor
    apart = config.browsers.sandbox_pages
    target = TargetPage(views, permitted, streams, frames, root, closing=apart)
    status = Status(
        inventory=inventory, openable=openable, probes=probes, frame=frames, root=root, now=time.time
    )
    operations = Operations(
        facts=facts_of(around.seen, replica),
        recent=around.recent,
        streams=streams,
        permitted=permitted,
        frame=frames,
        root=root,
        offered=apart,
    )
    events = Events(
        inventory=inventory,
        openable=openable,
        pages={
            "target": (target.changes, EVERY),
            "status": (status.changes, EVERY),
            "ops": (operations.changes, EVERY),
        },
        guard=access.guard,
        streams=parts.streams,
        clock=clock,
        now=time.time,
        recheck=config.streams.recheck_interval or REMEMBERED,
        offered=apart,
    )
    sessions = browsers.desk.sessions if browsers.desk is not None else None
    return Site(
        readers=Readers(_identification(parts), parts.origins, sessions, time.time),
        refusals=Refusals(sessions, root, time.time),
        portal=Portal(inventory, openable, frames, lambda: _progress(cluster), root),
        target=target,
        status=status,
        operations=operations,
        events=events,
        public_status=config.probing.public_status,
    )


def _root(parts: Parts) -> str:
    """In front of the pages' paths: with pass-through the short ones are an API server's."""
    return "" if parts.passing is None else PREFIX.decode()


def _identification(parts: Parts) -> Identification:
    access = parts.access
    return Identification(parts.credentials, access.guard, access.impersonator, access.authorizer)


def _progress(cluster: Cluster) -> Mapping[str, tuple[bool, int]]:
    catalog = cluster.catalog
    known = {"services": len(catalog.services), "pods": len(catalog.pods), "nodes": len(catalog.nodes)}
    return {
        resource: (read, known.get(resource, len(catalog.keys(resource))))
        for resource, read in catalog.synced.items()
    }
