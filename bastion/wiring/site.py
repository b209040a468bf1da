"""The pages for people who are signed in."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bastion.http.ownpaths import PREFIX
from bastion.kube.endpoint import TLSProfile
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target
from bastion.proxy.identified import Identification
from bastion.server.door import room
from bastion.server.state import ServerStatistics
from bastion.settings.config import Config
from bastion.web.addresses import Addresses
from bastion.web.errorpage import error_pages
from bastion.web.frame import LINKS, OPS, Frame
from bastion.web.live.events import Changes, Events
from bastion.web.openable.listing import REMEMBERED, Openable
from bastion.web.ops.page import OPERATE, Operations
from bastion.web.permitted import Permitted
from bastion.web.portal.inventory import Inventory
from bastion.web.portal.page import Portal
from bastion.web.portal.rows import Subject
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
from bastion.wiring.observing import Observing
from bastion.wiring.probes import HubProbes
from bastion.wiring.probing import ProbingParts
from bastion.wiring.serving import open_files


@dataclass(frozen=True, slots=True)
class Frames:
    """Makes what stands around a page; the link to operations is for those who may see them."""

    parts: Parts
    replica: str

    async def __call__(self, reader: Reader) -> Frame:
        try:
            operates = (
                await self.parts.access.authorizer.authorize(reader.user, OPERATE, reader.asker)
            ).allowed
        except StatusError as error:
            if error.code != 503:
                raise
            operates = False  # what the page itself needs says better that nobody answers
        return Frame(
            now=time.time(),
            place=reader.exchange.host.decode("ascii", "replace"),
            user=reader.user.name,
            groups=tuple(group for group in reader.user.groups if group != "system:authenticated"),
            until=reader.until,
            links=(*LINKS, OPS) if operates else LINKS,
            can_sign_in=self.parts.browsers.desk is not None,
            replica=self.replica,
            request_id=reader.exchange.audit_id,
        )


@dataclass(frozen=True, slots=True)
class Around:
    """What the pages look at, beside what serves requests; `server` is asked once clients are served."""

    config: Config
    cluster: Cluster
    parts: Parts
    observing: Observing
    probing: ProbingParts
    server: Callable[[], ServerStatistics]

    def seen(self, probes: HubProbes) -> Seen:
        return Seen(
            config=self.config,
            cluster=self.cluster,
            parts=self.parts,
            probes=probes,
            expiry=self.observing.expiry,
            connections=room(open_files()),
            server=self.server,
        )


@dataclass(frozen=True, slots=True)
class Common:
    """What several pages look at.  `apart`: no application can press their buttons as its visitor."""

    probes: HubProbes
    inventory: Inventory
    openable: Openable
    permitted: Permitted
    streams: StreamList
    frames: Frames
    replica: str
    root: str
    apart: bool


def site_of(around: Around) -> Site:
    config, parts, common = around.config, around.parts, _common(around)
    inventory, openable, frames, root = common.inventory, common.openable, common.frames, common.root
    target = _target(around, common)
    status = Status(
        inventory=inventory,
        openable=openable,
        probes=common.probes,
        frame=frames,
        root=root,
        now=time.time,
    )
    operations = Operations(
        facts=facts_of(around.seen(common.probes), common.replica),
        recent=around.observing.recent,
        streams=common.streams,
        permitted=common.permitted,
        frame=frames,
        root=root,
        offered=common.apart,
    )
    pages = {"target": target.changes, "status": status.changes, "ops": operations.changes}
    sessions = parts.browsers.desk.sessions if parts.browsers.desk is not None else None
    return Site(
        readers=Readers(_identification(parts), parts.origins, sessions, time.time),
        refusals=Refusals(sessions, root, error_pages(root, signs_in=sessions is not None), time.time),
        portal=Portal(inventory, openable, frames, lambda: _progress(around.cluster), root),
        target=target,
        status=status,
        operations=operations,
        events=_events(around, common, pages),
        public_status=config.probing.public_status,
    )


def _common(around: Around) -> Common:
    config, parts, clock = around.config, around.parts, asyncio.get_running_loop().time
    probes = HubProbes(around.probing.hub, around.probing.sweeper, clock)
    addresses = Addresses(config.browsers.public_url, parts.browsers.hosts)
    nodes = config.targets.node_proxy
    resolver = around.cluster.resolver

    def speaks(resource: str, namespace: str, id: str) -> TLSProfile | None:
        return resolver.tls(parse_target(resource, namespace, id))

    recent = around.observing.recent

    def slow(subject: Subject) -> bool:
        """By what this process has served."""
        above = subject.card.slow_above
        keys = ((subject.resource, subject.namespace, id) for id in subject.ids)
        return above is not None and recent.slow(keys, above)

    inventory = Inventory(
        around.cluster.catalog, probes, addresses, time.time, nodes=nodes, speaks=speaks, slow=slow
    )
    openable = Openable(parts.access.authorizer, inventory.known, clock)
    permitted = Permitted(parts.access.authorizer, openable, inventory)
    replica = os.environ.get("POD_NAME", "") or socket.gethostname()
    return Common(
        probes=probes,
        inventory=inventory,
        openable=openable,
        permitted=permitted,
        streams=StreamList(parts.streams, permitted, time.time),
        frames=Frames(parts, replica),
        replica=replica,
        root=_root(parts),
        apart=config.browsers.sandbox_pages,
    )


def _target(around: Around, common: Common) -> TargetPage:
    views = Views(
        catalog=around.cluster.catalog,
        inventory=common.inventory,
        permitted=common.permitted,
        streams=common.streams,
        recent=around.observing.recent,
        probes=common.probes,
        now=time.time,
    )
    return TargetPage(
        views,
        common.permitted,
        common.streams,
        common.frames,
        common.root,
        closing=common.apart,
        tunnels=around.config.targets.tunnels,
    )


def _events(around: Around, common: Common, pages: Mapping[str, Changes]) -> Events:
    return Events(
        inventory=common.inventory,
        openable=common.openable,
        pages=pages,
        guard=around.parts.access.guard,
        streams=around.parts.streams,
        clock=asyncio.get_running_loop().time,
        now=time.time,
        recheck=around.config.streams.recheck_interval or REMEMBERED,
        offered=common.apart,
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
