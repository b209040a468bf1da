"""Settings in, a running bastion out: one step for each subsystem."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bastion.network.connections import ConnectionPool
from bastion.observe.expiry import Expiry
from bastion.observe.families import Family
from bastion.proxy.drain import Drains
from bastion.proxy.origin import Origins
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.follow import Followed
from bastion.runtime.turns import BACKGROUND
from bastion.runtime.validity import Generation
from bastion.server.app import App
from bastion.server.door import room
from bastion.server.state import ServerState
from bastion.settings.config import Config
from bastion.wiring.access import open_access
from bastion.wiring.adjustable import Adjustable, nothing
from bastion.wiring.backends import open_backends
from bastion.wiring.cluster import Cluster, open_cluster
from bastion.wiring.gateway import Parts, admission_of, credentials_of, hints_of, long_exchanges, plans_of
from bastion.wiring.introducing import introducing
from bastion.wiring.measuring import Sources, sources
from bastion.wiring.observing import Observing, open_observing
from bastion.wiring.passthrough import Ground, open_pass_through
from bastion.wiring.probing import open_probing
from bastion.wiring.serving import OwnPages, Serving, open_files, serving
from bastion.wiring.signin import share_revocations, signing_in, standings_of
from bastion.wiring.site import Around, site_of


@dataclass(frozen=True, slots=True)
class Bastion:
    """`app` answers; `state` is what its server shares, `metrics` that of --metrics-bind-address; `followed`
    are the files that are read again when they change; `adjust` takes what is reloadable of other settings;
    `families` are the metrics of this process.
    """

    app: App
    state: ServerState
    metrics: ServerState
    cluster: Cluster
    pool: ConnectionPool
    expiry: Expiry
    followed: tuple[Followed[Any], ...]
    adjust: Callable[[Config], None]
    families: Callable[[], list[Family]]

    async def synced(self) -> None:
        """Returns when the cluster is ready."""
        while not self.cluster.ready:  # noqa: ASYNC110 the catalog is pure and notifies nobody
            await asyncio.sleep(0.02)

    def reload(self) -> None:
        """Reads all files again now."""
        for followed in self.followed:
            followed.again()
        self.cluster.access.again()
        self.expiry.look()


@asynccontextmanager
async def open_bastion(config: Config, access_log: int) -> AsyncIterator[Bastion]:
    """Everything, running; closed again at the end.

    `access_log` is a file descriptor.  Raises StartError.
    """
    async with AsyncExitStack() as stack:
        cluster = await open_cluster(config, stack)
        deadlines = await stack.enter_async_context(Deadlines())
        generation = Generation()
        backends = open_backends(config, cluster, deadlines, room(open_files()), stack, generation)
        observing = await open_observing(
            config, access_log, cluster.access, cluster.catalog, stack, generation
        )
        origins = Origins(config.serving.trusted_proxies)
        standings = standings_of(config)
        access = await open_access(config, cluster.reviews, origins, stack, generation, standings)
        browsers = signing_in(
            config, access, standings, origins, strict_transport=not config.serving.self_signed
        )
        share_revocations(config, cluster.client, standings, stack)
        long = long_exchanges(config.streams, cluster, access, observing.observer, deadlines)
        credentials = credentials_of(access, browsers, origins)
        plans = plans_of(config, access, generation)
        ground = Ground(cluster, access, browsers, origins, observing.observer, deadlines)
        passing = await open_pass_through(config, ground, plans, stack)
        parts = Parts(
            passing=passing,
            access=access,
            backends=backends,
            streams=long.streams,
            browsers=browsers,
            admission=admission_of(config, cluster, access, browsers, credentials),
            credentials=credentials,
            version=lambda: cluster.client.get("/version", {}, BACKGROUND),
            origins=origins,
            observer=observing.observer,
            plans=plans,
            introducing=introducing(config, generation),
            hints=hints_of(cluster.catalog, access),
        )
        probing = await open_probing(config, cluster, parts, stack)
        around = Around(config, cluster, parts, observing, probing, lambda: served.state.statistics())
        own = OwnPages(cluster.readiness(), probing.pages, site_of(around))
        served = serving(config, parts, observing, deadlines, own)
        measured = Sources(cluster, access, backends, long, observing, served, passing=passing)
        observing.metrics.add(*sources(measured), probing.families)
        yield Bastion(
            app=served.app,
            state=served.state,
            metrics=served.metrics,
            cluster=cluster,
            pool=backends.pool,
            expiry=observing.expiry,
            followed=_followed(parts, observing, probing.modules.followed),
            adjust=_adjustable(cluster, parts, served, long.drains),
            families=observing.metrics.families,
        )


def _followed(parts: Parts, observing: Observing, modules: Followed[Any]) -> tuple[Followed[Any], ...]:
    """All files that are read again when they change."""
    return (
        parts.backends.tls.kubelet,
        parts.backends.tls.backends,
        modules,
        *parts.access.authenticators.followed,
        parts.introducing.keys,
        *observing.auditing.followed,
        *(parts.passing.followed if parts.passing is not None else ()),
    )


def _adjustable(cluster: Cluster, parts: Parts, served: Serving, drains: Drains) -> Adjustable:
    """What takes the reloadable settings while it runs."""
    access, backends, passing = parts.access, parts.backends, parts.passing
    return Adjustable(
        guard=access.guard,
        door=served.door,
        waiting=backends.waiting,
        forwarder=backends.forwarder,
        drains=drains,
        lookups=cluster.lookups,
        authenticator=access.authenticators.cache,
        authorizer=access.authorizer,
        dialer=backends.dialer,
        transport=backends.transport,
        server=served.state,
        passed_on=passing.adjust if passing is not None else nothing,
    )
