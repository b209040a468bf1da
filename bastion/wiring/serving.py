"""What clients connect to: the application, its limits, and the bastion's own pages."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bastion.http.ownpaths import PREFIX
from bastion.probe.service import Probing
from bastion.proxy.callplan import CallPlan
from bastion.proxy.exchange import Exchange
from bastion.proxy.gateway import Gateway
from bastion.proxy.identified import Identification
from bastion.proxy.nonresource import NonResource
from bastion.proxy.ownanswer import OwnAnswers
from bastion.proxy.plan import Plan
from bastion.proxy.selfreviews import SelfReviews
from bastion.proxy.why import PATH, Why
from bastion.runtime.deadlines import Deadlines
from bastion.server.app import App
from bastion.server.door import Door
from bastion.server.metricsport import MetricsPort
from bastion.server.state import Remembering, ServerState, nothing
from bastion.settings.config import Config
from bastion.web.app import create_app
from bastion.web.errorpage import error_pages
from bastion.web.site import Site
from bastion.wiring.gateway import Parts, direct_of, gateway_of
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
    door: Door
    pages: bool


@dataclass(frozen=True, slots=True)
class OwnPages:
    """What the bastion says of itself: `readiness` by the name of a check, the pages about probes, and those
    for people.
    """

    readiness: Mapping[str, Check]
    probing: Probing
    site: Site


def serving(
    config: Config,
    parts: Parts,
    observing: Observing,
    deadlines: Deadlines,
    own: OwnPages,
) -> Serving:
    stopping = asyncio.Event()
    door = Door(open_files(), config.limits.connections_per_address, parts.origins.trusts)
    desk = parts.browsers.desk
    checks = {**own.readiness, "shutdown": lambda: "shutting down" if stopping.is_set() else None}
    web = create_app(
        checks, {"ping": lambda: None}, observing.renderer, desk, own.site, parts.introducing.key_set
    )
    gateway = gateway_of(config, parts)
    app = App(
        gateway,
        web,
        door.is_crowded,
        parts.browsers.hosts,
        observing.page_observer,
        _metrics_access(parts).admits if config.observing.metrics_authorization else None,
        short_paths=parts.passing is None,
        self_reviews=_self_reviews(parts) if parts.passing is None else None,
        handlers={**dict.fromkeys(own.probing.paths, own.probing.serve), PATH: _why(parts).serve},
        sign_in=desk is not None,
        renewals=parts.browsers.renewals,
        others=observing.own_observer,
    )
    state = ServerState(
        app,
        deadlines,
        door,
        config.timeouts,
        partial(_end_all, parts),
        stopping=stopping,
        error_page=error_pages(_main(config, parts), signs_in=desk is not None),
        left=app.left,
        tunnels=config.targets.tunnels,
        remembering=_remembering(parts, gateway, door),
        end_watches=parts.passing.pass_through.end_watches if parts.passing is not None else nothing,
    )
    return Serving(app, state, ServerState(MetricsPort(web), deadlines, door), door, desk is not None)


def _main(config: Config, parts: Parts) -> str:
    """In front of the paths of our pages, from every host."""
    return config.browsers.public_url + ("" if parts.passing is None else PREFIX.decode())


def _remembering(parts: Parts, gateway: Gateway, door: Door) -> Remembering | None:
    if parts.plans is None:
        return None
    direct = direct_of(parts, door.is_crowded)
    calls = parts.passing.calls if parts.passing is not None else None

    def begin(exchange: Exchange, plan: Plan | CallPlan) -> bool:
        if isinstance(plan, CallPlan):
            return calls is not None and not door.is_crowded() and calls.begin(exchange, plan)
        return direct.begin(exchange, plan)

    return Remembering(parts.plans, begin, gateway.go_on)


def _why(parts: Parts) -> Why:
    access = parts.access
    return Why(
        identification=Identification(
            parts.credentials, access.guard, access.impersonator, access.authorizer
        ),
        impersonator=access.impersonator,
        permits=parts.admission.permits,
        router=parts.backends.router,
        guard=access.guard,
        answers=_own_answers(parts),
    )


def _own_answers(parts: Parts) -> OwnAnswers:
    return OwnAnswers(parts.origins, parts.access.guard, parts.observer)


def _self_reviews(parts: Parts) -> SelfReviews:
    return SelfReviews(
        credentials=parts.credentials,
        guard=parts.access.guard,
        authorizer=parts.access.authorizer,
        answers=_own_answers(parts),
        version=parts.version,
        now=time.monotonic,
    )


def _end_all(parts: Parts) -> None:
    parts.streams.end_all()
    if parts.passing is not None:
        parts.passing.streams.end_all()


def _metrics_access(parts: Parts) -> NonResource:
    return NonResource(parts.admission, parts.access.guard, parts.origins, parts.observer)


def open_files() -> int:
    """How many files this process may open, raised to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
