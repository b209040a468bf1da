"""· Which endpoints back a service?

The ready ones of its slices whose address belongs to the pod they name; where none is ready, those that serve
while terminating (KEP-1669).  A pod of two address families is one endpoint, of the family that the service
names first; its other address is a standby.

A tenant may write any number of slices: one turn of the loop checks a bounded number of addresses, the
results are kept until they change, and the slices of one service count up to MOST_LISTED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from bastion.discovery.catalog import Catalog, Key
from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.kube.errors import error_of
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.objects import TCP, EndpointSlice, SliceEndpoint, family_of
from bastion.kube.status import StatusError, quoted
from bastion.kube.target import Target
from bastion.network.addresses import DialPolicy

SLICE_PORTS = 8
# Endpoints, ports and slices of one service.  Several times what a cluster of 5000 nodes needs; slices beyond
# it are ignored.
MOST_LISTED = 40_000
AT_ONCE = 256  # addresses checked for the first time in one turn of the loop: a few milliseconds


class RetryResolution(StatusError):
    """Resolving again may give another result: the router does so."""


class Unfinished(RetryResolution):
    """More addresses to check than one turn of the loop may: resolving again continues from there."""


Backed = tuple[str, Endpoint]  # the pod, and where it is


class PortEndpoints(msgspec.Struct, gc=False):
    """The endpoints of a slice for one port: those that may be dialled, and in `rest` the unchecked ones."""

    number: int
    tls: TLSProfile | None
    rest: Iterator[SliceEndpoint]
    ready: list[Backed]
    ending: list[Backed]
    families: set[str]


class ServiceEndpoints(msgspec.Struct, frozen=True, gc=False):
    """`endpoints`: one of each pod.

    `standby`: one of each pod in the other family, where it has one; empty where no pod has two.
    """

    endpoints: tuple[Endpoint, ...]
    standby: tuple[Endpoint, ...] = ()


class EndpointFinder:
    """`on_truncated` is called with a service that lists more than MOST_LISTED."""

    def __init__(self, catalog: Catalog, policy: DialPolicy, on_truncated: Callable[[Key], None]) -> None:
        self._catalog = catalog
        self._policy = policy
        self._on_truncated = on_truncated

    def find(self, target: Target, port: str, tls: TLSProfile | None, family: str) -> ServiceEndpoints:
        """The endpoints of the service's port of this name; addresses of `family` go first, empty for any.

        Raises Unfinished.
        """
        shares = []
        left = AT_ONCE
        for key, piece in listed_slices(self._catalog, target, self._on_truncated):
            number = port_of(piece, port)
            if number:
                share = self._share(key, piece, number, tls)
                left -= self._look(share, target.namespace, left)
                if left <= 0:
                    raise _unfinished(target)
                shares.append(share)
        ready = [backed for share in shares for backed in share.ready]
        families = set().union(*(share.families for share in shares))
        return by_family(ready or [backed for share in shares for backed in share.ending], families, family)

    def is_truncated(self, target: Target) -> bool:
        """Whether some of its slices are ignored."""
        slices = self._catalog.slices_of(target.namespace, target.name)
        return sum(1 for _ in listed_slices(self._catalog, target, self._on_truncated)) < len(slices)

    def _share(self, key: Key, piece: EndpointSlice, number: int, tls: TLSProfile | None) -> PortEndpoints:
        known = self._catalog.memos.slices.of(*key)
        share = known.get((number, tls))
        if share is None:
            if len(known) >= SLICE_PORTS:
                known.clear()
            share = known[(number, tls)] = PortEndpoints(
                number, tls, iter(piece.endpoints or ()), [], [], set()
            )
        return share

    def _look(self, share: PortEndpoints, namespace: str, most: int) -> int:
        """Checks about `most` addresses, and returns how many."""
        looked = 0
        for endpoint in share.rest:
            if endpoint.ready:
                share.ready += self._dialled(endpoint, namespace, share)
            elif endpoint.serves_while_ending:
                share.ending += self._dialled(endpoint, namespace, share)
            looked += len(endpoint.addresses) or 1
            if looked >= most:
                break
        return looked

    def _dialled(self, endpoint: SliceEndpoint, namespace: str, share: PortEndpoints) -> list[Backed]:
        reference = endpoint.target_ref
        if reference is None or reference.kind != "Pod":
            return []
        if reference.namespace and reference.namespace != namespace:
            return []  # CVE-2021-25740
        pod = self._catalog.pods.get((namespace, reference.name))
        if pod is None:
            return []
        found = [
            (reference.name, Endpoint(address, share.number, share.tls))
            for address in endpoint.addresses
            if self._catalog.owns(pod, address) and self._may_dial(address, share.number)
        ]
        share.families.update(family_of(to.address) for _, to in found)
        return found

    def _may_dial(self, address: str, port: int) -> bool:
        return self._policy.permits(address, port) and not self._policy.reaches_kubelet(address, port)


def listed_slices(
    catalog: Catalog, target: Target, on_truncated: Callable[[Key], None]
) -> Iterator[tuple[Key, EndpointSlice]]:
    room = MOST_LISTED
    for key, piece in catalog.slices_of(target.namespace, target.name).items():
        room -= 1 + len(piece.endpoints or ()) + len(piece.ports or ())
        if room < 0:
            on_truncated((target.namespace, target.name))
            return
        yield key, piece


def port_of(piece: EndpointSlice, name: str) -> int | None:
    return next(
        (p.port for p in piece.ports or () if (p.name or "") == name and (p.protocol or TCP) == TCP), None
    )


def by_family(found: Sequence[Backed], families: set[str], family: str) -> ServiceEndpoints:
    """One endpoint for each pod: of this family where the pod has one; without a family, of the lower one.

    `families` are those found.
    """
    if len(families) < 2:
        # pods of the host network may share an address
        return ServiceEndpoints(tuple(dict.fromkeys(endpoint for _, endpoint in found)))
    family = family or min(families)
    first = [backed for backed in found if family_of(backed[1].address) == family]
    other = [backed for backed in found if family_of(backed[1].address) != family]
    endpoints, standby = _before(first, other), _before(other, first)
    return ServiceEndpoints(endpoints, standby if set(endpoints) != set(standby) else ())


def _before(first: Sequence[Backed], other: Sequence[Backed]) -> tuple[Endpoint, ...]:
    """`first`, then those of `other` whose pod is not among them."""
    pods = {pod for pod, _ in first}
    return tuple(dict.fromkeys((*(e for _, e in first), *(e for pod, e in other if pod not in pods))))


def _unfinished(target: Target) -> Unfinished:
    message = f"the endpoints of service {quoted(target.name)} are still being read; try again shortly"
    return error_of(API_SERVER_AWAY, message, retry_after=1).of(Unfinished)
