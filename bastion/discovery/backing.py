"""· Which endpoints back a service?

Those of its slices that are ready, and whose address is that of the pod they name.

Where none is ready, those that serve while they end (KEP-1669).  A pod of two address families is one
endpoint, of the family that the service names first; its other address stands by.

A tenant may write any number of slices: a little is looked at in one turn of the loop, what was looked at is
remembered until it changes, and of one service no more than so much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from bastion.discovery.catalog import Catalog, Key
from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.kube.objects import TCP, EndpointSlice, SliceEndpoint, family_of
from bastion.kube.status import StatusError, quoted, service_unavailable
from bastion.kube.target import Target
from bastion.network.addresses import DialPolicy

SLICE_PORTS = 8
# What one service lists in its slices: endpoints, ports and the slices themselves.  Several times what a
# cluster of 5000 nodes needs; slices beyond it are not looked at.
MOST_LISTED = 40_000
AT_ONCE = 256  # addresses looked at for the first time in one turn of the loop: a few milliseconds


class Unsettled(StatusError):
    """Not the last word: the router looks again."""


class Unfinished(Unsettled):
    """There is more to look at than fits a turn of the loop: resolved again, it goes on where it stopped."""

    def __init__(self, target: Target) -> None:
        plain = service_unavailable(
            f"the endpoints of service {quoted(target.name)} are still being read; try again shortly",
            retry_after=1,
        )
        super().__init__(plain.code, plain.reason, plain.message, plain.details, headers=plain.headers)


Backed = tuple[str, Endpoint]  # the pod, and where it is


class Share(msgspec.Struct, gc=False):
    """Of a slice, for a port: its endpoints that may be dialled, and those that nobody has looked at yet."""

    number: int
    tls: TLSProfile | None
    rest: Iterator[SliceEndpoint]
    ready: list[Backed]
    ending: list[Backed]
    families: set[str]


class Backers(msgspec.Struct, frozen=True, gc=False):
    """`endpoints`: one of each pod.

    `standby`: one of each pod in the other family, where it has one; empty where no pod has two.
    """

    endpoints: tuple[Endpoint, ...]
    standby: tuple[Endpoint, ...] = ()


class Backing:
    """`beyond` is told of a service that lists more than is looked at."""

    def __init__(self, catalog: Catalog, policy: DialPolicy, beyond: Callable[[Key], None]) -> None:
        self._catalog = catalog
        self._policy = policy
        self._beyond = beyond

    def of(self, target: Target, port: str, tls: TLSProfile | None, family: str) -> Backers:
        """Of the service's port of this name; `family` goes first, empty where that is open.

        Raises Unfinished.
        """
        shares = []
        left = AT_ONCE
        for key, piece in self._listed(target):
            number = next(
                (p.port for p in piece.ports or () if (p.name or "") == port and (p.protocol or TCP) == TCP),
                None,
            )
            if number:
                share = self._share(key, piece, number, tls)
                left -= self._look(share, target.namespace, left)
                if left <= 0:
                    raise Unfinished(target)
                shares.append(share)
        ready = [backed for share in shares for backed in share.ready]
        families = set().union(*(share.families for share in shares))
        return by_family(ready or [backed for share in shares for backed in share.ending], families, family)

    def _listed(self, target: Target) -> Iterator[tuple[Key, EndpointSlice]]:
        room = MOST_LISTED
        for key, piece in self._catalog.slices_of(target.namespace, target.name).items():
            room -= 1 + len(piece.endpoints or ()) + len(piece.ports or ())
            if room < 0:
                self._beyond((target.namespace, target.name))
                return
            yield key, piece

    def _share(self, key: Key, piece: EndpointSlice, number: int, tls: TLSProfile | None) -> Share:
        known = self._catalog.memos.slices.of(*key)
        share = known.get((number, tls))
        if share is None:
            if len(known) >= SLICE_PORTS:
                known.clear()
            share = known[(number, tls)] = Share(number, tls, iter(piece.endpoints or ()), [], [], set())
        return share

    def _look(self, share: Share, namespace: str, most: int) -> int:
        """How many addresses were looked at: about `most`, or all that the share had left."""
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

    def _dialled(self, endpoint: SliceEndpoint, namespace: str, share: Share) -> list[Backed]:
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

    def why_none(self, target: Target) -> str:
        pieces = self._catalog.slices_of(target.namespace, target.name)
        listed = list(self._listed(target))
        if len(listed) < len(pieces):
            return no_endpoints(
                target.id,
                f"none is ready among the first {MOST_LISTED} that its slices list, and no more are"
                " looked at",
            ).message
        return no_endpoints(target.id if any(piece.endpoints for _, piece in listed) else target.name).message


def by_family(found: Sequence[Backed], families: set[str], family: str) -> Backers:
    """Each pod in this family where it has an address of it (it has one of each at most); without a family,
    in the lower one.

    `families` are those that were found.
    """
    if len(families) < 2:
        # pods of the host network may share one
        return Backers(tuple(dict.fromkeys(endpoint for _, endpoint in found)))
    family = family or min(families)
    first = [backed for backed in found if family_of(backed[1].address) == family]
    other = [backed for backed in found if family_of(backed[1].address) != family]
    endpoints, standby = _before(first, other), _before(other, first)
    return Backers(endpoints, standby if set(endpoints) != set(standby) else ())


def _before(first: Sequence[Backed], other: Sequence[Backed]) -> tuple[Endpoint, ...]:
    """The first ones, and of the others those whose pod is not among these."""
    pods = {pod for pod, _ in first}
    return tuple(dict.fromkeys((*(e for _, e in first), *(e for pod, e in other if pod not in pods))))


def no_endpoints(name: str, why: str = "") -> StatusError:
    return service_unavailable(
        f"no endpoints available for service {quoted(name)}" + (f": {why}" if why else "")
    )
