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
from functools import partial
from typing import TYPE_CHECKING

from bastion.authn.authenticators import open_authenticators
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.authz.cached import CachedAuthorizer
from bastion.authz.impersonation import Impersonator
from bastion.authz.sar import AccessReviewAuthorizer
from bastion.balance.families import Families
from bastion.balance.outlier import Outliers
from bastion.balance.policies import RoundRobin
from bastion.balance.pool import Balancer
from bastion.cluster.access import ApiAccess
from bastion.cluster.apiservers import ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.kubeconfig import access_from_text, load_access
from bastion.cluster.outages import Outages
from bastion.cluster.reviews import Reviews
from bastion.cluster.rights import needed
from bastion.cluster.standing import Standing
from bastion.cluster.throttle import Throttle
from bastion.discovery.apiserver import NAMESPACE, api_server_sockets, look_once
from bastion.discovery.backing import MOST_LISTED
from bastion.discovery.catalog import Catalog
from bastion.discovery.cluster import Cluster
from bastion.discovery.informer import Informer
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolver import Resolver
from bastion.kube.hostname import HostNames
from bastion.message.answers import Policy
from bastion.message.identity import withholding
from bastion.network.addresses import DialPolicy
from bastion.network.connections import ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.names import ApiSockets
from bastion.network.sockets import is_local
from bastion.network.tls.contexts import ClientTLS
from bastion.network.transport import Deadlines as UpstreamDeadlines
from bastion.network.transport import Transport
from bastion.observe.accesslog import AccessLog
from bastion.observe.apicalls import ApiCalls
from bastion.observe.expiry import Expiry, certificates_of
from bastion.observe.logs import access_lines
from bastion.observe.metrics import Metrics, Rendered
from bastion.observe.observer import Observer
from bastion.observe.process import Process
from bastion.observe.record import Record
from bastion.observe.requests import Requests
from bastion.observe.signins import SignIns
from bastion.proxy.access import StreamAccess
from bastion.proxy.admission import Admission
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.exchange import Exchange
from bastion.proxy.forward import Forwarder
from bastion.proxy.gateway import Gateway
from bastion.proxy.guard import Guard
from bastion.proxy.nonresource import NonResource
from bastion.proxy.origin import Origins
from bastion.proxy.recheck import Recheck
from bastion.proxy.router import Router
from bastion.proxy.signin import NoSignIn, SignIn
from bastion.proxy.streams import StreamLimits, Streams
from bastion.proxy.tunnel import Tunneller
from bastion.proxy.turns import Turns
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import StartError
from bastion.runtime.follow import follow
from bastion.runtime.limits import Rate, Shares
from bastion.server.app import App
from bastion.server.door import Door, room
from bastion.server.metricsport import MetricsPort
from bastion.server.state import ServerState, Timeouts
from bastion.settings.browsers import Browsers
from bastion.settings.config import INSECURE_ADDRESS, Config
from bastion.settings.config import Streams as StreamConfig
from bastion.signin.handoff import Handoff
from bastion.signin.once import UsedHere, UsedInFolder
from bastion.signin.sealed import KEY_BYTES, Sealer, key_of
from bastion.signin.session import Sessions
from bastion.web.app import create_app
from bastion.web.visit import Desk
from bastion.wiring.measuring import Remembers, caches, certificates, copies, granted, held, telling

if TYPE_CHECKING:
    from bastion.standalone.apiserver import ApiServer

_log = logging.getLogger("bastion")


@dataclass(slots=True)
class Bastion:
    """`app` answers; `state` is what its server shares, `metrics` that of --metrics-bind-address; `catalog`
    what it knows; `stopping` is set by whoever stops it.
    """

    app: App
    state: ServerState
    metrics: ServerState
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
    """Everything, running; closed again at the end.

    `access_log` is a file descriptor.  Raises StartError.
    """
    async with AsyncExitStack() as stack:
        access = await _access(config, stack)
        servers = config.kube_api.servers or (access.server,)
        throttle = Throttle(config.kube_api.qps, config.kube_api.burst)
        apiservers = ApiServers(servers)
        calls = ApiCalls()
        api = await stack.enter_async_context(ApiClient(access, apiservers, throttle, observe=calls.observe))
        _in_background(stack, access.keep(), "credentials")
        deadlines = await stack.enter_async_context(Deadlines())
        catalog = Catalog()
        apart = (
            Catalog()
            if config.kube_api.namespaces and NAMESPACE not in config.kube_api.namespaces
            else catalog
        )
        named = ApiSockets(
            servers, time.monotonic, more=partial(look_once, api, apart) if apart is not catalog else None
        )
        await named.look()
        _in_background(stack, named.keep(), "API servers' addresses")
        policy = DialPolicy(
            config.allow_targets,
            _own_sockets(config),
            _own_ports(config),
            is_local,
            lambda: (*named(), *api_server_sockets(apart)),
            catalog.is_kubelet,
        )
        resources = ["services", "endpointslices", "pods", *(["nodes"] if config.nodes else [])]
        outages = Outages(lambda: apiservers.current.url)
        informers = _informers(resources, api, catalog, config.kube_api.namespaces, outages)
        for informer in informers:
            _in_background(stack, informer.run(), f"informer-{informer.resource}")
        rights = needed((informer.resource, informer.namespace) for informer in informers)
        standing = Standing(api, access.authorization, rights, outages)
        _in_background(stack, standing.keep(), "the bastion's own rights")
        lookup = Lookup(api, catalog, informers, Rate(config.limits.lookup_qps, config.limits.lookup_qps))

        timeouts = config.timeouts
        client_tls = ClientTLS(config.kubelet)
        _in_background(stack, follow([client_tls.kubelet]), "kubelet certificates")
        dialer = Dialer(policy, client_tls, deadlines, timeouts.connect)
        pool = ConnectionPool(dialer, deadlines, room(_descriptors()))
        stack.callback(pool.close)
        observing = config.observing
        log = await stack.enter_async_context(
            AccessLog(access_log, access_lines(observing.log_format, access_log))
        )
        requests = Requests(observing.targets)
        observer = Observer((log, requests))
        origins = Origins(config.trusted_proxies)
        expiry = Expiry(certificates_of(config, lambda: access.certificates))
        _in_background(stack, expiry.keep(), "the ends of certificates")
        transport = Transport(pool, UpstreamDeadlines(timeouts.response_header, timeouts.response_idle))
        outliers = Outliers()
        balancer = Balancer(RoundRobin, outliers)
        turns = Turns()
        presentation = Policy(config.pages.rewrite_html, config.pages.sandbox)
        resolver = Resolver(
            catalog,
            policy,
            nodes=config.nodes,
            namespaces=config.kube_api.namespaces,
            beyond=_said_once(),
        )
        cluster = Cluster(api, catalog, resolver, Reviews(api, outages))
        router = Router(
            cluster.resolver,
            balancer,
            turns.take,
            lookup,
            Families(),
            asyncio.get_running_loop().time,
        )
        tunneller = Tunneller(
            transport=transport,
            router=router,
            balancer=balancer,
            deadlines=deadlines,
            idle=config.streams.idle_timeout,
            policy=presentation,
            turns=turns,
        )
        catalog.listeners.address_left.append(pool.address_left)
        catalog.listeners.endpoint_left.append(pool.endpoint_left)
        # With manifests the token file is the embedded API's own; on a cluster it is one more way to know
        # somebody.
        token_file = None if config.source.manifests else config.source.token_file
        authenticators = await open_authenticators(
            config.authentication,
            token_file,
            cluster.reviews,
            stack,
            anonymous=config.anonymous,
            ttl=config.memory.authentication,
        )
        fresh_authorizer = AccessReviewAuthorizer(cluster.reviews)
        authorizer = CachedAuthorizer(fresh_authorizer, config.memory.authorized, config.memory.unauthorized)
        recheck = Recheck(config.streams.recheck_interval, config.streams.recheck_grace)
        stream_access = StreamAccess(recheck, authenticators.fresh, fresh_authorizer)
        streams = Streams(deadlines, _stream_limits(config.streams), stream_access.watch, _told_by(observer))
        catalog.listeners.address_gone.append(streams.address_gone)
        catalog.listeners.node_gone.append(streams.node_gone)
        guard = Guard(authenticators.remembering, authenticators.remembers, config.limits, origins.foreign)
        hosts = HostNames(config.browsers.host_suffix) if config.browsers.host_suffix else None
        sign_in, desk = _sign_in(
            config.browsers, guard, origins, hosts, strict_transport=not config.serving.self_signed
        )
        admission = Admission(
            credentials=CredentialReader(
                origins, authenticators.headers, desk.sessions if desk is not None else None, time.time
            ),
            guard=guard,
            impersonator=Impersonator(authorizer),
            authorizer=authorizer,
            hosts=hosts,
            generated_clients=config.generated_clients,
            upgrade_requires_create=config.streams.require_create,
        )
        gateway = Gateway(
            admission=admission,
            guard=guard,
            router=router,
            origins=origins,
            forwarder=Forwarder(
                transport, router, balancer, Shares(config.limits.waiting_per_target), presentation, turns
            ),
            tunneller=tunneller,
            streams=streams,
            observer=observer,
            sign_in=sign_in,
            withheld=_withheld(config, authenticators.headers),
        )

        def reload() -> None:
            for followed in (client_tls.kubelet, *authenticators.followed):
                followed.again()
            access.again()
            expiry.look()

        readiness = {resource: _synced(catalog, resource) for resource in resources}
        readiness |= {_watch_name(informer): informer.why_not_ready for informer in informers}
        readiness["reviews"] = standing.why_not_ready
        bastion = Bastion(None, None, None, catalog, pool, standing, outages, expiry, reload)  # type: ignore[arg-type]
        readiness["shutdown"] = lambda: "shutting down" if bastion.stopping() else None
        door = Door(_descriptors(), config.limits.connections_per_address, origins.trusts)
        sign_ins = SignIns(time.monotonic)
        remembering: dict[str, Remembers] = {
            "authentication": authenticators.cache,
            "authorization": authorizer,
            "lookup": lookup,
        }
        metrics = Metrics(
            requests.families,
            held(lambda: bastion.state, streams, outliers, cluster.client, recheck, pool, log),
            caches(remembering),
            calls.families,
            copies(cluster.catalog, informers),
            granted(rights, standing),
            certificates(expiry),
            *((sign_ins.families,) if desk is not None else ()),
            Process().families,
        )
        web = create_app(
            readiness, {"ping": lambda: None}, Rendered(await telling(observing, metrics, stack)), desk
        )
        own = NonResource(admission, guard, origins, observer)
        bastion.app = App(
            gateway,
            web,
            lambda: door.crowded,
            hosts,
            Observer((log, requests, sign_ins)) if desk is not None else None,
            own.admits if observing.authorization else None,
        )
        bastion.metrics = ServerState(MetricsPort(web), deadlines, door)
        bastion.state = ServerState(
            bastion.app, deadlines, door, Timeouts(*_server_timeouts(config)), streams.end_all
        )
        yield bastion


async def _access(config: Config, stack: AsyncExitStack) -> ApiAccess:
    """To the cluster, or to the embedded API that stands in for one; both only over HTTP."""
    if not config.source.manifests:
        return await asyncio.to_thread(load_access, config.source.kubeconfig, config.kube_api.context)
    return access_from_text((await embedded_api(config, stack)).kubeconfig())


async def embedded_api(config: Config, stack: AsyncExitStack) -> ApiServer:
    from bastion.standalone.apiserver import ApiServer  # only here: nobody else needs its libraries

    return await stack.enter_async_context(ApiServer(config.source.manifests, config.source.token_file))


def _withheld(config: Config, front_proxy: FrontProxyHeaders | None) -> Callable[[bytes], bool]:
    names, prefixes = front_proxy.names() if front_proxy is not None else ((), ())
    return withholding(names, prefixes, [name.lower().encode() for name in config.allow_headers])


def _sign_in(
    browsers: Browsers, guard: Guard, origins: Origins, hosts: HostNames | None, *, strict_transport: bool
) -> tuple[NoSignIn, Desk | None]:
    """(what the gateway needs for it, what the pages need)."""
    if not browsers.sign_in:
        return NoSignIn(), None
    sealer = Sealer(session_key(browsers), os.urandom)
    sessions, handoff = (
        Sessions(sealer),
        Handoff(sealer, UsedHere() if browsers.used is None else UsedInFolder(browsers.used)),
    )
    desk = Desk(
        sessions,
        handoff,
        guard.identify,
        origins.client,
        origins.seen,
        time.time,
        browsers.public_url,
        hosts,
        strict_transport,
    )
    return SignIn(sessions, handoff, hosts, browsers.public_url, time.time), desk


def _told_by(observer: Observer) -> Callable[[Record, Exchange], None]:
    return lambda record, exchange: observer.lasts(
        record, exchange.status, exchange.bytes_in, exchange.bytes_out
    )


def session_key(browsers: Browsers) -> bytes:
    """Raises StartError, OSError."""
    if browsers.key or browsers.key_file is None:
        return browsers.key or os.urandom(KEY_BYTES)
    try:
        return key_of(browsers.key_file.read_bytes())
    except ValueError as error:
        raise StartError(f"--session-key-file: {browsers.key_file} {error}") from error


def _stream_limits(streams: StreamConfig) -> StreamLimits:
    """What is never asked about again is long after a minute."""
    usual = StreamLimits()
    return StreamLimits(streams.idle_timeout, streams.max_duration, streams.recheck_interval or usual.long)


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
    return tuple(port for address, port in _own_sockets(config) if address in ("0.0.0.0", "::"))  # noqa: S104


def _own_sockets(config: Config) -> set[tuple[str, int]]:
    """A target that leads there is a loop, and the plain ports are nobody's but whose they were meant to
    be.
    """
    serving, aside = config.serving, config.observing.metrics_address
    own = {(serving.bind_address, serving.port)} | ({aside} if aside is not None else set())
    return own | {(INSECURE_ADDRESS, serving.insecure_port)} if serving.insecure_port else own


def _informers(
    resources: Iterable[str], api: ApiClient, catalog: Catalog, namespaces: Iterable[str], outages: Outages
) -> list[Informer]:
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


def _said_once() -> Callable[[tuple[str, str]], None]:
    """Tells the operator of a service whose slices list more than is looked at, and of a thousand of them."""
    said: set[tuple[str, str]] = set()

    def say(service: tuple[str, str]) -> None:
        if service not in said and len(said) < 1024:
            said.add(service)
            _log.warning(
                "service %s/%s: its EndpointSlices list more than %d endpoints, the others are not used",
                *service,
                MOST_LISTED,
            )

    return say


def _in_background(stack: AsyncExitStack, work: Awaitable[None], name: str) -> None:
    task = asyncio.ensure_future(work)
    task.add_done_callback(
        lambda t: _log.critical("%s ended: %r", name, t.exception()) if not t.cancelled() else None
    )
    stack.callback(task.cancel)
