"""· What does a Service of type LoadBalancer ask for?  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from bastion.kube.annotation import read
from bastion.kube.annotations import LoadBalancerWish
from bastion.kube.metadata import Struct
from bastion.node.addresses import FAMILIES, address_of

TYPE = "LoadBalancer"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
VIP = "VIP"
REQUIRED = "RequireDualStack"

Key = tuple[str, str]  # (namespace, name)


class Metadata(Struct, frozen=True):
    """All of its annotations and labels."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class Port(Struct, frozen=True):
    port: int = 0
    protocol: str = "TCP"


class Spec(Struct, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_class: str | None = None
    external_traffic_policy: str | None = None
    ports: tuple[Port, ...] | None = None
    selector: dict[str, str] | None = None


class Ingress(Struct, frozen=True):
    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None


class BalancerStatus(Struct, frozen=True):
    ingress: tuple[Ingress, ...] | None = None


class Status(Struct, frozen=True):
    load_balancer: BalancerStatus = BalancerStatus()


class Service(Struct, frozen=True):
    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    @property
    def key(self) -> Key:
        return (self.metadata.namespace, self.metadata.name)

    @property
    def ingress(self) -> tuple[Ingress, ...]:
        return self.status.load_balancer.ingress or ()

    @property
    def has_finalizer(self) -> bool:
        return FINALIZER in (self.metadata.finalizers or ())

    @property
    def families(self) -> tuple[str, ...]:
        if self.spec.ip_families:
            return self.spec.ip_families
        addresses = self.spec.cluster_ips or ((self.spec.cluster_ip,) if self.spec.cluster_ip else ())
        found = ("IPv6" if ":" in address else "IPv4" for address in addresses if address != "None")
        return tuple(dict.fromkeys(found)) or ("IPv4",)


class Classes(msgspec.Struct, frozen=True):
    """Which Services are ours: those of the class `name`, and those without one where `classless`."""

    name: str
    classless: bool = True

    def takes(self, given: str | None) -> bool:
        """A loadBalancerClass."""
        return self.classless if not given else given == self.name

    def has(self, service: Service) -> bool:
        return self.takes(service.spec.load_balancer_class)


class Wish(msgspec.Struct, frozen=True):
    """`addresses` are those asked for, by family; `pool` empty: any.  `required`: of each family one, or
    none.

    `sharing`: Services of one namespace with the same key share an address where `ports` do not collide and
    `backend` is the same.  `has`: what its status says; `held`: our finalizer says that it may be in use.
    `mistake`: it asks for what nobody can give.
    """

    key: Key
    families: tuple[str, ...]
    addresses: Mapping[str, str] = {}
    pool: str = ""
    required: bool = False
    sharing: str = ""
    ports: frozenset[tuple[str, int]] = frozenset()
    backend: tuple[tuple[str, str], ...] = ()
    has: tuple[str, ...] = ()
    held: bool = False
    created: str = ""
    labels: Mapping[str, str] = {}
    mistake: str = ""


def is_wanted(service: Service, classes: Classes) -> bool:
    """Whether it is to have an address of ours."""
    return service.spec.type == TYPE and classes.has(service) and service.metadata.deletion_timestamp is None


def wish_of(service: Service) -> Wish:
    """Of one that is wanted."""
    said = read(LoadBalancerWish, service.metadata.annotations)
    spec = service.spec
    mistake, addresses = _addresses(service, said)
    local = spec.external_traffic_policy == "Local"
    return Wish(
        key=service.key,
        families=service.families,
        addresses=addresses,
        pool=said.pool or said.metallb_pool or said.metallb_universe_pool,
        required=spec.ip_family_policy == REQUIRED,
        sharing=said.sharing,
        ports=frozenset((port.protocol, port.port) for port in spec.ports or ()),
        # with the policy Local the node of an address must have the endpoints of all that share it
        backend=tuple(sorted((spec.selector or {}).items())) if local else (),
        has=tuple(filter(None, (_address(one.ip) for one in service.ingress))),
        held=service.has_finalizer,
        created=service.metadata.creation_timestamp or "",
        labels=service.metadata.labels or {},
        mistake=mistake,
    )


def _addresses(service: Service, said: LoadBalancerWish) -> tuple[str, dict[str, str]]:
    """(what is wrong, the addresses asked for by family)."""
    found: list[dict[str, str]] = []
    for text in (service.spec.load_balancer_ip, *said.addresses):
        if text:
            one = dict(_each(text))
            if "" in one:
                return f"{one['']!r} is no IP address", {}
            found.append(one)
    if any(one != found[0] for one in found[1:]):
        return "spec.loadBalancerIP and its annotations ask for different addresses", {}
    asked = found[0] if found else {}
    for family, address in asked.items():
        if family not in service.families:
            return f"{address} is asked for, and the Service has no {family}", {}
    return "", asked


def _each(text: str) -> Iterator[tuple[str, str]]:
    """(family, address); the family is empty where it is none."""
    for part in text.split(","):
        address = _address(part.strip())
        yield ("IPv6" if ":" in address else "IPv4", address) if address else ("", part.strip())


def _address(text: str) -> str:
    """Empty where it is none."""
    return next(filter(None, (address_of(text, family) for family in FAMILIES)), "")


def ingress_of(addresses: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"ip": address, "ipMode": VIP} for address in addresses]


def says(service: Service, addresses: tuple[str, ...]) -> bool:
    """Whether its status says just these; clusters before 1.29 do not keep `ipMode`."""
    return [(one.ip, one.hostname, one.ip_mode or VIP) for one in service.ingress] == [
        (address, "", VIP) for address in addresses
    ]
