"""One cluster: its API server as a client sees it, and what is known of its objects."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bastion.cluster.access import ApiAccess
from bastion.cluster.apiservers import ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.kubeconfig import access_from_text, load_access
from bastion.cluster.outages import Outages
from bastion.cluster.reviews import Reviews
from bastion.cluster.rights import needed
from bastion.cluster.standing import Standing
from bastion.cluster.throttle import Throttle
from bastion.discovery.annotated import Mistakes
from bastion.discovery.apiserver import NAMESPACE, api_server_sockets, look_once
from bastion.discovery.backendpolicies import BackendPolicies
from bastion.discovery.backendtls import BackendTrust, Flags
from bastion.discovery.backing import MOST_LISTED
from bastion.discovery.catalog import Catalog
from bastion.discovery.informer import Informer
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolver import Resolver
from bastion.discovery.zone import zone_of
from bastion.network.addresses import DialPolicy
from bastion.network.names import ApiSockets
from bastion.network.sockets import is_local
from bastion.observe.apicalls import ApiCalls
from bastion.runtime.limits import Rate
from bastion.settings.config import Config
from bastion.settings.sections import INSECURE_ADDRESS
from bastion.settings.targets import BackendTLS
from bastion.wiring.background import in_background

if TYPE_CHECKING:
    from bastion.standalone.apiserver import ApiServer

RESOURCES = ("services", "endpointslices", "pods")

_log = logging.getLogger("bastion")


@dataclass(frozen=True, slots=True)
class Cluster:
    """`calls` counts the calls of `client`, `lookups` bounds those of `lookup`; `policy` decides which
    addresses may be dialled.  `urls` are the API servers', `about_servers` holds what the cluster says of
    them.
    """

    access: ApiAccess
    client: ApiClient
    calls: ApiCalls
    outages: Outages
    standing: Standing
    reviews: Reviews
    catalog: Catalog
    informers: tuple[Informer, ...]
    lookups: Rate
    lookup: Lookup
    policy: DialPolicy
    resolver: Resolver
    urls: tuple[str, ...]
    about_servers: Catalog

    @property
    def ready(self) -> bool:
        """Each resource was read once, and the API server has said whether the bastion may create reviews."""
        return all(self.catalog.synced.values()) and self.standing.asked.is_set()

    def readiness(self) -> Mapping[str, Callable[[], str | None]]:
        """By the name of a check: why the cluster is not ready, None where it is."""
        checks = {resource: partial(_unread, self.catalog, resource) for resource in self.catalog.synced}
        watches = {_watch_name(informer): informer.why_not_ready for informer in self.informers}
        return {**checks, **watches, "reviews": self.standing.why_not_ready}


async def open_cluster(config: Config, stack: AsyncExitStack) -> Cluster:
    """Reads and watches in the background until the stack closes.  Raises StartError."""
    access = await _access(config, stack)
    in_background(stack, access.keep(), "credentials")
    urls = config.kube_api.servers or (access.server,)
    servers, calls = ApiServers(urls), ApiCalls()
    throttle = Throttle(config.kube_api.qps, config.kube_api.burst)
    client = await stack.enter_async_context(ApiClient(access, servers, throttle, observe=calls.observe))
    catalog, outages = Catalog(), Outages(lambda: servers.current.url)
    catalog.listeners.annotated.append(Mistakes(insecure=config.backend_tls.allow_insecure).look)
    watched = not config.kube_api.namespaces or NAMESPACE in config.kube_api.namespaces
    about_servers = catalog if watched else Catalog()
    policy = await _dial_policy(config, urls, client, (catalog, about_servers), stack)
    informers = _informers(config, client, catalog, outages)
    for informer in informers:
        in_background(stack, informer.run(), f"informer-{informer.resource}")
    rights = needed((informer.resource, informer.namespace) for informer in informers)
    standing = Standing(client, access.authorization, rights, outages)
    in_background(stack, standing.keep(), "the bastion's own rights")
    trust = BackendTrust(catalog, flags_of(config.backend_tls))
    policies = BackendPolicies(client, trust, config.kube_api.namespaces)
    in_background(stack, policies.keep(), "BackendTLSPolicies")
    zone = config.targets.zone or await zone_of(client, config.targets.node_name)
    lookups = Rate(config.limits.lookup_qps, config.limits.lookup_qps)
    return Cluster(
        access=access,
        client=client,
        calls=calls,
        outages=outages,
        standing=standing,
        reviews=Reviews(client, outages),
        catalog=catalog,
        informers=informers,
        lookups=lookups,
        lookup=Lookup(client, catalog, informers, lookups),
        policy=policy,
        resolver=_resolver(config, catalog, policy, trust, zone),
        urls=urls,
        about_servers=about_servers,
    )


async def _access(config: Config, stack: AsyncExitStack) -> ApiAccess:
    """To a cluster, or to the embedded API that stands in for one; both only over HTTP."""
    if not config.source.manifests:
        return await asyncio.to_thread(load_access, config.source.kubeconfig, config.kube_api.context)
    return access_from_text((await embedded_api(config, stack)).kubeconfig())


async def embedded_api(config: Config, stack: AsyncExitStack) -> ApiServer:
    from bastion.standalone.apiserver import ApiServer  # its libraries are loaded for --manifests alone

    return await stack.enter_async_context(ApiServer(config.source.manifests, config.source.token_file))


def _informers(config: Config, client: ApiClient, catalog: Catalog, outages: Outages) -> tuple[Informer, ...]:
    """One for each resource, or with --namespaces one for each namespace of it; nodes are in no namespace."""
    watched = [(resource, config.kube_api.namespaces or ("",)) for resource in RESOURCES]
    watched += [("nodes", ("",))] if config.targets.node_proxy else []
    return tuple(
        Informer(resource, client, catalog, namespace, outages)
        for resource, namespaces in watched
        for namespace in namespaces
    )


def _watch_name(informer: Informer) -> str:
    return f"watch-{informer.resource}" + (f"/{informer.namespace}" if informer.namespace else "")


def _unread(catalog: Catalog, resource: str) -> str | None:
    return None if catalog.synced.get(resource) else "not yet read from the API server"


def _resolver(
    config: Config, catalog: Catalog, policy: DialPolicy, trust: BackendTrust, zone: str
) -> Resolver:
    namespaces = config.kube_api.namespaces
    return Resolver(
        catalog,
        policy,
        nodes=config.targets.node_proxy,
        namespaces=namespaces,
        on_truncated=_warn_once(),
        zone=zone,
        trust=trust,
    )


def flags_of(settings: BackendTLS) -> Flags:
    return Flags(
        authority=settings.certificate_authority is not None,
        identity=settings.client_certificate is not None,
        insecure=settings.allow_insecure,
    )


def _warn_once() -> Callable[[tuple[str, str]], None]:
    """Warns of a service whose slices list too many endpoints: once of each, and of the first 1024."""
    warned: set[tuple[str, str]] = set()

    def warn(service: tuple[str, str]) -> None:
        if service not in warned and len(warned) < 1024:
            warned.add(service)
            _log.warning(
                "service %s/%s: its EndpointSlices list more than %d endpoints, the others are not used",
                *service,
                MOST_LISTED,
            )

    return warn


# --- what may be dialled


async def _dial_policy(
    config: Config,
    urls: tuple[str, ...],
    client: ApiClient,
    catalogs: tuple[Catalog, Catalog],
    stack: AsyncExitStack,
) -> DialPolicy:
    """Never the bastion's own sockets, nor those of the API servers: by their URLs, and by what the cluster
    says of them (the second of `catalogs`).
    """
    catalog, about_servers = catalogs
    read = None if about_servers is catalog else partial(look_once, client, about_servers)
    named = ApiSockets(urls, time.monotonic, more=read)
    await named.look()
    in_background(stack, named.keep(), "API servers' addresses")
    own = own_sockets(config)
    return DialPolicy(
        config.targets.allow_cidrs,
        own,
        # one that is bound to every address has its port on each of them
        tuple(port for address, port in own if address in ("0.0.0.0", "::")),  # noqa: S104
        is_local,
        lambda: (*named(), *api_server_sockets(about_servers)),
        catalog.is_kubelet,
    )


def own_sockets(config: Config) -> set[tuple[str, int]]:
    """A target there would be a loop, and would open the plain ports to clients they are not for."""
    serving, metrics = config.serving, config.observing.metrics_bind_address
    own = {(serving.bind_address, serving.port)}
    own |= {metrics} if metrics is not None else set()
    return own | ({(INSECURE_ADDRESS, serving.insecure_port)} if serving.insecure_port else set())
