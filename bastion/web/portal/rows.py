"""· A row of the portal: what a service, a pod or a node is called, where it opens, and how it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import msgspec

from bastion.discovery.kubelets import DEFAULT_KUBELET_PORT
from bastion.kube.annotations import Card
from bastion.kube.endpoint import TLSProfile
from bastion.kube.objects import TCP, Node, Pod, Service
from bastion.web.addresses import Addresses, page_path, proxy_path
from bastion.web.figures import milliseconds
from bastion.web.health import WORDS, Probed, Readiness, state_of
from bastion.web.openable.plan import Rights, ids_of

HUES = 6
# resource, namespace and id -> how TLS is spoken to it, None where it is not
Speaks = Callable[[str, str, str], TLSProfile | None]
Slow = Callable[["Subject"], bool]  # whether it is slower than its owner allows
FIRST = ("http", "https", "web")  # the names of ports that are opened, if there is one
_ICONS = {"services": "box", "pods": "pod", "nodes": "node"}


class Port(msgspec.Struct, frozen=True, gc=False):
    """`id` names it in a path; empty where its reader may not open it."""

    name: str
    number: int
    id: str = ""
    href: str = ""


class Subject(msgspec.Struct, frozen=True):
    """What is always the same about a target, whoever looks.  `ports`: names, which may be empty, and
    numbers.
    """

    resource: str
    namespace: str
    name: str
    card: Card
    ports: tuple[tuple[str, int], ...]
    ids: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.card.title or self.name

    @property
    def group(self) -> str:
        return self.card.group or self.namespace or "Nodes"

    @property
    def ref(self) -> str:
        return f"{self.namespace}/{self.resource}/{self.name}"

    @property
    def where(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def hue(self) -> int:
        return crc32(self.where.encode()) % HUES

    @property
    def icon(self) -> str:
        return self.card.icon or _ICONS[self.resource]


def no_tls(resource: str, namespace: str, id: str) -> TLSProfile | None:
    return None


def never_slow(subject: Subject) -> bool:
    return False


class Row(msgspec.Struct, frozen=True):
    """Where it opens is found out when it is asked for: of thousands only few are shown."""

    subject: Subject
    state: str
    rights: Rights = Rights()
    addresses: Addresses = Addresses()
    probed: Probed | None = None
    readiness: Readiness | None = None
    speaks: Speaks = no_tls
    slow: bool = False

    @property
    def tls(self) -> str:
        """To where `Open` leads: verified, unverified, empty for plain text."""
        profile = self.speaks(self.kind, self.subject.namespace, self.id) if self.id else None
        return "" if profile is None else "verified" if profile.verified else "unverified"

    @property
    def ports(self) -> tuple[Port, ...]:
        return ports_of(self.subject, self.rights, self.addresses)

    @property
    def id(self) -> str:
        """What `Open` leads to, as in a path; empty where the reader may open no port."""
        return _opened(self.subject, self.ports, self.rights)

    @property
    def href(self) -> str:
        """For a browser; empty where it is opened in none."""
        subject, id = self.subject, self.id
        if not id or subject.resource == "nodes":
            return ""
        return self.addresses.open(subject.resource, subject.namespace, id, subject.card.path or "/")

    @property
    def ref(self) -> str:
        return self.subject.ref

    @property
    def kind(self) -> str:
        return self.subject.resource

    @property
    def title(self) -> str:
        return self.subject.title

    @property
    def where(self) -> str:
        return self.subject.where

    @property
    def about(self) -> str:
        return self.subject.card.description

    @property
    def hue(self) -> int:
        return self.subject.hue

    @property
    def icon(self) -> str:
        return self.subject.icon

    @property
    def word(self) -> str:
        return WORDS[self.state]

    @property
    def page(self) -> str:
        return page_path(self.subject.resource, self.subject.namespace, self.subject.name)

    @property
    def path(self) -> str:
        """For programs."""
        id = self.id
        return proxy_path(self.subject.resource, self.subject.namespace, id) if id else ""

    @property
    def latency(self) -> str:
        known = self.probed is not None and self.probed.last and self.probed.state != "down"
        return milliseconds(self.probed.seconds) if self.probed is not None and known else ""

    @property
    def trend(self) -> tuple[float, ...]:
        return self.probed.trend if self.probed is not None and self.latency else ()

    @property
    def ready(self) -> int:
        return self.readiness.ready if self.readiness is not None else 0

    @property
    def of(self) -> int:
        return self.readiness.of if self.readiness is not None else 0

    @property
    def find(self) -> str:
        """What the filter looks at."""
        ports = (f"{name} {number}" for name, number in self.subject.ports)
        return " ".join((self.title, self.where.replace("/", " "), *ports, self.word)).lower()


def subject_of_service(service: Service, card: Card) -> Subject:
    ports = tuple((p.name, p.port) for p in service.spec.ports or () if p.protocol == TCP)
    name = service.metadata.name
    return Subject("services", service.metadata.namespace, name, card, ports, ids_of(name, ports))


def subject_of_pod(pod: Pod, card: Card) -> Subject:
    ports = tuple((p.name, p.container_port) for p in pod.ports if p.protocol == TCP)
    name = pod.metadata.name
    return Subject("pods", pod.metadata.namespace, name, card, ports, ids_of(name, ports))


def subject_of_node(node: Node) -> Subject:
    ports = (("kubelet", node.status.daemon_endpoints.kubelet_endpoint.port or DEFAULT_KUBELET_PORT),)
    return Subject("nodes", "", node.metadata.name, Card(), ports, (node.metadata.name,))


def row_of(
    subject: Subject,
    rights: Rights,
    addresses: Addresses,
    *,
    probed: Probed | None,
    readiness: Readiness | None,
    now: float,
    speaks: Speaks = no_tls,
    slow: bool = False,
) -> Row:
    state = state_of(probed, readiness, subject.card.maintenance, now, slow=slow)
    return Row(
        subject, state, rights, addresses, probed=probed, readiness=readiness, speaks=speaks, slow=slow
    )


def ports_of(subject: Subject, rights: Rights, addresses: Addresses) -> tuple[Port, ...]:
    return tuple(_port(subject, name, number, rights, addresses) for name, number in subject.ports)


def _port(subject: Subject, name: str, number: int, rights: Rights, addresses: Addresses) -> Port:
    id = next((id for id in _ids_of_port(subject, name, number) if rights.may(subject.namespace, id)), "")
    href = addresses.open(subject.resource, subject.namespace, id) if id else ""
    return Port(name or str(number), number, id, "" if subject.resource == "nodes" else href)


def _ids_of_port(subject: Subject, name: str, number: int) -> Sequence[str]:
    """The ids that lead to this port, the simplest first."""
    alone = len(subject.ports) == 1
    plain = [f"{subject.name}:{one}" for one in (name, str(number)) if one]
    secure = [f"https:{one}" for one in plain]
    return [subject.name, *plain, *secure] if alone else [*plain, *secure]


def _opened(subject: Subject, ports: Sequence[Port], rights: Rights) -> str:
    """The id that `Open` leads to; empty where none may be opened."""
    if not subject.ports:
        return subject.name if rights.may(subject.namespace, subject.name) else ""
    wanted = subject.card.port
    if wanted:
        chosen = [port.id for port in ports if port.id and wanted in (port.name, str(port.number))]
        if chosen:
            return chosen[0]
    ids = {port.name: port.id for port in reversed(ports) if port.id}
    return next((ids[name] for name in FIRST if name in ids), next((p.id for p in ports if p.id), ""))
