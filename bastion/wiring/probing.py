"""Probes: the prober, its modules and pages."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bastion.observe.families import Family, gauge
from bastion.probe.attempt import Environment
from bastion.probe.contexts import Contexts
from bastion.probe.exported import scheduled
from bastion.probe.hub import Hub
from bastion.probe.modulesource import ModuleSource
from bastion.probe.pages import Pages, Visible
from bastion.probe.places import Places
from bastion.probe.runner import Runner
from bastion.probe.service import Doors, Handler, ProbePage, Probing
from bastion.probe.sweeper import Sweeper
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.identified import Identification
from bastion.proxy.ownanswer import OwnAnswers
from bastion.runtime.follow import follow
from bastion.settings.config import Config
from bastion.wiring.background import in_background
from bastion.wiring.cluster import Cluster
from bastion.wiring.gateway import Parts
from bastion.wiring.probeschedule import open_schedule


@dataclass(frozen=True, slots=True)
class ProbingParts:
    """`pages` answers the paths; `modules` are read again when their file changes."""

    pages: Probing
    modules: ModuleSource
    sweeper: Sweeper
    hub: Hub

    def families(self) -> list[Family]:
        return [
            *scheduled(self.sweeper),
            gauge(
                "bastion_probe_config_last_reload_successful",
                "Whether the probe configuration could be used when it was last read.",
                (),
                {(): float(self.modules.successful)},
            ),
            gauge(
                "bastion_probe_config_last_reload_success_timestamp_seconds",
                "When the probe configuration was last read and could be used.",
                (),
                {(): self.modules.at},
            ),
        ]


async def open_probing(config: Config, cluster: Cluster, parts: Parts, stack: AsyncExitStack) -> ProbingParts:
    """Raises StartError, or OSError where a file cannot be read."""
    settings, access, browsers = config.probing, parts.access, parts.browsers
    modules = ModuleSource(settings.config_file)
    in_background(stack, follow([modules.followed]), "the probe configuration")
    environment = Environment(cluster.policy, Contexts(parts.backends.tls))
    places = Places(parts.backends.router, cluster.catalog, cluster.policy)
    runner = Runner(environment, places, settings.most, settings.most_per_user)
    sessions = browsers.desk.sessions if browsers.desk is not None else None
    identification = Identification(
        CredentialReader(parts.origins, access.authenticators.headers, sessions, time.time),
        access.guard,
        access.impersonator,
        access.authorizer,
    )
    doors = Doors(parts.admission, identification, modules)
    scheduled = await open_schedule(config, cluster, runner, modules, stack)
    sweeper = scheduled.sweeper
    visible = Visible(
        doors, modules, sweeper.wanted, public=settings.public_status, ready=lambda: cluster.ready
    )
    pages = Pages(visible, scheduled.hub.report)
    handlers: dict[bytes, Handler] = {
        b"/probe": ProbePage(doors, runner, access.guard),
        b"/probe/targets": pages.targets,
        b"/probe/status": pages.status,
        b"/probe/history": pages.history,
        b"/probe/badge.svg": pages.badge,
        b"/probe/badge.json": pages.shield,
        b"/probe/changes.rss": pages.changes,
    }
    return ProbingParts(
        Probing(handlers, OwnAnswers(parts.origins, access.guard, parts.observer)),
        modules,
        sweeper,
        scheduled.hub,
    )
