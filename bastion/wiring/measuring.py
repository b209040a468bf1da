"""From the statistics of each component to metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bastion.balance.pool import Balancer
from bastion.cluster.rights import Right
from bastion.cluster.standing import Standing
from bastion.discovery.catalog import Catalog
from bastion.discovery.informer import Informer
from bastion.observe.expiry import Expiry
from bastion.observe.families import Family, Together, counter, gauge
from bastion.observe.metrics import Source
from bastion.observe.process import Process
from bastion.observe.record import tls_word
from bastion.proxy.upstreams import Upstreams
from bastion.runtime.cache import CacheStatistics
from bastion.wiring.access import Access
from bastion.wiring.backends import Backends
from bastion.wiring.cluster import Cluster
from bastion.wiring.gateway import LongExchanges, Passing
from bastion.wiring.observing import Observing
from bastion.wiring.serving import Serving


@dataclass(frozen=True, slots=True)
class Sources:
    cluster: Cluster
    access: Access
    backends: Backends
    long: LongExchanges
    observing: Observing
    serving: Serving
    passing: Passing | None = None


def sources(of: Sources) -> list[Source]:
    cluster, observing = of.cluster, of.observing
    caches: dict[str, Cached] = {
        "authentication": of.access.authenticators.cache,
        "authorization": of.access.authorizer,
        "lookup": cluster.lookup,
    }
    found: list[Source] = [
        observing.requests.families,
        numbers(of.serving.state.statistics, SERVER),
        numbers(of.long.streams.statistics, STREAMS),
        numbers(of.long.recheck.statistics, RECHECK),
        numbers(of.backends.balancer.outliers.statistics, OUTLIERS),
        numbers(of.backends.pool.statistics, POOL),
        numbers(of.backends.multiplexed.statistics, MULTIPLEXED),
        balanced(of.backends.balancer),
        verification(of.backends.balancer),
        numbers(cluster.client.statistics, CLIENT),
        numbers(observing.log.statistics, ACCESS_LOG),
        observing.auditing.counts.families,
        lookups(caches),
        cluster.calls.families,
        objects(cluster.catalog),
        watches(cluster.informers),
        rights(cluster.standing),
        certificates(observing.expiry),
    ]
    if of.passing is not None:
        found += [
            api_servers(of.passing.upstreams),
            numbers(of.passing.pool.statistics, API_POOL),
            numbers(of.passing.streams.statistics, API_STREAMS),
        ]
    if of.serving.pages:
        found.append(observing.sign_ins.families)
    return [*found, Process().families]


class Number(NamedTuple):
    """The metric `bastion_<name>` of one field of a component's statistics."""

    name: str
    field: str
    help: str
    family: Callable[..., Family] = gauge


SERVER = (
    Number("requests_in_flight", "exchanges", "Exchanges under way."),
    Number("client_connections", "connections", "Connections from clients."),
    Number("client_http2_connections", "http2", "Connections from clients that speak HTTP/2."),
    Number(
        "client_connections_turned_away",
        "turned_away",
        "Connections that were closed because too many were open.",
        counter,
    ),
)
STREAMS = (Number("streams", "long", "Long exchanges under way, tunnels among them."),)
RECHECK = (
    Number(
        "stream_access_questions", "questions", "Questions about access that are asked again for streams."
    ),
)
OUTLIERS = (
    Number("backends_failing", "failing", "Endpoints that are tried last because they failed lately."),
    Number(
        "backends_failing_for_one_user",
        "failing_for_one_user",
        "Endpoints that failed for the requests of one user only.",
    ),
)
POOL = (
    Number("backend_connections", "open", "Connections to backends."),
    Number("backend_connections_idle", "idle", "Idle connections to backends, kept for a next request."),
)
MULTIPLEXED = (
    Number("backend_http2_connections", "open", "Connections to backends that speak HTTP/2."),
    Number("backend_http2_streams", "streams", "Requests under way on connections that speak HTTP/2."),
)
API_POOL = (
    Number("api_server_connections", "open", "Connections to API servers that calls are passed on over."),
)
API_STREAMS = (
    Number("api_streams", "long", "Long calls under way that are passed on: watches, logs, tunnels."),
)
CLIENT = (
    Number(
        "api_calls_waiting", "waiting", "Calls to the API server that wait for their turn (--kube-api-qps)."
    ),
)
ACCESS_LOG = (
    Number(
        "access_log_lines_dropped", "dropped", "Lines of the access log that could not be written.", counter
    ),
)


def numbers(statistics: Callable[[], object], table: Sequence[Number]) -> Source:
    def families() -> list[Family]:
        now = statistics()
        return [
            one.family(f"bastion_{one.name}", one.help, (), {(): getattr(now, one.field)}) for one in table
        ]

    return families


def verification(balancer: Balancer) -> Source:
    help = "Service ports that were used lately, by what is spoken to their endpoints."

    def families() -> list[Family]:
        samples = Counter((tls_word(one.endpoint) or "plain",) for one in balancer.statistics())
        return [gauge("bastion_service_tls", help, ("tls",), samples, Together.MOST)]

    return families


def balanced(balancer: Balancer) -> Source:
    names = ("namespace", "service", "port")
    table = (
        ("service_requests", "Requests to a service port.", "requests"),
        ("service_retries", "Requests that were sent to another endpoint of it.", "retries"),
        ("service_ejections", "Endpoints of it that were taken out because they failed.", "ejections"),
    )
    states = ("serving", "ejected", "ill")

    def families() -> list[Family]:
        now = {(ns, name, str(port)): one for one in balancer.statistics() for _, ns, name, port in [one.key]}
        counts = [
            counter(f"bastion_{name}", help, names, {key: getattr(one, field) for key, one in now.items()})
            for name, help, field in table
        ]
        endpoints = {(*key, state): getattr(one, state) for key, one in now.items() for state in states}
        help = "Endpoints of a service port that was used lately, by state."
        return [
            *counts,
            gauge("bastion_service_endpoints", help, (*names, "state"), endpoints, Together.MOST),
        ]

    return families


class Cached(Protocol):
    def statistics(self) -> CacheStatistics: ...


def lookups(caches: Mapping[str, Cached]) -> Source:
    help = "Questions that were answered from the cache (hit), or had to be asked (miss)."

    def families() -> list[Family]:
        samples = {
            (name, result): float(count)
            for name, cache in caches.items()
            for result, count in zip(("hit", "miss"), cache.statistics(), strict=True)
        }
        return [counter("bastion_cache_lookups", help, ("cache", "result"), samples)]

    return families


def objects(catalog: Catalog) -> Source:
    help = "Objects of the API server that are known."

    def families() -> list[Family]:
        samples = {(resource,): float(count) for resource, count in catalog.statistics().items()}
        return [gauge("bastion_objects", help, ("resource",), samples, Together.MOST)]

    return families


def watches(informers: Iterable[Informer]) -> Source:
    watched, names = [*informers], ("resource", "namespace")
    age_help = (
        "Since the API server last gave a sign of life on the watch of a resource; a watch renews itself"
        " every 30 s."
    )
    lists_help = (
        "Whole lists that were asked for: one at the start, and one whenever a watch could not go on."
    )

    def families() -> list[Family]:
        now = {(one.resource, one.namespace): one.statistics() for one in watched}
        ages = {key: one.age for key, one in now.items() if one.age is not None}
        lists = {key: float(one.lists) for key, one in now.items()}
        return [
            gauge("bastion_watch_age_seconds", age_help, names, ages, Together.MOST),
            counter("bastion_lists", lists_help, names, lists),
        ]

    return families


def rights(standing: Standing) -> Source:
    help = "Whether the API server grants the bastion a right that it needs (1), or does not (0)."
    names = ("verb", "resource", "namespace")

    def sample(right: Right) -> tuple[tuple[str, str, str], float]:
        return (right.verb, right.qualified, right.namespace), float(right not in standing.missing)

    def families() -> list[Family]:
        known = standing.rights if standing.asked.is_set() else ()
        samples = dict(map(sample, known))
        return [gauge("bastion_api_right_granted", help, names, samples, Together.LEAST)]

    return families


def api_servers(upstreams: Upstreams) -> Source:
    states_help = (
        "The API servers that calls are passed on to, by the state that /readyz shows: 1 for the current."
    )
    calls_help = "Calls under way at each of them."

    def families() -> list[Family]:
        now = upstreams.statistics()
        states = dict.fromkeys(now.states.items(), 1.0)
        calls = {(server,): float(count) for server, count in now.calls.items()}
        return [
            gauge("bastion_api_server_state", states_help, ("server", "state"), states, Together.MOST),
            gauge("bastion_api_server_calls", calls_help, ("server",), calls),
        ]

    return families


def certificates(expiry: Expiry) -> Source:
    help = "When a certificate expires, of a chain or bundle the first that does (seconds since the epoch)."
    name = "bastion_certificate_expiry_timestamp_seconds"

    def families() -> list[Family]:
        ends = {(purpose,): end.at for purpose, end in expiry.ends.items()}
        return [gauge(name, help, ("certificate",), ends, Together.LEAST)]

    return families
