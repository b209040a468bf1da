"""Config in, every object out: the only file that knows all constructors."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bastion.authn.authenticators import open_authenticators
from bastion.authn.handoff import Handoff
from bastion.authn.sealed import KEY_BYTES, Sealer, key_of
from bastion.authn.session import Sessions
from bastion.authz.cached import CachedAuthorizer
from bastion.authz.impersonation import Impersonator
from bastion.authz.sar import AccessReviewAuthorizer
from bastion.balance.outlier import Outliers
from bastion.balance.policies import RoundRobin
from bastion.balance.pool import Balancer
from bastion.browsers import Browsers
from bastion.clock import Deadlines
from bastion.cluster.access import ApiAccess
from bastion.cluster.apiservers import ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.kubeconfig import access_from_text, load_access
from bastion.cluster.outages import Outages
from bastion.cluster.reviews import Reviews
from bastion.cluster.rights import needed
from bastion.cluster.standing import Standing
from bastion.cluster.throttle import Throttle
from bastion.config import Config, StartError
from bastion.discovery.catalog import Catalog
from bastion.discovery.informer import Informer
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolver import Resolver
from bastion.kube.hostname import HostNames
from bastion.limits import Concurrency, Rate
from bastion.message.answers import Policy
from bastion.network.addresses import DialPolicy
from bastion.network.connections import ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.sockets import is_local
from bastion.network.tls import ClientTLS
from bastion.network.transport import Deadlines as UpstreamDeadlines
from bastion.network.transport import Transport
from bastion.observe.accesslog import AccessLog
from bastion.observe.expiry import Expiry, files_of
from bastion.observe.metrics import Metrics
from bastion.observe.observer import Observer
from bastion.proxy.access import StreamAccess
from bastion.proxy.forward import Forwarder
from bastion.proxy.gateway import Gateway
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins
from bastion.proxy.recheck import Recheck
from bastion.proxy.router import Router
from bastion.proxy.signin import NoSignIn, SignIn
from bastion.proxy.tunnel import StreamLimits, Tunneller
from bastion.reload import follow
from bastion.server.app import App
from bastion.server.door import Door
from bastion.server.state import ServerState, Timeouts
from bastion.web.app import create_app
from bastion.web.visit import Desk

if TYPE_CHECKING:
    from bastion.standalone.apiserver import ApiServer

_log = logging.getLogger("bastion")


@dataclass(slots=True)
class Bastion:
    """`app` answers; `state` is what its server shares; `catalog` what it knows; `stopping` is set by whoever stops it."""

    app: App
    state: ServerState
    catalog: Catalog
    pool: ConnectionPool
    standing: Standing
    outages: Outages
    expiry: Expiry
    reload: Callable[[], None]
    stopping: Callable[[], bool] = bool

    @property
    def ready(self) -> bool:
        """Everything was read once, and the API server has said whether the bastion may review."""
        return all(self.catalog.synced.values()) and self.standing.asked.is_set()

    async def synced(self) -> None:
        """Returns when it is `ready`."""
        while not self.ready:  # noqa: ASYNC110 the catalog is pure and wakes nobody
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_bastion(config: Config, access_log: int) -> AsyncIterator[Bastion]:
    """Everything, running; closed again at the end.  `access_log` is a file descriptor.  Raises StartError."""
    async with AsyncExitStack() as stack:
        access = await _access(config, stack)
        servers = config.kube_api.servers or (access.server,)
        throttle = Throttle(config.kube_api.qps, config.kube_api.burst)
        apiservers = ApiServers(servers)
        api = await stack.enter_async_context(ApiClient(access, apiservers, throttle))
        _in_background(stack, access.keep(), "credentials")
        deadlines = await stack.enter_async_context(Deadlines())
        policy = DialPolicy(config.allow_targets, _own_sockets(config, servers), _own_ports(config), is_local)
        catalog = Catalog()
        resources = ["services", "endpointslices", "pods", *(["nodes"] if config.nodes else [])]
        outages = Outages(lambda: apiservers.current.url)
        informers = _informers(resources, api, catalog, config.kube_api.namespaces, outages)
        for informer in informers:
            _in_background(stack, informer.run(), f"informer-{informer.resource}")
        rights = needed((informer.resource, informer.namespace) for informer in informers)
        standing = Standing(api, access.authorization, rights, outages)
        _in_background(stack, standing.keep(), "the bastion's own rights")
        lookup = Lookup(api, catalog, informers, Rate(config.limits.lookup_qps, config.limits.lookup_qps))

        timeouts, streams = config.timeouts, config.streams
        client_tls = ClientTLS(config.kubelet)
        _in_background(stack, follow([client_tls.kubelet]), "kubelet certificates")
        dialer = Dialer(policy, client_tls, deadlines, timeouts.connect)
        pool = ConnectionPool(dialer, deadlines)
        stack.callback(pool.close)
        log = await stack.enter_async_context(AccessLog(access_log))
        origins = Origins(config.trusted_proxies)
        metrics = Metrics(
            lambda: {
                "requests_in_flight": bastion.state.exchanges,
                "client_connections": len(bastion.state.connections),
                "client_connections_turned_away": door.turned_away,
                "streams": len(tunneller),
                "backends_failing": len(outliers),
                "stream_access_questions": len(recheck),
                "backend_connections": pool.open,
                "backend_connections_idle": pool.idle,
                "access_log_lines_dropped": log.dropped,
            }
        )
        expiry = Expiry(files_of(config, lambda: access.certificate))
        _in_background(stack, expiry.keep(), "the ends of certificates")
        metrics.add(
            "certificate_expiry_timestamp_seconds",
            "When a certificate ends, of a chain or bundle the first that does (seconds since the epoch)",
            ("certificate",),
            lambda: {(what,): end.at for what, end in expiry.ends.items()},
        )
        metrics.add(
            "api_right_granted",
            "Whether the API server allows the bastion what it needs (1), or does not (0)",
            ("verb", "resource", "namespace"),
            lambda: {(r.verb, r.qualified, r.namespace): float(r not in standing.missing) for r in rights if standing.asked.is_set()},
        )
        transport = Transport(pool, UpstreamDeadlines(timeouts.response_header, timeouts.response_idle))
        outliers = Outliers()
        presentation = Policy(config.pages.rewrite_html, config.pages.sandbox)
        tunneller = Tunneller(transport, deadlines, StreamLimits(streams.idle_timeout, streams.max_duration), presentation)
        catalog.address_gone.append(tunneller.address_gone)
        reviews = Reviews(api, outages)
        # With manifests the token file is the embedded API's own; on a cluster it is one more way to know somebody.
        token_file = None if config.source.manifests else config.source.token_file
        authenticators = await open_authenticators(
            config.authentication, token_file, reviews, stack, anonymous=config.anonymous, ttl=config.memory.authentication
        )
        fresh_authorizer = AccessReviewAuthorizer(reviews)
        authorizer = CachedAuthorizer(fresh_authorizer, config.memory.authorized, config.memory.unauthorized)
        recheck = Recheck(streams.recheck_interval, streams.recheck_grace)
        guard = Guard(authenticators.remembering, authenticators.remembers, config.limits)
        hosts = HostNames(config.browsers.host_suffix) if config.browsers.host_suffix else None
        sign_in, desk = _sign_in(config.browsers, guard, origins, hosts, strict_transport=not config.serving.self_signed)
        gateway = Gateway(
            guard,
            Impersonator(authorizer),
            authorizer,
            Router(Resolver(catalog, policy, nodes=config.nodes, namespaces=config.kube_api.namespaces), Balancer(RoundRobin), lookup),
            origins,
            Forwarder(transport, outliers, Concurrency(config.limits.waiting_per_target), presentation),
            tunneller,
            StreamAccess(recheck, authenticators.fresh, fresh_authorizer),
            Observer((log, metrics)),
            upgrade_requires_create=streams.require_create,
            hosts=hosts,
            sign_in=sign_in,
            front_proxy=authenticators.headers,
        )

        def reload() -> None:
            for followed in (client_tls.kubelet, *authenticators.followed):
                followed.again()
            access.again()
            expiry.look()

        readiness = {resource: _synced(catalog, resource) for resource in resources}
        readiness |= {_watch_name(informer): informer.why_not_ready for informer in informers}
        readiness["reviews"] = standing.why_not_ready
        bastion = Bastion(None, None, catalog, pool, standing, outages, expiry, reload)  # type: ignore[arg-type]
        readiness["shutdown"] = lambda: "shutting down" if bastion.stopping() else None
        door = Door(_descriptors(), config.limits.connections_per_address, origins.trusts)
        web = create_app(readiness, {"ping": lambda: None}, metrics.text, desk)
        bastion.app = App(gateway, web, lambda: door.crowded, hosts, sign_in=desk is not None)
        bastion.state = ServerState(bastion.app, deadlines, door, Timeouts(*_server_timeouts(config)), tunneller.end_all)
        yield bastion


async def _access(config: Config, stack: AsyncExitStack) -> ApiAccess:
    """To the cluster, or to the embedded API that stands in for one; both only over HTTP."""
    if not config.source.manifests:
        return await asyncio.to_thread(load_access, config.source.kubeconfig, config.kube_api.context)
    return access_from_text((await embedded_api(config, stack)).kubeconfig())


async def embedded_api(config: Config, stack: AsyncExitStack) -> ApiServer:
    from bastion.standalone.apiserver import ApiServer  # only here: nobody else needs its libraries

    return await stack.enter_async_context(ApiServer(config.source.manifests, config.source.token_file))


def _sign_in(
    browsers: Browsers, guard: Guard, origins: Origins, hosts: HostNames | None, *, strict_transport: bool
) -> tuple[NoSignIn, Desk | None]:
    """(what the gateway needs for it, what the pages need)."""
    if not browsers.sign_in:
        return NoSignIn(), None
    sealer = Sealer(session_key(browsers), os.urandom)
    sessions, handoff = Sessions(sealer), Handoff(sealer)
    desk = Desk(sessions, handoff, guard.identify, origins.seen, time.time, browsers.public_url, hosts, strict_transport)
    return SignIn(sessions, handoff, origins, browsers.public_url, time.time), desk


def session_key(browsers: Browsers) -> bytes:
    """Raises StartError, OSError."""
    if browsers.key or browsers.key_file is None:
        return browsers.key or os.urandom(KEY_BYTES)
    try:
        return key_of(browsers.key_file.read_bytes())
    except ValueError as error:
        raise StartError(f"--session-key-file: {browsers.key_file} {error}") from error


def _descriptors() -> int:
    """How many files this process may open; raised to what it is allowed to raise it to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _server_timeouts(config: Config) -> tuple[float, ...]:
    timeouts = config.timeouts
    return (timeouts.request_header, timeouts.keep_alive, timeouts.request_body_idle, timeouts.response_stall)


def _own_ports(config: Config) -> tuple[int, ...]:
    """Where it listens on every address, its port is its own on each of them."""
    everywhere = config.serving.bind_address in ("0.0.0.0", "::")  # noqa: S104
    return (config.serving.port,) if everywhere else ()


def _own_sockets(config: Config, servers: Iterable[str]) -> set[tuple[str, int]]:
    """This program's and the API servers' addresses: a target that leads there is a loop or an escalation."""
    address = config.serving.bind_address
    own = {(address, port) for port in (config.serving.port, config.serving.insecure_port) if port}
    for server in map(urlsplit, servers):
        own.add((server.hostname or "", server.port or (443 if server.scheme == "https" else 80)))
    return own


def _informers(resources: Iterable[str], api: ApiClient, catalog: Catalog, namespaces: Iterable[str], outages: Outages) -> list[Informer]:
    """One for each resource, or with --namespaces one for each of them; nodes are in no namespace."""
    return [
        Informer(resource, api, catalog, namespace, outages)
        for resource in resources
        for namespace in (tuple(namespaces) if resource != "nodes" else ()) or ("",)
    ]


def _watch_name(informer: Informer) -> str:
    return f"watch-{informer.resource}" + (f"/{informer.namespace}" if informer.namespace else "")


def _synced(catalog: Catalog, resource: str):  # type: ignore[no-untyped-def]
    return lambda: None if catalog.synced.get(resource) else "not yet read from the API server"


def _in_background(stack: AsyncExitStack, work: Awaitable[None], name: str) -> None:
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda t: _log.critical("%s ended: %r", name, t.exception()) if not t.cancelled() else None)
    stack.callback(task.cancel)
