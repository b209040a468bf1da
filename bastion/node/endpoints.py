"""· Which endpoints of a Service's port are used on this node?

Ready ones first, narrowed by topology hints (KEP-2433, KEP-3015); where none is ready those that still
serve while they terminate (KEP-1669); the policies Cluster and Local fall back independently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bastion.kube.objects import TCP
from bastion.node.addresses import address_of
from bastion.node.objects import EndpointSlice, SliceEndpoint

Backend = tuple[str, int]  # (address, port)


class Place(msgspec.Struct, frozen=True):
    """This node, as far as choices depend on it; `zone` is empty where it is in none."""

    node: str
    zone: str = ""
    addresses: tuple[str, ...] = ()

    def addresses_of(self, family: str) -> Iterator[str]:
        return filter(None, (address_of(address, family) for address in self.addresses))


class Choice(msgspec.Struct, frozen=True, gc=False):
    """See `Front`."""

    cluster: tuple[Backend, ...] = ()
    local: tuple[Backend, ...] = ()
    here: tuple[Backend, ...] = ()
    anywhere: bool = False


_NONE = Choice()


def choose(slices: Iterable[EndpointSlice], port: str, protocol: str, family: str, place: Place) -> Choice:
    found = _listed(slices, port, protocol, family)
    if not found:
        return _NONE
    node = place.node
    ready = {backend: endpoint for backend, endpoint in found.items() if endpoint.ready}
    ending: dict[Backend, SliceEndpoint] = {}
    if len(ready) < len(found):
        ending = {backend: e for backend, e in found.items() if not e.ready and e.serves_while_ending}
    cluster = _hinted(ready, place) if ready else tuple(sorted(ending))
    local = tuple(sorted([b for b, e in ready.items() if e.node_name == node]))
    if not local and ending:
        local = tuple(sorted([b for b, e in ending.items() if e.node_name == node]))
    here = local
    if local != cluster:
        here = tuple(sorted([b for b in {*cluster, *local} if found[b].node_name == node]))
    return Choice(cluster, local if local != cluster else cluster, here, bool(ready or ending))


def _listed(
    slices: Iterable[EndpointSlice], port: str, protocol: str, family: str
) -> dict[Backend, SliceEndpoint]:
    """By address and port.  Of one that is listed twice the one that is not ending counts: an address may be
    given to a new pod while the old one is still listed.
    """
    found: dict[Backend, SliceEndpoint] = {}
    for piece in slices:
        for number in piece.ports or ():
            if number.port is None or number.name is None or not 0 < number.port < 65536:
                continue
            if number.name != port or (number.protocol or TCP) != protocol:
                continue
            for endpoint in piece.endpoints or ():
                address = address_of(endpoint.addresses[0], family) if endpoint.addresses else ""
                if address:
                    backend = (address, number.port)
                    known = found.get(backend)
                    if known is None or _fitness(endpoint) > _fitness(known):
                        found[backend] = endpoint
    return found


def _fitness(endpoint: SliceEndpoint) -> tuple[bool, bool, bool]:
    return (not endpoint.conditions.terminating, endpoint.ready, endpoint.serving)


def _hinted(ready: dict[Backend, SliceEndpoint], place: Place) -> tuple[Backend, ...]:
    """Hints count only where every ready endpoint has them and one is meant for here; nodes before zones."""
    hints = [endpoint.hints for endpoint in ready.values()]
    if None not in hints:
        for kind, name in (("for_nodes", place.node), ("for_zones", place.zone)):
            named = [getattr(hint, kind) for hint in hints]
            if not name or not all(named):
                continue
            meant = [b for b, of in zip(ready, named, strict=True) if any(hint.name == name for hint in of)]
            if meant:
                return tuple(sorted(meant))
    return tuple(sorted(ready))


def hosts_of(slices: Iterable[EndpointSlice], ports: set[tuple[str, str]], place: Place) -> set[str]:
    """Addresses of ready endpoints of this node that one of the ports (name, protocol) leads to."""
    return {
        endpoint.addresses[0]
        for piece in slices
        if any((number.name or "", number.protocol or TCP) in ports for number in piece.ports or ())
        for endpoint in piece.endpoints or ()
        if endpoint.addresses and endpoint.ready and endpoint.node_name == place.node
    }


def serving_of(slices: Sequence[EndpointSlice], port: str, protocol: str, family: str) -> set[Backend]:
    """Those that serve, ready or not: UDP flows to them are left alone."""
    return {b for b, e in _listed(slices, port, protocol, family).items() if e.serving}
