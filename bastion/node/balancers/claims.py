"""· Which addresses are to be announced, and from which nodes may they be?  Pure.

Nobody announces what nobody would serve: without an endpoint that is ready (or at least still serves while it
ends) there is no claim.  With externalTrafficPolicy Local only nodes with such an endpoint of their own may
answer: the others would drop what comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bastion.kube.objects import TCP
from bastion.node.addresses import FAMILIES
from bastion.node.balancers.pools import Pool
from bastion.node.balancers.services import TYPE, Classes
from bastion.node.fronts import vips_of
from bastion.node.objects import EndpointSlice, Service, SliceEndpoint

Claims = dict[str, Collection[str] | None]  # by address the nodes that may answer; None: every one


def claims_of(
    services: Iterable[tuple[Service, Iterable[EndpointSlice]]],
    classes: Classes,
    pools: tuple[Pool, ...],
) -> Claims:
    """Without pools any address of a status counts."""
    found: Claims = {}
    for service, slices in services:
        if service.spec.type != TYPE or not classes.takes(service.spec.load_balancer_class):
            continue
        pieces = list(slices)
        for family in FAMILIES:
            for address in vips_of(service, family):
                if pools and not any(address in pool for pool in pools):
                    continue
                nodes = _nodes(service, [one for one in pieces if one.address_type == family])
                if nodes is None or nodes:
                    found[address] = _both(found[address], nodes) if address in found else nodes
    return found


def _both(one: Collection[str] | None, other: Collection[str] | None) -> Collection[str] | None:
    """Of Services that share an address."""
    return None if one is None or other is None else frozenset((*one, *other))


def _nodes(service: Service, pieces: list[EndpointSlice]) -> Collection[str] | None:
    """Empty: there is no endpoint that serves."""
    ports = {(port.name, port.protocol) for port in service.spec.ports or ()}
    endpoints: list[SliceEndpoint] = [
        endpoint
        for piece in pieces
        if any((number.name or "", number.protocol or TCP) in ports for number in piece.ports or ())
        for endpoint in piece.endpoints or ()
    ]
    ready = [one for one in endpoints if one.ready]
    ending = [one for one in endpoints if one.serving and one.conditions.terminating]
    if service.spec.external_traffic_policy != "Local":
        return None if ready or ending else frozenset()
    here = {one.node_name for one in ready} or {one.node_name for one in ending}
    return frozenset(node for node in here if node)
