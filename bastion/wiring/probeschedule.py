"""Scheduled probes: who makes them, and where their results are kept."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bastion.authn.tokenreview import TokenReviewAuthenticator
from bastion.cluster.election import Election, Holder, Leading
from bastion.probe.history import History
from bastion.probe.hub import Hub
from bastion.probe.modulesource import ModuleSource
from bastion.probe.peers import AUDIENCE, PeerServer
from bastion.probe.peertokens import PeerTokens
from bastion.probe.runner import Runner
from bastion.probe.sweeper import Sweeper
from bastion.runtime.errors import StartError
from bastion.settings.config import Config
from bastion.wiring.background import in_background
from bastion.wiring.cluster import Cluster

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
NAME = "bastion-probes"
MIB = 1 << 20

_log = logging.getLogger("bastion.probe")


@dataclass(frozen=True, slots=True)
class Scheduled:
    sweeper: Sweeper
    hub: Hub


async def open_schedule(
    config: Config, cluster: Cluster, runner: Runner, modules: ModuleSource, stack: AsyncExitStack
) -> Scheduled:
    """Raises StartError."""
    settings = config.probing
    history = History()
    sweeper = Sweeper(
        runner=runner,
        modules=modules,
        catalog=cluster.catalog,
        history=history,
        interval=settings.interval,
        folk=settings.convention == "prometheus.io",
        now=time.time,
    )
    store = None
    if settings.store is not None:
        from bastion.probe.store import Store  # loads SQLite

        store = Store(settings.store, settings.store_size * MIB)
    judge = TokenReviewAuthenticator(cluster.reviews, (AUDIENCE,)).authenticate
    tokens = PeerTokens(config.observing.folder, settings.peer_token_file, judge)
    if not settings.schedule:
        return Scheduled(sweeper, Hub(sweeper, history, None, None, tokens.own, time.time))
    server = PeerServer(lambda target, module: hub.document(target, module), tokens.accepts)
    host, port = _peer_address(config, cluster)
    try:
        await server.open(host, port)
        stack.callback(server.close)
    except OSError as error:
        _log.error("results of probes cannot be told to other replicas at %s: %s", host, error.strerror)
    identity = f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"
    holder = Holder(identity, server.address, server.fingerprint)
    namespace, name = _lease(settings.lease)
    clock = asyncio.get_running_loop().time
    election = Election(cluster.client, namespace, name, holder, clock, what="probes what asks for it")
    hub = Hub(sweeper, history, store, election, tokens.own, time.time)
    sweeper.added = hub.added
    in_background(
        stack, Leading(election, hub.work, partial(_asked, cluster, sweeper)).run(), "scheduled probes"
    )
    return Scheduled(sweeper, hub)


def _asked(cluster: Cluster, sweeper: Sweeper) -> bool:
    """Whether anything asks to be probed: else no Lease is written."""
    return cluster.ready and bool(sweeper.asked())


def _lease(text: str) -> tuple[str, str]:
    """Raises StartError."""
    if text:
        namespace, slash, name = text.partition("/")
        if not slash or not namespace or not name:
            raise StartError(f"--probe-lease: {text} is not NAMESPACE/NAME")
        return namespace, name
    try:
        return _NAMESPACE.read_text().strip(), NAME
    except OSError:
        return "default", NAME


def _peer_address(config: Config, cluster: Cluster) -> tuple[str, int]:
    """Workers of one machine are on loopback; a pod has its own address."""
    given = config.probing.peer_address
    if given is not None:
        own = os.environ.get("POD_IP", "") if given[0] in ("0.0.0.0", "::") else ""  # noqa: S104
        return own or given[0], given[1]
    if config.observing.folder is not None or config.source.manifests:
        return "127.0.0.1", 0
    if pod := os.environ.get("POD_IP", ""):
        return pod, 0
    return _towards(urlsplit(cluster.access.server).hostname or "127.0.0.1"), 0


def _towards(host: str) -> str:
    """The own address from which a host is reached; nothing is sent."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 443, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            return str(sock.getsockname()[0])
    except OSError:
        return "127.0.0.1"
