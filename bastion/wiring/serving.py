"""What clients connect to: the application, its limits, and the bastion's own pages."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bastion.proxy.credentials import CredentialReader
from bastion.proxy.nonresource import NonResource
from bastion.runtime.deadlines import Deadlines
from bastion.server.app import App
from bastion.server.door import Door
from bastion.server.metricsport import MetricsPort
from bastion.server.state import ServerState, Timeouts
from bastion.settings.config import Config
from bastion.settings.config import Timeouts as TimeoutSettings
from bastion.web.app import create_app
from bastion.wiring.gateway import Parts, gateway_of
from bastion.wiring.observing import Observing

Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Serving:
    """`state` is for the server of `app`, `metrics` for that at --metrics-bind-address.

    `pages`: people can sign in.
    """

    app: App
    state: ServerState
    metrics: ServerState
    pages: bool


def serving(
    config: Config,
    parts: Parts,
    observing: Observing,
    readiness: Mapping[str, Check],
    deadlines: Deadlines,
) -> Serving:
    stopping = asyncio.Event()
    door = Door(open_files(), config.limits.connections_per_address, parts.origins.trusts)
    desk = parts.browsers.desk
    checks = {**readiness, "shutdown": lambda: "shutting down" if stopping.is_set() else None}
    web = create_app(checks, {"ping": lambda: None}, observing.renderer, desk)
    app = App(
        gateway_of(config, parts),
        web,
        lambda: door.crowded,
        parts.browsers.hosts,
        observing.page_observer if desk is not None else None,
        _metrics_access(parts).admits if config.observing.authorization else None,
    )
    state = ServerState(
        app,
        deadlines,
        door,
        _timeouts(config.timeouts),
        parts.streams.end_all,
        stopping=stopping,
    )
    return Serving(app, state, ServerState(MetricsPort(web), deadlines, door), desk is not None)


def _metrics_access(parts: Parts) -> NonResource:
    access = parts.access
    reader = CredentialReader(parts.browsers.sign_in, parts.origins, access.authenticators.headers)
    return NonResource(
        reader, access.guard, access.impersonator, access.authorizer, parts.origins, parts.observer
    )


def _timeouts(settings: TimeoutSettings) -> Timeouts:
    return Timeouts(
        head=settings.request_header,
        keep_alive=settings.keep_alive,
        body_idle=settings.request_body_idle,
        write_stall=settings.response_stall,
    )


def open_files() -> int:
    """How many files this process may open, raised to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
