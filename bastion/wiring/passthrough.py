"""Calls of the API, passed on to the API servers: which these are, whether they are ready, for whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from bastion.authn.authenticator import Authenticator, Credentials, FirstOf
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.authz.modes import LEGACY
from bastion.cluster.access import ApiAccess
from bastion.discovery.apiserver import api_server_endpoints
from bastion.kube.endpoint import Endpoint
from bastion.kube.user import ANONYMOUS, User
from bastion.network.addresses import DialPolicy
from bastion.network.connections import ConnectionPool
from bastion.network.dial import Dialer
from bastion.network.names import ApiSockets
from bastion.network.sockets import prepare_watched
from bastion.network.tls.apiservers import ApiServerTLS, pair_of
from bastion.network.transport import Transport
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.access import StreamAccess
from bastion.proxy.admission import Admitted
from bastion.proxy.directcall import DirectCalls
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Failures
from bastion.proxy.onbehalf import FRONT_PROXY, NOBODY, OWN, Knowledge, OnBehalf
from bastion.proxy.origin import Origins
from bastion.proxy.passthrough import PassThrough
from bastion.proxy.plan import Plans
from bastion.proxy.probing import Prober
from bastion.proxy.recheck import Recheck
from bastion.proxy.streams import Streams
from bastion.proxy.upstreams import Address, Upstreams
from bastion.runtime.certificates import CertificatePair
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed, follow
from bastion.settings.config import Config
from bastion.settings.kinds import network
from bastion.settings.passthrough import IMPERSONATE, USER
from bastion.settings.passthrough import PassThrough as Settings
from bastion.wiring.access import Access
from bastion.wiring.background import in_background
from bastion.wiring.cluster import Cluster
from bastion.wiring.gateway import Passing, withheld_of
from bastion.wiring.signin import SigningIn

DISCOVERED_NAME = "kubernetes.default.svc"  # which every API server's certificate is for
EVERYWHERE = (network("0.0.0.0/0"), network("::/0"))


class Ground(NamedTuple):
    """What it stands on."""

    cluster: Cluster
    access: Access
    browsers: SigningIn
    origins: Origins
    observer: Observer
    deadlines: Deadlines


async def open_pass_through(
    config: Config, ground: Ground, plans: Plans | None, stack: AsyncExitStack
) -> Passing | None:
    """None where only targets are served.  Raises StartError."""
    if not config.pass_through.enabled:
        return None
    settings, cluster = config.pass_through, ground.cluster
    if settings.identity == IMPERSONATE and cluster.access.impersonation:
        raise StartError(
            "--pass-through-identity impersonate: the kubeconfig has `as`, and an API server takes one such"
            " identity: give the bastion credentials of its own"
        )
    members = await open_members(config, cluster, stack)
    pair = _front_proxy_pair(settings, stack)
    tls = ApiServerTLS(lambda: cluster.access.trust, OWN, FRONT_PROXY, pair)
    everywhere = DialPolicy(EVERYWHERE)  # these are named, or were looked at before
    dialer = Dialer(everywhere, tls, ground.deadlines, config.timeouts.connect, prepare_watched)
    pool = ConnectionPool(dialer, ground.deadlines)
    stack.callback(pool.close)
    transport = Transport(pool, config.timeouts)

    def prober(endpoint: Endpoint, lost: Callable[[], None]) -> Prober:
        return Prober(dialer, endpoint, lambda at: probe_head(cluster.access, at), lost)

    upstreams = Upstreams(members, prober, pool, affinity=settings.affinity == USER)
    await upstreams.begin()
    in_background(stack, upstreams.keep(), "API servers")
    streams = _streams(config, ground)
    failures = Failures(config.limits)

    def adjust(changed: Config) -> None:
        dialer.connect_timeout = changed.timeouts.connect
        transport.timeouts = changed.timeouts
        failures.per_second = changed.limits.authentication_failure_qps
        failures.burst = changed.limits.authentication_failure_burst

    ways = _Ways(upstreams, pool, transport, streams)
    pass_through, calls = _passing(config, ground, ways, failures, plans)
    return Passing(
        pass_through=pass_through,
        calls=calls,
        streams=streams,
        upstreams=upstreams,
        pool=pool,
        adjust=adjust,
        followed=(pair,) if pair is not None else (),
    )


class _Ways(NamedTuple):
    """To the API servers; `streams` are the long exchanges."""

    upstreams: Upstreams
    pool: ConnectionPool
    transport: Transport
    streams: Streams


def _passing(
    config: Config, ground: Ground, ways: _Ways, failures: Failures, plans: Plans | None
) -> tuple[PassThrough, DirectCalls | None]:
    """The second carries out what is remembered, where anything is."""
    guard, on_behalf = ground.access.guard, _on_behalf(config.pass_through, ground, failures)
    pass_through = PassThrough(
        on_behalf=on_behalf,
        guard=guard,
        upstreams=ways.upstreams,
        transport=ways.transport,
        streams=ways.streams,
        deadlines=ground.deadlines,
        idle=config.streams.idle_timeout,
        hosts=ground.browsers.hosts,
        withheld=withheld_of(
            ground.access.authenticators.headers,
            config.serving.allow_request_headers,
            traced=bool(config.tracing.endpoint),
        ),
        plans=plans,
    )
    if plans is None:
        return pass_through, None
    return pass_through, DirectCalls(
        on_behalf=on_behalf,
        guard=guard,
        upstreams=ways.upstreams,
        pool=ways.pool,
        timeouts=lambda: ways.transport.timeouts,
        streams=ways.streams,
        observer=ground.observer,
    )


def _on_behalf(settings: Settings, ground: Ground, failures: Failures) -> OnBehalf:
    authenticators, desk = ground.access.authenticators, ground.browsers.desk

    def remembered(token: str) -> User | None:
        known = authenticators.known(Credentials(token))
        return known.value if known and known.value and known.value.name != ANONYMOUS else None

    return OnBehalf(
        settings=settings,
        knowledge=Knowledge(
            authenticators.connections,
            authenticators.tokens,
            remembered,
            authenticators.headers,
            authenticators.sessions,
        ),
        # the right to impersonate, as every version of kube-apiserver understands it
        impersonator=ImpersonationAuthorizer(ground.access.authorizer, (LEGACY,)),
        origins=ground.origins,
        sessions=desk.sessions if desk is not None and settings.sessions else None,
        failures=failures,
        own=ground.cluster.access.authorization,
        now=time.time,
    )


def _streams(config: Config, ground: Ground) -> Streams:
    """What the API server alone admitted it alone may end; what was admitted here is asked about again."""
    authenticators = ground.access.authenticators
    here = (authenticators.connections, authenticators.tokens, authenticators.sessions)
    known = [one for one in here if one is not None]
    recheck = Recheck(config.streams.recheck_interval, config.streams.recheck_grace)
    again: Authenticator = FirstOf(known)
    access = StreamAccess(recheck, again, ground.access.fresh_authorizer)

    def watch(admitted: Admitted, end: Callable[[str], None], ago: float) -> Callable[[], None]:
        return access.watch(admitted, end, ago) if admitted.user is not NOBODY else lambda: None

    def tell(record: Record, exchange: Exchange) -> None:
        ground.observer.lasts(record, exchange.status, exchange.bytes_in, exchange.bytes_out)

    return Streams(ground.deadlines, config.streams, watch, tell)


async def probe_head(access: ApiAccess, at: Endpoint) -> bytes:
    try:
        authorization = await access.authorization()
    except OSError:
        authorization = None
    line = f"Authorization: {authorization}\r\n" if authorization and at.tls is not None else ""
    acting = b"".join(b"%b: %b\r\n" % field for field in access.impersonation)
    head = f"GET /readyz HTTP/1.1\r\nHost: {at}\r\nUser-Agent: bastion\r\n{line}".encode()
    return head + acting + b"\r\n"


def _front_proxy_pair(settings: Settings, stack: AsyncExitStack) -> Followed[CertificatePair] | None:
    """Raises StartError."""
    certificate, key = settings.client_certificate, settings.client_key
    if certificate is None or key is None:
        return None
    try:
        pair = Followed(
            "the front proxy's certificate", (certificate, key), lambda: pair_of(certificate, key)
        )
    except (OSError, ValueError) as error:
        raise StartError(f"--pass-through-client-certificate: {error}") from error
    in_background(stack, follow([pair]), "the front proxy's certificate")
    return pair


# --- which they are


class Members:
    """Those that are named, and those that the cluster tells of; once some were told, never none."""

    def __init__(
        self,
        named: tuple[tuple[str, bool, ApiSockets], ...],
        told: Callable[[], frozenset[tuple[str, int]]],
        permits: Callable[[str, int], bool],
    ) -> None:
        """`named`: the host, whether over TLS, its sockets."""
        self._named = named
        self._told = told
        self._permits = permits
        self._known: frozenset[tuple[str, int]] = frozenset()

    def __call__(self) -> list[Address]:
        found = {
            socket: Address(*socket, host, secure)
            for host, secure, sockets in self._named
            for socket in sockets()
        }
        told = frozenset(socket for socket in self._told() if self._permits(*socket))
        self._known = told or self._known
        for socket in self._known - found.keys():
            found[socket] = Address(*socket, DISCOVERED_NAME)
        return [*found.values()]


async def open_members(config: Config, cluster: Cluster, stack: AsyncExitStack) -> Members:
    """Raises StartError."""
    named = []
    for url in dict.fromkeys(cluster.urls):
        parts = urlsplit(url)
        if parts.path not in ("", "/") or cluster.access.proxies.of(url):
            raise StartError(
                f"--pass-through: {url} has a path, or is reached through a proxy: name the API servers"
                " themselves (--apiserver)"
            )
        sockets = ApiSockets((url,), time.monotonic)
        await sockets.look()
        in_background(stack, sockets.keep(), f"addresses of {parts.hostname}")
        named.append((parts.hostname or "", parts.scheme == "https", sockets))
    told = frozenset[tuple[str, int]]
    discover = config.pass_through.discover
    return Members(
        tuple(named),
        (lambda: api_server_endpoints(cluster.about_servers)) if discover else told,
        DialPolicy(config.targets.allow_cidrs).permits,
    )
