"""· From which addresses may a Service get one?  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple

import msgspec

from bastion.node.addresses import IPV4, IPV6

BUGGY = (0, 255)  # last bytes of IPv4 addresses that old devices take for a network's own


class Range(NamedTuple):
    """All from `first` to `last`, as numbers."""

    family: str
    first: int
    last: int

    def __contains__(self, address: object) -> bool:
        family, number = number_of(str(address))
        return family == self.family and self.first <= number <= self.last


class Pool(msgspec.Struct, frozen=True):
    """`auto`: also for Services that ask for no pool and no address.  `namespaces` and `labels` (of the
    Service) limit who may have one, where they are not empty.  Of several pools that of the highest
    priority is used first.
    """

    name: str
    ranges: tuple[Range, ...]
    auto: bool = True
    avoid_buggy: bool = False
    namespaces: frozenset[str] = frozenset()
    labels: Mapping[str, str] = {}
    priority: int = 0

    def allows(self, namespace: str, labels: Mapping[str, str]) -> bool:
        if self.namespaces and namespace not in self.namespaces:
            return False
        return all(labels.get(key) == value for key, value in self.labels.items())

    def __contains__(self, address: object) -> bool:
        return any(address in one for one in self.ranges)


def number_of(address: str) -> tuple[str, int]:
    """(family, number).  Raises ValueError."""
    found = ip_address(address)
    return (IPV4 if found.version == 4 else IPV6, int(found))


def range_of(text: str) -> Range:
    """A CIDR, `FIRST-LAST` or one address.  Raises ValueError."""
    first, dash, last = text.partition("-")
    if dash:
        (family, low), (other, high) = number_of(first.strip()), number_of(last.strip())
        if family != other or low > high:
            raise ValueError(f"{text} is not a range of addresses")
        return Range(family, low, high)
    network = ip_network(text)
    family = IPV4 if network.version == 4 else IPV6
    return Range(family, int(network.network_address), int(network.broadcast_address))


def candidates(pool: Pool, family: str, start: Mapping[Range, int]) -> Iterator[int]:
    """In order; below `start` none of a range is free."""
    for one in pool.ranges:
        if one.family != family:
            continue
        for number in range(start.get(one, one.first), one.last + 1):
            if pool.avoid_buggy and family == IPV4 and number & 255 in BUGGY:
                continue
            yield number


def overlaps(pools: tuple[Pool, ...]) -> Iterator[tuple[str, str]]:
    """Names of pools that have an address in common."""
    known: list[tuple[Range, str]] = []
    for pool in pools:
        for one in pool.ranges:
            for other, name in known:
                if one.family == other.family and one.first <= other.last and other.first <= one.last:
                    yield name, pool.name
            known.append((one, pool.name))
