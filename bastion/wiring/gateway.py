"""The way of a proxied request: from admission to delivery, and access checked again while it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bastion.authn.requestheader import FrontProxyHeaders
from bastion.discovery.accesspolicy import access_policy
from bastion.discovery.catalog import Catalog
from bastion.discovery.lacking import unready_pods
from bastion.discovery.near import near_names
from bastion.http.fields import field_of
from bastion.http.ownpaths import PREFIX
from bastion.message.identity import withholding
from bastion.message.lines import request_lines
from bastion.message.tracecontext import PARENT, STATE
from bastion.network.connections import ConnectionPool
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.access import StreamAccess
from bastion.proxy.admission import Admission
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.direct import DirectDelivery
from bastion.proxy.directcall import DirectCalls
from bastion.proxy.drain import Drains
from bastion.proxy.exchange import Exchange
from bastion.proxy.gateway import Gateway
from bastion.proxy.hints import Hints
from bastion.proxy.leaving import Envelopes
from bastion.proxy.nearnames import NearNames
from bastion.proxy.origin import Origins
from bastion.proxy.passthrough import PassThrough
from bastion.proxy.pathmode import PathMode
from bastion.proxy.permit import Permits
from bastion.proxy.plan import Plans
from bastion.proxy.recheck import Recheck
from bastion.proxy.streams import Streams
from bastion.proxy.unreadypods import UnreadyPods
from bastion.proxy.upstreams import Upstreams
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.follow import Followed
from bastion.runtime.validity import Generation
from bastion.settings.config import Config
from bastion.settings.sections import StreamLimits
from bastion.web.errorpage import path_pages
from bastion.wiring.access import Access
from bastion.wiring.backends import Backends
from bastion.wiring.cluster import Cluster
from bastion.wiring.introducing import Introducing
from bastion.wiring.signin import SigningIn


@dataclass(frozen=True, slots=True)
class LongExchanges:
    """`streams` are the long exchanges; `recheck` asks again whether they are still allowed; `drains` ends
    those to endpoints that terminate.
    """

    streams: Streams
    recheck: Recheck
    drains: Drains


def long_exchanges(
    settings: StreamLimits, cluster: Cluster, access: Access, observer: Observer, deadlines: Deadlines
) -> LongExchanges:
    def tell(record: Record, exchange: Exchange) -> None:
        observer.lasts(record, exchange.status, exchange.bytes_in, exchange.bytes_out)

    recheck = Recheck(settings.recheck_interval, settings.recheck_grace)
    permits = Permits(access.fresh_authorizer, partial(access_policy, cluster.catalog))
    stream_access = StreamAccess(
        recheck, access.authenticators.fresh, access.fresh_authorizer, still_counts=permits.still_counts
    )
    streams = Streams(deadlines, settings, stream_access.watch, tell)
    cluster.catalog.listeners.address_gone.append(streams.address_gone)
    cluster.catalog.listeners.node_gone.append(streams.node_gone)
    later = asyncio.get_running_loop().call_later
    drains = Drains(cluster.catalog, streams, settings.endpoint_drain, later)
    cluster.catalog.listeners.endpoint_ends.append(drains.begin)
    return LongExchanges(streams, recheck, drains)


@dataclass(frozen=True, slots=True)
class Passing:
    """On to the API servers; `streams` are the long exchanges among these."""

    pass_through: PassThrough
    calls: DirectCalls | None
    streams: Streams
    upstreams: Upstreams
    pool: ConnectionPool
    adjust: Callable[[Config], None]
    followed: tuple[Followed[Any], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the gateway is made of; `passing` None: only targets are served; `version`: the cluster's; `plans`
    None: nothing is remembered.
    """

    access: Access
    backends: Backends
    streams: Streams
    browsers: SigningIn
    admission: Admission
    origins: Origins
    observer: Observer
    credentials: CredentialReader
    version: Callable[[], Awaitable[bytes]]
    hints: Hints
    introducing: Introducing
    plans: Plans | None
    passing: Passing | None = None


def gateway_of(config: Config, parts: Parts) -> Gateway:
    access, backends = parts.access, parts.backends
    return Gateway(
        admission=parts.admission,
        guard=access.guard,
        router=backends.router,
        origins=parts.origins,
        forwarder=backends.forwarder,
        tunneller=backends.tunneller,
        streams=parts.streams,
        observer=parts.observer,
        sign_in=parts.browsers.sign_in,
        envelopes=Envelopes(
            parts.origins,
            withheld_of(
                access.authenticators.headers,
                config.serving.allow_request_headers,
                traced=bool(config.tracing.endpoint),
            ),
            parts.introducing.introductions,
            parts.admission.permits.policy_of,
        ),
        pass_through=parts.passing.pass_through if parts.passing is not None else None,
        plans=parts.plans,
        path_mode=_path_mode(config, parts),
        hints=parts.hints,
        connector=backends.connector,
    )


def hints_of(catalog: Catalog, access: Access) -> Hints:
    return Hints(
        NearNames(partial(near_names, catalog), access.authorizer),
        UnreadyPods(partial(unready_pods, catalog), access.authorizer),
    )


def _path_mode(config: Config, parts: Parts) -> PathMode | None:
    browsers, hosts = config.browsers, parts.browsers.hosts
    wanted = browsers.explain_paths if hosts is None else browsers.redirect_paths
    if not (wanted and browsers.sandbox_pages and browsers.sign_in):
        return None
    root = "" if parts.passing is None else PREFIX.decode()
    return PathMode(hosts, browsers.public_url, path_pages(root))


def plans_of(config: Config, access: Access, generation: Generation) -> Plans | None:
    """None where nothing is remembered."""
    if not config.serving.remember_requests or config.tracing.endpoint:
        return None  # a trace is another one in each request
    headers = access.authenticators.headers
    lines = request_lines(
        field_of,
        withheld_of(headers, config.serving.allow_request_headers),
        *(headers.names() if headers is not None else ()),
    )
    now = asyncio.get_running_loop().time
    return Plans(lines, access.authenticators.known, access.authorizer.known, generation, now)


def direct_of(parts: Parts, crowded: Callable[[], bool]) -> DirectDelivery:
    backends = parts.backends
    return DirectDelivery(
        guard=parts.access.guard,
        router=backends.router,
        balancer=backends.balancer,
        waiting=backends.waiting,
        pool=backends.pool,
        transport=backends.transport,
        streams=parts.streams,
        observer=parts.observer,
        policy=backends.presentation,
        renewed=parts.admission.renewed,
        crowded=crowded,
    )


def credentials_of(access: Access, browsers: SigningIn, origins: Origins) -> CredentialReader:
    sessions = browsers.desk.sessions if browsers.desk is not None else None
    return CredentialReader(origins, access.authenticators.headers, sessions, time.time)


def admission_of(
    config: Config, cluster: Cluster, access: Access, browsers: SigningIn, credentials: CredentialReader
) -> Admission:
    return Admission(
        credentials=credentials,
        guard=access.guard,
        impersonator=access.impersonator,
        authorizer=access.authorizer,
        hosts=browsers.hosts,
        own_port=urlsplit(config.browsers.public_url).port,
        generated_clients=config.targets.decode_generated_client_paths,
        upgrade_requires_create=config.streams.require_create,
        policy_of=partial(access_policy, cluster.catalog),
    )


def withheld_of(
    front_proxy: FrontProxyHeaders | None, allowed: tuple[str, ...], *, traced: bool = False
) -> Callable[[bytes], bool]:
    """`traced`: what a client says of its trace is replaced."""
    names, prefixes = front_proxy.names() if front_proxy is not None else ((), ())
    also = (PARENT, STATE) if traced else ()
    return withholding((*names, *also), prefixes, [name.lower().encode() for name in allowed])
