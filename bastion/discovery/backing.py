"""· Which endpoints back a service?

The ready ones of its slices whose address belongs to the pod they name; where none is ready, those that serve
while terminating (KEP-1669).  A service that publishes addresses that are not ready has those as well.  Of
these the ones near here, where the slices or the service say that it matters (KEP-2433, KEP-4444), and there
is one.  A pod of two address families is one endpoint, of the family that the service names first; its other
address is a standby.

A tenant may write any number of slices: one turn of the loop checks a bounded number of addresses, the
results are kept until they change, and the slices of one service count up to MOST_LISTED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

import msgspec

from bastion.discovery.catalog import Catalog, Key
from bastion.discovery.ports import Spoken
from bastion.kube.endpoint import Endpoint
from bastion.kube.errors import error_of
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.objects import TCP, EndpointSlice, ServiceSpec, SliceEndpoint, family_of
from bastion.kube.status import StatusError, quoted
from bastion.kube.target import Target
from bastion.network.addresses import DialPolicy

PREFER_NEAR = ("PreferClose", "PreferSameZone")  # KEP-4444, KEP-3015
SLICE_PORTS = 8
# Endpoints, ports and slices of one service.  Several times what a cluster of 5000 nodes needs; slices beyond
# it are ignored.
MOST_LISTED = 20_000
AT_ONCE = 256  # addresses checked for the first time in one turn of the loop: a few milliseconds


class RetryResolution(StatusError):
    """Resolving again may give another result: the router does so."""


class Unfinished(RetryResolution):
    """More addresses to check than one turn of the loop may: resolving again continues from there."""


class State(IntEnum):
    READY = 0
    UNREADY = 1
    ENDING = 2  # terminating, and serving
    ENDED = 3  # terminating, and no longer serving


class Backed(NamedTuple):
    """An endpoint of a service's port.

    `meant`: its hints name the zone here; None: it has no hints.  `near`: it is in the zone here.
    """

    pod: str
    endpoint: Endpoint
    state: State
    meant: bool | None
    near: bool


class Wish(msgspec.Struct, frozen=True, gc=False):
    """What a service says of its endpoints.  `family`: whose addresses go first, empty for any;
    `unready`: those that are not ready count; `near`: those in the zone here are preferred.
    """

    family: str = ""
    unready: bool = False
    near: bool = False


def wish_of(spec: ServiceSpec) -> Wish:
    near = spec.traffic_distribution in PREFER_NEAR
    return Wish(spec.first_family, spec.publish_not_ready_addresses, near)


class PortEndpoints(msgspec.Struct, gc=False):
    """The endpoints of a slice for one port that may be dialled, and in `rest` the unchecked ones."""

    number: int
    spoken: Spoken
    rest: Iterator[SliceEndpoint]
    found: list[Backed]


class ServiceEndpoints(msgspec.Struct, frozen=True, gc=False):
    """`endpoints`: one of each pod.

    `standby`: one of each pod in the other family, where it has one; empty where no pod has two.
    """

    endpoints: tuple[Endpoint, ...]
    standby: tuple[Endpoint, ...] = ()


class EndpointFinder:
    """`on_truncated` is called with a service that lists more than MOST_LISTED; `zone` is the one that this
    program runs in, empty where that is not known.
    """

    def __init__(
        self, catalog: Catalog, policy: DialPolicy, on_truncated: Callable[[Key], None], zone: str = ""
    ) -> None:
        self._zone = zone
        self._catalog = catalog
        self._policy = policy
        self._on_truncated = on_truncated

    def find(self, target: Target, port: str, spoken: Spoken, wish: Wish) -> ServiceEndpoints:
        """The endpoints that requests to the service's port of this name go to.  Raises Unfinished."""
        found = candidates(self._backed(target, port, spoken), wish, zone_known=bool(self._zone))
        return by_family(found, {family_of(backed.endpoint.address) for backed in found}, wish.family)

    def of_pod(self, target: Target, port: str, spoken: Spoken, wish: Wish, pod: str) -> ServiceEndpoints:
        """The one of this pod, whatever its state; empty where it is none of the service's.

        Raises Unfinished.
        """
        found = [backed for backed in self._backed(target, port, spoken) if backed.pod == pod]
        return by_family(found, {family_of(backed.endpoint.address) for backed in found}, wish.family)

    def _backed(self, target: Target, port: str, spoken: Spoken) -> list[Backed]:
        """Raises Unfinished."""
        shares = []
        left = AT_ONCE
        for key, piece in listed_slices(self._catalog, target, self._on_truncated):
            number = port_of(piece, port)
            if number:
                share = self._share(key, piece, number, spoken)
                left -= self._look(share, target.namespace, left)
                if left <= 0:
                    raise _unfinished(target)
                shares.append(share)
        return [backed for share in shares for backed in share.found]

    def is_truncated(self, target: Target) -> bool:
        """Whether some of its slices are ignored."""
        slices = self._catalog.slices_of(target.namespace, target.name)
        return sum(1 for _ in listed_slices(self._catalog, target, self._on_truncated)) < len(slices)

    def _share(self, key: Key, piece: EndpointSlice, number: int, spoken: Spoken) -> PortEndpoints:
        known = self._catalog.memos.slices.of(*key)
        share = known.get((number, spoken))
        if share is None:
            if len(known) >= SLICE_PORTS:
                known.clear()
            share = known[(number, spoken)] = PortEndpoints(number, spoken, iter(piece.endpoints or ()), [])
        return share

    def _look(self, share: PortEndpoints, namespace: str, most: int) -> int:
        """Checks about `most` addresses, and returns how many."""
        looked = 0
        for endpoint in share.rest:
            share.found += self._dialled(endpoint, namespace, share)
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
        state, (meant, near) = state_of(endpoint), self._place(endpoint)
        return [
            Backed(reference.name, Endpoint(address, share.number, *share.spoken), state, meant, near)
            for address in endpoint.addresses
            if self._catalog.owns(pod, address) and self._may_dial(address, share.number)
        ]

    def _place(self, endpoint: SliceEndpoint) -> tuple[bool | None, bool]:
        zones = endpoint.hints.for_zones if endpoint.hints is not None else None
        meant = any(hint.name == self._zone for hint in zones) if zones else None
        return meant, bool(self._zone) and endpoint.zone == self._zone

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


def state_of(endpoint: SliceEndpoint) -> State:
    if endpoint.conditions.terminating is True and not endpoint.ready:
        return State.ENDING if endpoint.serves_while_ending else State.ENDED
    return State.READY if endpoint.ready else State.UNREADY


def candidates(found: Sequence[Backed], wish: Wish, *, zone_known: bool) -> Sequence[Backed]:
    """Those that requests go to."""
    ready = [backed for backed in found if backed.state is State.READY]
    if wish.unready:
        most = State.UNREADY if ready else State.ENDED
        some: Sequence[Backed] = [backed for backed in found if backed.state <= most]
    else:
        some = ready or [backed for backed in found if backed.state is State.ENDING]
    if not zone_known or not (wish.near or all(backed.meant is not None for backed in some)):
        return some
    near = [backed for backed in some if (backed.near if backed.meant is None else backed.meant)]
    return near or some


def by_family(found: Sequence[Backed], families: set[str], family: str) -> ServiceEndpoints:
    """One endpoint for each pod: of this family where the pod has one; without a family, of the lower one.

    `families` are those found.
    """
    if len(families) < 2:
        # pods of the host network may share an address
        return ServiceEndpoints(tuple(dict.fromkeys(backed.endpoint for backed in found)))
    family = family or min(families)
    first = [backed for backed in found if family_of(backed.endpoint.address) == family]
    other = [backed for backed in found if family_of(backed.endpoint.address) != family]
    endpoints, standby = _before(first, other), _before(other, first)
    return ServiceEndpoints(endpoints, standby if set(endpoints) != set(standby) else ())


def _before(first: Sequence[Backed], other: Sequence[Backed]) -> tuple[Endpoint, ...]:
    """`first`, then those of `other` whose pod is not among them."""
    pods = {backed.pod for backed in first}
    behind = (backed for backed in other if backed.pod not in pods)
    return tuple(dict.fromkeys(backed.endpoint for backed in (*first, *behind)))


def _unfinished(target: Target) -> Unfinished:
    message = f"the endpoints of service {quoted(target.name)} are still being read; try again shortly"
    return error_of(API_SERVER_AWAY, message, retry_after=1).of(Unfinished)
