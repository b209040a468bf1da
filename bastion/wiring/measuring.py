"""What do the parts of a bastion tell of themselves?  From their own counters to the words of Prometheus."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Protocol

from bastion.balance.outlier import Outliers
from bastion.cluster.client import ApiClient
from bastion.cluster.rights import Right
from bastion.cluster.standing import Standing
from bastion.discovery.catalog import Catalog
from bastion.discovery.informer import Informer
from bastion.network.connections import ConnectionPool
from bastion.observe.accesslog import AccessLog
from bastion.observe.collecting import Worker
from bastion.observe.expiry import Expiry
from bastion.observe.families import Family, Together, counter, gauge, pieces
from bastion.observe.metrics import Metrics
from bastion.proxy.recheck import Recheck
from bastion.proxy.streams import Streams
from bastion.server.state import ServerState
from bastion.settings.observing import Observing

_log = logging.getLogger("bastion.metrics")

Number = Callable[[], float]


class Remembers(Protocol):
    @property
    def lookups(self) -> tuple[int, int]:
        """How often what was asked for was remembered, and how often not."""
        ...


def numbers(
    gauges: Mapping[str, tuple[str, Number]], counters: Mapping[str, tuple[str, Number]]
) -> Callable[[], list[Family]]:
    """By name: a sentence, and whom to ask."""

    def families() -> list[Family]:
        return [
            *(gauge(f"bastion_{name}", help, (), {(): ask()}) for name, (help, ask) in gauges.items()),
            *(counter(f"bastion_{name}", help, (), {(): ask()}) for name, (help, ask) in counters.items()),
        ]

    return families


def held(
    state: Callable[[], ServerState],
    streams: Streams,
    outliers: Outliers,
    api: ApiClient,
    recheck: Recheck,
    pool: ConnectionPool,
    log: AccessLog,
) -> Callable[[], list[Family]]:
    """What is there just now, and what was turned away or lost."""
    return numbers(
        {
            "requests_in_flight": ("Exchanges under way.", lambda: state().exchanges),
            "client_connections": ("Connections from clients.", lambda: len(state().connections)),
            "streams": (
                "Exchanges under way that have become long, tunnels among them.",
                lambda: len(streams),
            ),
            "backends_failing": (
                "Endpoints that are tried last because they failed lately.",
                lambda: len(outliers),
            ),
            "backends_failing_for_one_user": (
                "Endpoints that one user's requests alone found failing.",
                lambda: outliers.of_users,
            ),
            "api_calls_waiting": (
                "Calls to the API server whose turn has not come (--kube-api-qps).",
                lambda: api.waiting,
            ),
            "stream_access_questions": (
                "Questions about access that are asked again for streams.",
                lambda: len(recheck),
            ),
            "backend_connections": ("Connections to backends.", lambda: pool.open),
            "backend_connections_idle": (
                "Connections to backends that are kept for a next request.",
                lambda: pool.idle,
            ),
        },
        {
            "client_connections_turned_away": (
                "Connections that were closed because too many were open.",
                lambda: state().door.turned_away,
            ),
            "access_log_lines_dropped": (
                "Lines of the access log that could not be written.",
                lambda: log.dropped,
            ),
        },
    )


def caches(remembering: Mapping[str, Remembers]) -> Callable[[], list[Family]]:
    help = "Questions whose answer was remembered (hit), or had to be waited for (miss)."

    def families() -> list[Family]:
        told = {name: one.lookups for name, one in remembering.items()}
        samples = {
            (name, result): float(n)
            for name, both in told.items()
            for result, n in zip(("hit", "miss"), both, strict=True)
        }
        return [counter("bastion_cache_lookups", help, ("cache", "result"), samples)]

    return families


def copies(catalog: Catalog, informers: Iterable[Informer]) -> Callable[[], list[Family]]:
    """Of the API server's objects, and how fresh they are."""
    watched = [*informers]
    names = ("resource", "namespace")

    def families() -> list[Family]:
        objects = {"services": len(catalog.services), "pods": len(catalog.pods), "nodes": len(catalog.nodes)}
        known = {
            (resource,): float(count) for resource, count in objects.items() if resource in catalog.synced
        }
        ages = {(one.resource, one.namespace): one.age for one in watched}
        lists = {(one.resource, one.namespace): float(one.lists) for one in watched}
        return [
            gauge(
                "bastion_objects",
                "Objects of the API server that are known.",
                ("resource",),
                known,
                Together.MOST,
            ),
            gauge(
                "bastion_watch_age_seconds",
                "Since the API server last gave a sign of life on the watch of a resource; a watch renews"
                " itself every 30 s.",
                names,
                {key: age for key, age in ages.items() if age is not None},
                Together.MOST,
            ),
            counter(
                "bastion_lists",
                "Whole lists that were asked for: one at the start, and one whenever a watch could not"
                " go on.",
                names,
                lists,
            ),
        ]

    return families


def certificates(expiry: Expiry) -> Callable[[], list[Family]]:
    help = "When a certificate ends, of a chain or bundle the first that does (seconds since the epoch)."

    def families() -> list[Family]:
        ends = {(what,): end.at for what, end in expiry.ends.items()}
        return [
            gauge(
                "bastion_certificate_expiry_timestamp_seconds", help, ("certificate",), ends, Together.LEAST
            )
        ]

    return families


def granted(rights: Iterable[Right], standing: Standing) -> Callable[[], list[Family]]:
    asked = [*rights]
    help = "Whether the API server allows the bastion what it needs (1), or does not (0)."

    def families() -> list[Family]:
        known = asked if standing.asked.is_set() else []
        samples = {
            (one.verb, one.qualified, one.namespace): float(one not in standing.missing) for one in known
        }
        return [
            gauge(
                "bastion_api_right_granted", help, ("verb", "resource", "namespace"), samples, Together.LEAST
            )
        ]

    return families


async def telling(
    observing: Observing, metrics: Metrics, stack: AsyncExitStack
) -> Callable[[], Awaitable[bytes]]:
    """Who writes it all down: for all workers, where there are several."""
    if observing.folder is not None:
        worker = Worker(observing.folder, observing.number, os.getpid(), metrics.families)
        try:
            server = await worker.answering()
        except OSError as error:
            _log.error("each worker's /metrics tells of itself alone: %s", error.strerror or error)
        else:
            stack.callback(server.close)

            async def of_all() -> bytes:
                return await _written(await worker.of_all())

            return of_all

    async def alone() -> bytes:
        return await _written(metrics.families())

    return alone


async def _written(families: Iterable[Family]) -> bytes:
    found = []
    for piece in pieces(families):
        found.append(piece)
        await asyncio.sleep(0)
    return b"".join(found)
