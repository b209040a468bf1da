"""What there is, as rows for one reader: those that they may open, and no name of any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from bastion.discovery.catalog import Catalog
from bastion.discovery.near import near_names
from bastion.kube.accesspolicy import AccessPolicy
from bastion.kube.annotation import read
from bastion.kube.annotations import Card
from bastion.kube.objects import Node, Pod, Service
from bastion.web.addresses import Addresses
from bastion.web.health import Probes, readiness
from bastion.web.openable.listing import Openable
from bastion.web.openable.plan import Plan, Rights, Thing, Things
from bastion.web.portal.rows import (
    Row,
    Slow,
    Speaks,
    Subject,
    never_slow,
    no_tls,
    row_of,
    subject_of_node,
    subject_of_pod,
    subject_of_service,
)
from bastion.web.reader import Reader

FRESH = 1.0  # seconds for which the list of what there is is not made anew
SERVICES, PODS, NODES = KINDS = ("services", "pods", "nodes")


class Listed(msgspec.Struct, frozen=True):
    """`waiting`: namespaces still being asked about; `crowded`: those with too many objects to ask."""

    rows: tuple[Row, ...]
    waiting: int = 0
    crowded: int = 0


class Inventory:
    """`subjects` are kept while their object is the same; `now` is seconds since the epoch."""

    def __init__(
        self,
        catalog: Catalog,
        probes: Probes,
        addresses: Addresses,
        now: Callable[[], float],
        *,
        nodes: bool,
        speaks: Speaks = no_tls,
        slow: Slow = never_slow,
    ) -> None:
        self._catalog = catalog
        self.probes = probes
        self._addresses = addresses
        self.now = now
        self._speaks = speaks
        self._slow = slow
        self._subjects: dict[tuple[str, str, str], tuple[object, Subject]] = {}
        self._things: dict[str, tuple[float, Things]] = {}
        self.kinds = KINDS if nodes else KINDS[:2]

    # --- what there is

    def known(self, resource: str) -> Things:
        """Of what could be opened at all."""
        made, things = self._things.get(resource, (0.0, {}))
        if self.now() - made >= FRESH:
            found: dict[str, list[Thing]] = {}
            for subject in self.subjects(resource):
                found.setdefault(subject.namespace, []).append(
                    Thing(subject.name, subject.ids, subject.groups)
                )
            things = found
            self._things[resource] = (self.now(), things)
        return things

    def subjects(self, resource: str) -> Iterator[Subject]:
        for one in self._objects(resource):
            yield self._subject(resource, one)

    def subject(self, resource: str, namespace: str, name: str) -> Subject | None:
        found: Service | Pod | Node | None
        if resource == NODES:
            found = self._catalog.nodes.get(name) if NODES in self.kinds else None
        elif resource == PODS:
            found = self._catalog.pods.get((namespace, name))
        else:
            found = self._catalog.services.get((namespace, name))
        return self._subject(resource, found) if found is not None else None

    def near(self, resource: str, namespace: str, name: str) -> list[tuple[int, str]]:
        """Names that are near, with their distances, the nearest first."""
        return near_names(self._catalog, resource, namespace, name)

    def _objects(self, resource: str) -> Iterable[Service | Pod | Node]:
        if resource == NODES:
            return self._catalog.nodes.values()
        if resource == PODS:
            return (pod for pod in self._catalog.pods.values() if not pod.terminal)
        return (one for one in self._catalog.services.values() if one.spec.type != "ExternalName")

    def _subject(self, resource: str, of: Service | Pod | Node) -> Subject:
        key = (resource, of.metadata.namespace, of.metadata.name)
        known = self._subjects.get(key)
        if known is None or known[0] is not of:
            known = self._subjects[key] = (of, _subject_of(of))
            catalog = self._catalog
            if len(self._subjects) > 2 * (len(catalog.services) + len(catalog.pods) + len(catalog.nodes)):
                self._subjects = {key: known}  # most of them are gone
        return known[1]

    # --- for one reader

    async def listed(self, reader: Reader, resource: str, openable: Openable, patience: float) -> Listed:
        """Raises StatusError where the API server cannot be asked."""
        await self.probes.look()
        plan = await openable.of(reader.user, reader.asker, resource, patience)
        return Listed(tuple(self._rows(resource, plan)), len(plan.waiting), len(plan.crowded))

    def _rows(self, resource: str, plan: Plan) -> Iterator[Row]:
        rights = plan.rights
        for subject in () if rights.none else self.subjects(resource):
            if not subject.card.hidden and may_any(rights, subject):
                yield self.row(subject, rights)

    def row(self, subject: Subject, rights: Rights) -> Row:
        resource, namespace, name = subject.resource, subject.namespace, subject.name
        ready = readiness(self._catalog.slices_of(namespace, name).values()) if resource == SERVICES else None
        return row_of(
            subject,
            rights,
            self._addresses,
            probed=self.probes.of(resource, namespace, name),
            readiness=ready,
            now=self.now(),
            speaks=self._speaks,
            slow=self._slow(subject),
        )


def may_any(rights: Rights, subject: Subject) -> bool:
    return rights.some(subject.namespace, subject.ids)


def _subject_of(of: Service | Pod | Node) -> Subject:
    if isinstance(of, Service):
        annotations = of.metadata.annotations
        return subject_of_service(of, read(Card, annotations), read(AccessPolicy, annotations).groups)
    if isinstance(of, Pod):
        return subject_of_pod(of, read(Card, of.metadata.annotations))
    return subject_of_node(of)
