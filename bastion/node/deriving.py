"""· From settings and the Node to the rules of one family, and to the addresses that take NodePorts."""

from __future__ import annotations

from collections.abc import Iterable

from bastion.node.addresses import ANY, IPV4, IPV6, LOOPBACK, address_of, collapsed, contains, of_family
from bastion.node.config.settings import PRIMARY, Settings
from bastion.node.model import Model
from bastion.node.objects import Node
from bastion.node.rules import Detection, Rules

LENGTH = {IPV4: 32, IPV6: 128}
WILDCARD = {IPV4: "0.0.0.0", IPV6: "::"}  # noqa: S104


def own_addresses(settings: Settings, node: Node | None) -> tuple[str, ...]:
    """One of each family at most: the bind address where it is given, else the Node's; without a Node
    loopback.
    """
    given = settings.bind_address
    told = node.internal_addresses if node is not None else ()
    found = []
    for family in (IPV4, IPV6):
        bound = address_of(given, family)
        of_node = next(filter(None, (address_of(text, family) for text in told)), "")
        address = bound if bound and bound != WILDCARD[family] else of_node
        if address:
            found.append(address)
    return tuple(found) or (("::1",) if settings.primary_family == IPV6 else ("127.0.0.1",))


def pod_cidrs(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    return node.spec.pod_cidrs or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


def rules_of(settings: Settings, model: Model, family: str) -> Rules:
    node_ports = node_port_ranges(settings, model.place.addresses, family)
    return Rules(
        family,
        _detection(settings, model, family),
        masquerade_bit=settings.masquerade_bit,
        masquerade_all=settings.masquerade_all,
        node_ports=node_ports,
        service_cidrs=model.cidrs(family),
        localhost_node_ports=family == IPV4 and loopback_takes_node_ports(settings),
        liberal=settings.conntrack.liberal,
    )


def loopback_takes_node_ports(settings: Settings) -> bool:
    """In iptables mode, IPv4: unless it is switched off, or nodePortAddresses leave loopback out."""
    texts = settings.node_port_addresses
    return settings.localhost_node_ports and (not texts or contains(of_family(texts, IPV4), "127.0.0.1"))


def _detection(settings: Settings, model: Model, family: str) -> Detection:
    if settings.local_mode == "BridgeInterface":
        return Detection(interface=settings.bridge)
    if settings.local_mode == "InterfaceNamePrefix":
        return Detection(prefix=settings.prefix)
    texts = settings.cluster_cidrs if settings.local_mode == "ClusterCIDR" else pod_cidrs(model.node)
    return Detection(collapsed(of_family(texts, family)))


def node_port_ranges(settings: Settings, own: Iterable[str], family: str) -> tuple[str, ...]:
    """Empty for every local address.  A family without a range of its own gets them all."""
    texts = settings.node_port_addresses
    if texts == (PRIMARY,):
        found = [f"{address}/{LENGTH[family]}" for address in own if address_of(address, family)]
        return tuple(found) or (LOOPBACK[family],)  # no address of this family: NodePorts have none
    ranges = collapsed(of_family(texts, family))
    return () if ANY[family] in ranges else ranges


def listening_addresses(ranges: tuple[str, ...], local: Iterable[str], family: str) -> list[str]:
    """Where a healthCheckNodePort listens: on what takes NodePorts."""
    if not ranges:
        return [WILDCARD[family]]
    networks = [*of_family(ranges, family)]
    return [a for a in local if address_of(a, family) and contains(networks, a)]
