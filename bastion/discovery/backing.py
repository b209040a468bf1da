"""Which endpoints back a service?  Those of its slices that are ready, and whose address is that of the pod they name.

A tenant may write any number of slices: a little is looked at in one turn of the loop, what was looked at is
remembered until it changes, and of one service no more than so much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from bastion.discovery.catalog import Catalog, Key
from bastion.kube.endpoint import Endpoint
from bastion.kube.objects import EndpointSlice, SliceEndpoint
from bastion.kube.status import StatusError, quoted, service_unavailable
from bastion.kube.target import Target
from bastion.network.addresses import DialPolicy

SLICE_PORTS = 8
# What one service lists in its slices: endpoints, ports and the slices themselves.  Several times what a cluster of 5000
# nodes needs; slices beyond it are not looked at.
MOST_LISTED = 40_000
AT_ONCE = 256  # addresses looked at for the first time in one turn of the loop: a few milliseconds


class Unsettled(StatusError):
    """Not the last word: the router's `settle` finds out."""


class Unfinished(Unsettled):
    """There is more to look at than fits a turn of the loop: resolved again, it goes on where it stopped."""

    def __init__(self, target: Target) -> None:
        plain = service_unavailable(
            f"the endpoints of service {quoted(target.name)} are still being read; try again shortly", retry_after=1
        )
        super().__init__(plain.code, plain.reason, plain.message, plain.details, headers=plain.headers)


class Share(msgspec.Struct, gc=False):
    """Of a slice, for a port: its endpoints that may be dialled, and those that nobody has looked at yet."""

    number: int
    tls: bool
    rest: Iterator[SliceEndpoint]
    ready: list[Endpoint]


class Backing:
    """`beyond` is told of a service that lists more than is looked at."""

    def __init__(self, catalog: Catalog, policy: DialPolicy, beyond: Callable[[Key], None]) -> None:
        self._catalog = catalog
        self._policy = policy
        self._beyond = beyond

    def ready(self, target: Target, port: str, tls: bool) -> tuple[Endpoint, ...]:
        """Of the service's port of this name.  Raises Unfinished."""
        shares = []
        left = AT_ONCE
        for key, piece in self._listed(target):
            number = next((p.port for p in piece.ports or () if (p.name or "") == port), None)
            if number:
                share = self._share(key, piece, number, tls)
                left -= self._look(share, target.namespace, left)
                if left <= 0:
                    raise Unfinished(target)
                shares.append(share.ready)
        return tuple(dict.fromkeys(endpoint for share in shares for endpoint in share))

    def _listed(self, target: Target) -> Iterator[tuple[Key, EndpointSlice]]:
        room = MOST_LISTED
        for key, piece in self._catalog.slices_of(target.namespace, target.name).items():
            room -= 1 + len(piece.endpoints or ()) + len(piece.ports or ())
            if room < 0:
                self._beyond((target.namespace, target.name))
                return
            yield key, piece

    def _share(self, key: Key, piece: EndpointSlice, number: int, tls: bool) -> Share:
        known = self._catalog.slice_memo.of(*key)
        share = known.get((number, tls))
        if share is None:
            if len(known) >= SLICE_PORTS:
                known.clear()
            share = known[(number, tls)] = Share(number, tls, iter(piece.endpoints or ()), [])
        return share

    def _look(self, share: Share, namespace: str, most: int) -> int:
        """How many addresses were looked at: about `most`, or all that the share had left."""
        looked = 0
        for endpoint in share.rest:
            share.ready += self._dialled(endpoint, namespace, share)
            looked += len(endpoint.addresses) or 1
            if looked >= most:
                break
        return looked

    def _dialled(self, endpoint: SliceEndpoint, namespace: str, share: Share) -> list[Endpoint]:
        reference = endpoint.target_ref
        if not endpoint.ready or reference is None or reference.kind != "Pod":
            return []
        if reference.namespace and reference.namespace != namespace:
            return []  # CVE-2021-25740
        pod = self._catalog.pods.get((namespace, reference.name))
        if pod is None:
            return []
        return [
            Endpoint(address, share.number, share.tls)
            for address in endpoint.addresses
            if self._catalog.owns(pod, address) and self._may_dial(address, share.number)
        ]

    def _may_dial(self, address: str, port: int) -> bool:
        return self._policy.permits(address, port) and not self._policy.reaches_kubelet(address, port)

    def why_none(self, target: Target) -> str:
        pieces = self._catalog.slices_of(target.namespace, target.name)
        listed = list(self._listed(target))
        if len(listed) < len(pieces):
            return no_endpoints(
                target.id, f"none is ready among the first {MOST_LISTED} that its slices list, and no more are looked at"
            ).message
        return no_endpoints(target.id if any(piece.endpoints for _, piece in listed) else target.name).message


def no_endpoints(name: str, why: str = "") -> StatusError:
    return service_unavailable(f"no endpoints available for service {quoted(name)}" + (f": {why}" if why else ""))
