"""· Which addresses and ports does the node answer for, and where do connections to them go?

`fronts_of` makes of one Service and its slices, for one address family, what every mode then renders in its
own way.  Pure: the same objects give the same fronts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from bastion.node.addresses import address_of, collapsed, contains, network_of, of_family
from bastion.node.endpoints import Backend, Choice, Place, choose, hosts_of
from bastion.node.objects import PROXY_NAME_LABEL, EndpointSlice, Service, ServicePort

PROTOCOLS = ("TCP", "UDP", "SCTP")
AFFINITY_SECONDS = 10800
LONGEST_AFFINITY = 86400


class Scope(StrEnum):
    """By which kind of address a Service is reached."""

    CLUSTER = "cluster IP"
    EXTERNAL = "external IP"
    BALANCER = "load-balancer IP"
    NODE = "node port"


class FrontKey(msgspec.Struct, frozen=True, gc=False, order=True):
    """`address` is empty for a node port: it stands for the node's own addresses."""

    address: str
    protocol: str
    port: int


class Home(msgspec.Struct, frozen=True, gc=False):
    """A Service's cluster IP and port, and whether its internal traffic policy is Local."""

    address: str
    port: int
    local: bool


class Front(msgspec.Struct, frozen=True, gc=False):
    """`cluster` are the endpoints that the policy Cluster chooses, `local` those of the policy Local; `here`
    are those of both that run on this node; `anywhere`: there is an endpoint, whether or not it is chosen;
    `sources`: ranges of clients that may connect, empty for all; `affinity` in seconds, 0 for none.
    """

    owner: str
    scope: Scope
    cluster: tuple[Backend, ...]
    local: tuple[Backend, ...]
    here: tuple[Backend, ...]
    anywhere: bool
    local_policy: bool
    home: Home
    affinity: int = 0
    sources: tuple[str, ...] = ()

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Those for clients that the policy binds."""
        return self.local if self.local_policy else self.cluster

    @property
    def splits(self) -> bool:
        """Pods and the node go elsewhere than clients outside do (policy Local for external traffic)."""
        return self.local_policy and self.scope is not Scope.CLUSTER

    @property
    def refused(self) -> str:
        """`reject`, `drop` or empty: what happens to a connection that no endpoint is chosen for."""
        if not self.anywhere:
            return "reject"
        return "" if self.backends else "drop"


Fronts = dict[FrontKey, Front]


def is_served(service: Service) -> bool:
    labels = service.metadata.labels or {}
    has_address = bool(service.spec.cluster_addresses)
    return service.spec.type != "ExternalName" and has_address and PROXY_NAME_LABEL not in labels


def families_of(service: Service) -> dict[str, str]:
    """The cluster IP of each family that the Service has."""
    found = {}
    spec = service.spec
    named = spec.ip_families or ()
    for index, text in enumerate(spec.cluster_addresses):
        said = named[index] if index < len(named) else ("IPv6" if ":" in text else "IPv4")
        address = address_of(text, said)
        if address:
            found[said] = address
    return found


def fronts_of(service: Service, slices: Iterable[EndpointSlice], family: str, place: Place) -> Fronts:
    cluster_ip = families_of(service).get(family) if is_served(service) else None
    if cluster_ip is None:
        return {}
    pieces = [piece for piece in slices if piece.address_type == family]
    fronts: Fronts = {}
    for port in service.spec.ports or ():
        if port.protocol in PROTOCOLS and 0 < port.port < 65536:
            choice = choose(pieces, port.name, port.protocol, family, place)
            for key, front in _of_port(service, port, cluster_ip, family, place, choice):
                fronts.setdefault(key, front)
    return fronts


def _of_port(
    service: Service, port: ServicePort, cluster_ip: str, family: str, place: Place, choice: Choice
) -> Iterator[tuple[FrontKey, Front]]:
    spec, metadata = service.spec, service.metadata
    internal, external = spec.internal_traffic_policy == "Local", spec.external_traffic_policy == "Local"
    where = (port.protocol, port.port)
    inside = Front(
        owner=f"{metadata.namespace}/{metadata.name}" + (f":{port.name}" if port.name else ""),
        scope=Scope.CLUSTER,
        cluster=choice.cluster,
        local=choice.local,
        here=choice.here,
        anywhere=choice.anywhere,
        local_policy=internal,
        home=Home(cluster_ip, port.port, internal),
        affinity=affinity_of(service),
    )
    yield FrontKey(cluster_ip, *where), inside
    vips = vips_of(service, family)
    if vips:
        sources = sources_of(service, family, vips, place)
        balancer = replace(inside, scope=Scope.BALANCER, local_policy=external, sources=sources)
        for vip in vips:
            yield FrontKey(vip, *where), balancer
    if spec.external_ips:
        outside = replace(inside, scope=Scope.EXTERNAL, local_policy=external)
        for text in spec.external_ips:
            address = address_of(text, family)
            if address:
                yield FrontKey(address, *where), outside
    if 0 < port.node_port < 65536:
        yield (
            FrontKey("", port.protocol, port.node_port),
            replace(inside, scope=Scope.NODE, local_policy=external),
        )


def affinity_of(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    seconds = service.spec.session_affinity_config.client_ip.timeout_seconds
    return min(seconds, LONGEST_AFFINITY) if seconds and seconds > 0 else AFFINITY_SECONDS


def vips_of(service: Service, family: str) -> tuple[str, ...]:
    """An address whose ipMode is Proxy is terminated elsewhere (KEP-1860)."""
    ingress = service.status.load_balancer.ingress
    if not ingress:
        return ()
    found = (address_of(one.ip, family) for one in ingress if one.ip_mode in (None, "VIP"))
    return tuple(dict.fromkeys(filter(None, found)))


def sources_of(service: Service, family: str, vips: tuple[str, ...], place: Place) -> tuple[str, ...]:
    """Empty: all clients may connect."""
    ranges = [*of_family(service.spec.load_balancer_source_ranges or (), family)]
    if any(network.prefixlen == 0 for network in ranges):
        return ()
    if ranges and any(contains(ranges, address) for address in place.addresses_of(family)):
        # a node that owns the address sends from it
        length = 32 if family == "IPv4" else 128
        ranges += filter(None, (network_of(f"{vip}/{length}") for vip in vips))
    return collapsed(ranges)


def health_port_of(service: Service) -> int:
    spec = service.spec
    local = spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"
    port = spec.health_check_node_port
    return port if local and is_served(service) and 0 < port < 65536 else 0


def local_hosts(service: Service, slices: Iterable[EndpointSlice], place: Place) -> int:
    """Ready endpoints of this node by address, over all ports."""
    return len(hosts_of(slices, {(port.name, port.protocol) for port in service.spec.ports or ()}, place))
