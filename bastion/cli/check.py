"""Could it serve?  The line of a start, and all lines of `bastion serve --check`."""

from __future__ import annotations

import asyncio
import datetime
import os
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

from bastion.authn.authenticators import open_authenticators
from bastion.cluster.errors import ApiError
from bastion.cluster.kubeconfig import load_access
from bastion.cluster.outages import Outages
from bastion.cluster.reviews import Reviews
from bastion.network.tls.contexts import ClientTLS
from bastion.settings.config import Config
from bastion.wiring.auditing import examine_audit
from bastion.wiring.bastion import Bastion, open_bastion
from bastion.wiring.cluster import Cluster

READY_WITHIN = 12.0  # seconds, a little longer than a call to an API server that hangs
FAILED_AFTER = 1.0  # seconds after which an outage is final


def ready_line(bastion: Bastion, seconds: float) -> str:
    """`ready: 6 services, 6 pods, 0.4 s; watching as …`."""
    cluster = bastion.cluster
    counts = cluster.catalog.statistics()
    read = ", ".join(f"{count} {resource}" for resource, count in counts.items())
    return f"ready: {read}, {seconds:.1f} s; watching{_identity(cluster)} at {cluster.outages.server}"


def _identity(cluster: Cluster) -> str:
    return f" as {cluster.standing.identity}" if cluster.standing.identity else ""


async def check(config: Config) -> int:
    """The exit status: 0 where it could serve, with nothing missing and nothing expired."""
    began = asyncio.get_running_loop().time()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        async with open_bastion(config, nowhere) as bastion:
            await _settled(bastion.cluster, began)
            seconds = asyncio.get_running_loop().time() - began
            mistakes = [
                *bastion.cluster.outages.lines(),
                *_not_ready(bastion.cluster),
                *bastion.expiry.look(),
            ]
            for line in _findings(bastion, seconds):
                sys.stdout.write(f"{line}\n")
    finally:
        os.close(nowhere)
    for mistake in mistakes:
        sys.stderr.write(f"bastion serve: {mistake}\n")
    return 1 if mistakes else 0


async def _settled(cluster: Cluster, began: float) -> None:
    """The catalog is pure and has no event to wait for."""
    loop = asyncio.get_running_loop()
    while not cluster.ready and loop.time() - began < READY_WITHIN:
        await asyncio.sleep(0.02)
        if cluster.standing.tried and cluster.outages.lines() and loop.time() - began > FAILED_AFTER:
            return


def _not_ready(cluster: Cluster) -> Iterator[str]:
    """Where no outage says why."""
    if not cluster.outages.lines():
        unread = [resource for resource, synced in cluster.catalog.synced.items() if not synced]
        if unread:
            yield f"{cluster.outages.server} has not sent all {', '.join(unread)} within {READY_WITHIN:g} s"
        elif (reason := cluster.standing.why_not_ready()) is not None:
            yield reason


def _findings(bastion: Bastion, seconds: float) -> Iterator[str]:
    cluster = bastion.cluster
    if cluster.ready:
        yield ready_line(bastion, seconds)
    else:
        yield f"not ready: watching{_identity(cluster)} at {cluster.outages.server}"
    standing = cluster.standing
    if standing.asked.is_set():
        yield f"rights: {len(standing.rights) - len(standing.missing)} of {len(standing.rights)}"
    for what, end in bastion.expiry.ends.items():
        yield f"certificate: {what} until {datetime.datetime.fromtimestamp(end.at, datetime.UTC):%Y-%m-%d}"


# --- before workers are started


async def examine(config: Config) -> None:
    """What is wrong with a file is found here, once, and not in each worker.  Raises StartError, OSError."""
    ClientTLS(config.kubelet, backends=config.backend_tls)
    await examine_audit(config.audit)
    if not config.source.manifests:
        await asyncio.to_thread(load_access, config.source.kubeconfig, config.kube_api.context)
    async with AsyncExitStack() as stack:
        reviews = Reviews(_NoApiServer(), Outages())
        token_file = None if config.source.manifests else config.source.token_file
        await open_authenticators(config.authentication, token_file, reviews, stack, anonymous=False, ttl=0.0)


class _NoApiServer:
    """Reviews nothing."""

    async def create(self, path: str, body: bytes, asker: object) -> bytes:
        raise ApiError("no API server is asked")
