"""· What the API said of Services, slices and this node, and which Services' fronts are to be made anew.

Pure.  `put_…` takes one object (None: it is gone); a family's `take` hands over what changed since the last
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from bastion.node.addresses import FAMILIES, collapsed, of_family
from bastion.node.claims import Claims, ServiceKey
from bastion.node.endpoints import Place, serving_of
from bastion.node.fronts import (
    Front,
    FrontKey,
    Scope,
    families_of,
    fronts_of,
    health_port_of,
    is_served,
    local_hosts,
)
from bastion.node.objects import TRIGGER_ANNOTATION, EndpointSlice, Node, Service, ServiceCIDR

Lost = Callable[[ServiceKey, FrontKey, ServiceKey], None]


class Change(msgspec.Struct, frozen=True):
    """`fronts` by key, None where there is none any more; `udp`: Services whose flows are to be looked at;
    `triggers`: when the endpoints changed that are in it, as the slices tell.
    """

    fronts: dict[FrontKey, Front | None]
    udp: set[ServiceKey]
    triggers: tuple[str, ...] = ()


class Family:
    """One address family's view."""

    def __init__(self, family: str, lost: Lost) -> None:
        self.family = family
        self.claims = Claims(lost)
        self.dirty: dict[ServiceKey, None] = {}
        self.triggers: list[str] = []


class Model:
    """`changed` is told whenever a family has something to take; `own` is this node's name."""

    def __init__(self, own: str, changed: Callable[[], None], lost: Lost = lambda *_: None) -> None:
        self.place = Place(own)
        self.node: Node | None = None  # as it was last seen
        self.services: dict[ServiceKey, Service] = {}
        self.service_cidrs: dict[str, ServiceCIDR] = {}
        self.service_changes = self.endpoint_changes = 0
        self.pending_services: set[ServiceKey] = set()
        self.pending_slices: set[ServiceKey] = set()
        self.families = {family: Family(family, lost) for family in FAMILIES}
        self._slices: dict[ServiceKey, EndpointSlice] = {}
        self._of: dict[ServiceKey, dict[ServiceKey, EndpointSlice]] = {}
        self._changed = changed

    def slices_of(self, service: ServiceKey) -> Mapping[ServiceKey, EndpointSlice]:
        return self._of.get(service, {})

    def put_service(self, key: ServiceKey, service: Service | None) -> None:
        before = self.services.get(key)
        if before == service:
            return
        if service is None:
            del self.services[key]
        else:
            self.services[key] = service
        self.service_changes += 1
        self.pending_services.add(key)
        self._mark(key)

    def put_slice(self, key: ServiceKey, piece: EndpointSlice | None) -> None:
        before = self._slices.get(key)
        if before == piece:
            return
        if before is not None:
            del self._slices[key]
            of = (key[0], before.service)
            self._of[of].pop(key)
            if not self._of[of]:
                del self._of[of]
            self._touched(of)
        if piece is not None and piece.service:
            self._slices[key] = piece
            of = (key[0], piece.service)
            self._of.setdefault(of, {})[key] = piece
            self._touched(of)
            moment = (piece.metadata.annotations or {}).get(TRIGGER_ANNOTATION, "")
            if moment and piece.address_type in FAMILIES:
                self.families[piece.address_type].triggers.append(moment)

    def put_node(self, node: Node | None) -> None:
        """One that is deleted changes nothing: the last one seen counts."""
        if node is None:
            return
        self.node = node
        place = msgspec.structs.replace(self.place, zone=node.zone)
        if place != self.place:
            self.place = place
            for key in self.services:
                self._mark(key)

    def put_service_cidr(self, name: str, one: ServiceCIDR | None) -> None:
        """Counts from the next full sync on."""
        if one is None:
            self.service_cidrs.pop(name, None)
        else:
            self.service_cidrs[name] = one

    def stand(self, addresses: tuple[str, ...]) -> None:
        """The node's own addresses, fixed at the start."""
        self.place = msgspec.structs.replace(self.place, addresses=addresses)

    def take(self, family: str) -> Change:
        """What changed for this family since the last time."""
        view = self.families[family]
        keys, view.dirty = list(view.dirty), {}
        triggers, view.triggers = tuple(view.triggers), []
        changed: set[FrontKey] = set()
        udp = set()
        for key in keys:
            service = self.services.get(key)
            fronts = {}
            if service is not None:
                fronts = fronts_of(service, self.slices_of(key).values(), family, self.place)
                if any(port.protocol == "UDP" for port in service.spec.ports or ()):
                    udp.add(key)
            created = service.metadata.creation_timestamp or "" if service is not None else ""
            changed |= view.claims.put(key, created, fronts)
        if not any(one.dirty for one in self.families.values()):
            self.pending_services.clear()
            self.pending_slices.clear()
        return Change({key: view.claims.fronts.get(key) for key in changed}, udp, triggers)

    def serving(self, service: ServiceKey, port: str, family: str) -> set[tuple[str, int]]:
        pieces = [piece for piece in self.slices_of(service).values() if piece.address_type == family]
        return serving_of(pieces, port, "UDP", family)

    def health_ports(self) -> dict[tuple[ServiceKey, str], tuple[int, int]]:
        """By Service and family: the port that it wants to be asked at, and its ready endpoints of this
        node.
        """
        found = {}
        for key, service in self.services.items():
            port = health_port_of(service)
            for family in families_of(service) if port else ():
                pieces = [piece for piece in self.slices_of(key).values() if piece.address_type == family]
                found[key, family] = (port, local_hosts(service, pieces, self.place))
        return found

    def without_local(self, family: str) -> dict[str, int]:
        """By policy: ports of Services with the policy Local and endpoints on other nodes only."""
        owners: dict[str, set[tuple[str, str]]] = {"internal": set(), "external": set()}
        for key, front in self.families[family].claims.fronts.items():
            if front.local_policy and front.anywhere and not front.local:
                kind = "internal" if front.scope is Scope.CLUSTER else "external"
                owners[kind].add((front.owner, key.protocol))
        return {kind: len(found) for kind, found in owners.items()}

    def cidrs(self, family: str) -> tuple[str, ...]:
        texts = [text for one in self.service_cidrs.values() for text in one.spec.cidrs or ()]
        return collapsed(of_family(texts, family))

    def _touched(self, service: ServiceKey) -> None:
        self.endpoint_changes += 1
        self.pending_slices.add(service)
        self._mark(service)

    def _mark(self, service: ServiceKey) -> None:
        known = self.services.get(service)
        for view in self.families.values():
            view.dirty[service] = None
        if known is None or is_served(known):
            self._changed()
