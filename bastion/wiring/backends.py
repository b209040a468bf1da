"""How a request reaches an endpoint: dialled, pooled, balanced, sent."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from bastion.balance.cookie import tokens
from bastion.balance.families import Families
from bastion.balance.pool import Balancer
from bastion.discovery.bundles import Bundles
from bastion.discovery.pathrules import path_groups
from bastion.message.answers import Policy
from bastion.network.connections import ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.http2.pool import Http2Pool
from bastion.network.tls.contexts import ClientTLS
from bastion.network.transport import Transport
from bastion.proxy.connect import Connector
from bastion.proxy.forward import Forwarder
from bastion.proxy.healthchecks import HealthChecks
from bastion.proxy.revival import Revival
from bastion.proxy.router import Router
from bastion.proxy.sending import Ways
from bastion.proxy.tunnel import Tunneller
from bastion.proxy.turns import Turns
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.follow import follow
from bastion.runtime.limits import Shares
from bastion.runtime.validity import Generation
from bastion.settings.config import Config
from bastion.wiring.background import in_background
from bastion.wiring.cluster import Cluster
from bastion.wiring.signin import session_key


@dataclass(frozen=True, slots=True)
class Backends:
    tls: ClientTLS
    dialer: Dialer
    pool: ConnectionPool
    multiplexed: Http2Pool
    transport: Transport
    waiting: Shares
    balancer: Balancer
    router: Router
    forwarder: Forwarder
    tunneller: Tunneller
    connector: Connector | None
    presentation: Policy


def open_backends(
    config: Config,
    cluster: Cluster,
    deadlines: Deadlines,
    connections: int,
    stack: AsyncExitStack,
    generation: Generation,
) -> Backends:
    """`connections`: how many may be open.  Raises OSError where a file cannot be read."""
    tls = ClientTLS(config.kubelet, generation, config.backend_tls, Bundles(cluster.client))
    in_background(stack, follow([tls.kubelet, tls.backends]), "certificates of kubelets and backends")
    dialer = Dialer(cluster.policy, tls, deadlines, config.timeouts.connect)
    pool = ConnectionPool(dialer, deadlines, connections)
    stack.callback(pool.close)
    cluster.catalog.listeners.address_left.append(pool.address_left)
    cluster.catalog.listeners.endpoint_left.append(pool.endpoint_left)
    multiplexed = Http2Pool(dialer, deadlines, pool.new)
    stack.callback(multiplexed.close)
    cluster.catalog.listeners.address_left.append(multiplexed.address_left)
    cluster.catalog.listeners.endpoint_left.append(multiplexed.endpoint_left)
    transport = Transport(pool, config.timeouts, multiplexed)
    turns, balancer = Turns(), Balancer(random.randrange, token_of=tokens(session_key(config.browsers)))
    router = _router(cluster, turns)
    clock = asyncio.get_running_loop().time
    ways = Ways(transport, router, balancer, clock)
    balancer.revive = revival = Revival(pool, balancer.outliers, clock)
    stack.callback(revival.close)
    checks = HealthChecks(
        balancer, transport, lambda target: cluster.resolver.resolve(target).endpoints, random.random
    )
    in_background(stack, checks.keep(), "health checks")
    presentation = Policy(config.browsers.rewrite_html, config.browsers.sandbox_pages)
    waiting = Shares(config.limits.waiting_per_target)
    return Backends(
        tls=tls,
        dialer=dialer,
        pool=pool,
        multiplexed=multiplexed,
        transport=transport,
        waiting=waiting,
        balancer=balancer,
        router=router,
        forwarder=Forwarder(ways, waiting, presentation, turns, max_body=config.limits.body_size),
        tunneller=Tunneller(
            ways=ways,
            deadlines=deadlines,
            idle=config.streams.idle_timeout,
            policy=presentation,
            turns=turns,
        ),
        connector=_connector(config, ways, dialer, deadlines),
        presentation=presentation,
    )


def _connector(config: Config, ways: Ways, dialer: Dialer, deadlines: Deadlines) -> Connector | None:
    if not config.targets.tunnels:
        return None
    return Connector(ways=ways, dialer=dialer, deadlines=deadlines, idle=config.streams.idle_timeout)


def _router(cluster: Cluster, turns: Turns) -> Router:
    clock = asyncio.get_running_loop().time
    return Router(
        cluster.resolver, turns.take, cluster.lookup, Families(), clock, partial(path_groups, cluster.catalog)
    )
