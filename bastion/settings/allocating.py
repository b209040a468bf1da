"""· Options of what gives Services of type LoadBalancer their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.kube.values import quoted
from bastion.settings.kinds import BOOLEAN, LISTEN, PATH, TEXT, Kind, named, several
from bastion.settings.mistakes import Mistakes
from bastion.settings.observing import log_format, verbosity
from bastion.settings.option import option, section

CLASS = "bastion.dev/lb"


@dataclass(frozen=True, slots=True)
class PoolText:
    """`name` empty: it has none; `ranges` are not checked for what they hold."""

    name: str
    ranges: tuple[str, ...]


def pool(text: str) -> PoolText:
    """`[NAME=]RANGE,RANGE`."""
    name, found, rest = text.rpartition("=")
    if found and not name:
        raise ValueError(f"{quoted(text)}: the name of the pool is missing")
    ranges = tuple(part.strip() for part in rest.split(",") if part.strip())
    if not ranges:
        raise ValueError(f"{quoted(text)} has no range such as 192.0.2.0/28")
    return PoolText(name, ranges)


def show_pool(value: PoolText) -> str:
    return f"{value.name}={','.join(value.ranges)}" if value.name else ",".join(value.ranges)


POOL = Kind("[NAME=]RANGE,…", pool, show=show_pool)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the controller and the node have both."""

    pools: tuple[PoolText, ...] = option(
        "pool",
        several(POOL, commas=False),
        (),
        "addresses to give: 192.0.2.0/28, 192.0.2.5-192.0.2.9, 2001:db8::/120",
    )
    pools_file: Path | None = option(
        "pools-file", PATH, None, "pools with who may use them, as YAML; see the guide"
    )
    balancer_class: str = option("class", named("NAME", TEXT), CLASS, "the loadBalancerClass of our Services")
    classless: bool = option("classless", BOOLEAN, True, "Services without a loadBalancerClass are ours, too")
    lease_namespace: str = option(
        "lease-namespace", named("NAME", TEXT), "kube-system", "where the Leases are"
    )


@dataclass(frozen=True, slots=True)
class Allocating(Shared):
    kubeconfig: Path | None = option(
        "kubeconfig", PATH, None, "the cluster; without it KUBECONFIG, ~/.kube/config, or the pod's own"
    )
    lease: str = option(
        "lease", named("NAME", TEXT), "bastion-lb-controller", "the Lease by which one of the replicas works"
    )
    metrics_bind_address: tuple[str, int] | None = option(
        "metrics-bind-address",
        LISTEN,
        None,
        "/metrics, /readyz and /livez in plain HTTP; on loopback where no address is given",
    )
    log_format: str = log_format()
    verbosity: int = verbosity()


@dataclass(frozen=True, slots=True)
class AllocatingOptions:
    allocating: Allocating = section(Allocating, "flags")


@dataclass(frozen=True, slots=True)
class Announcing(Shared):
    """`bastion node`'s part: what it announces on the link, and whether it gives addresses, too."""

    load_balancer: bool = option(
        "load-balancer",
        BOOLEAN,
        False,
        "announce the addresses of Services of type LoadBalancer, and with a pool give them, too",
    )
    announce: bool = option(
        "announce", BOOLEAN, False, "announce the addresses that a controller elsewhere has given"
    )
    announce_lease: str = option(
        "announce-lease",
        named("PREFIX", TEXT),
        "bastion-node",
        "what the names of the nodes' Leases begin with; PREFIX-NODE, renewed each second",
    )
    announce_interfaces: tuple[str, ...] = option(
        "announce-interface",
        several(named("NAME", TEXT), commas=False),
        (),
        "where to announce; without it each interface whose network an address is of",
    )


@dataclass(frozen=True, slots=True)
class AnnouncingOptions:
    announcing: Announcing = section(Announcing, "load balancing")


def check(options: Allocating, mistakes: Mistakes) -> None:
    """What the values contradict."""
    if not options.pools and options.pools_file is None:
        mistakes.add("{0}: is required, or {1}", "allocating.pools", "allocating.pools_file")
