"""· A row of the portal: what a service, a pod or a node is called, where it opens, and how it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import msgspec

from bastion.discovery.kubelets import DEFAULT_KUBELET_PORT
from bastion.kube.annotations import Card
from bastion.kube.endpoint import TLSProfile
from bastion.kube.objects import TCP, Node, Pod, Service
from bastion.kube.pathgroups import PathGroups
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
    """`id` names it in a path; empty where its reader may not open it.  `group`: whose paths alone they may,
    beginning at `rest`; empty for all.
    """

    name: str
    number: int
    id: str = ""
    href: str = ""
    group: str = ""
    rest: str = ""


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
    by_path: PathGroups | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        return self.by_path.names if self.by_path is not None else ()

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
    def opened(self) -> Port:
        """Where `Open` leads; without an id where the reader may open no port."""
        return _opened(self.subject, self.ports, self.rights)

    @property
    def id(self) -> str:
        return self.opened.id

    @property
    def href(self) -> str:
        """For a browser; empty where it is opened in none."""
        subject, port = self.subject, self.opened
        if not port.id or subject.resource == "nodes":
            return ""
        rest = port.rest or subject.card.path or "/"
        return self.addresses.open(subject.resource, subject.namespace, port.id, rest)

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
        port = self.opened
        if not port.id:
            return ""
        whole = proxy_path(self.subject.resource, self.subject.namespace, port.id)
        return whole + port.rest.removeprefix("/")

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


def subject_of_service(service: Service, card: Card, by_path: PathGroups | None = None) -> Subject:
    ports = tuple((p.name, p.port) for p in service.spec.ports or () if p.protocol == TCP)
    name, namespace = service.metadata.name, service.metadata.namespace
    return Subject("services", namespace, name, card, ports, ids_of(name, ports), by_path=by_path)


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
    ids, namespace = _ids_of_port(subject, name, number), subject.namespace
    id = next((id for id in ids if rights.may(namespace, id)), "")
    group = ""
    if not id and rights.groups:
        id, group = next(((id, found) for id in ids if (found := rights.group(namespace, id))), ("", ""))
    rest = subject.by_path.entrance(group) if group and subject.by_path is not None else ""
    href = addresses.open(subject.resource, namespace, id, rest or "/") if id else ""
    return Port(
        name or str(number), number, id, "" if subject.resource == "nodes" else href, group=group, rest=rest
    )


def _ids_of_port(subject: Subject, name: str, number: int) -> Sequence[str]:
    """The ids that lead to this port, the simplest first."""
    alone = len(subject.ports) == 1
    plain = [f"{subject.name}:{one}" for one in (name, str(number)) if one]
    secure = [f"https:{one}" for one in plain]
    return [subject.name, *plain, *secure] if alone else [*plain, *secure]


def _opened(subject: Subject, ports: Sequence[Port], rights: Rights) -> Port:
    """What `Open` leads to; without an id where nothing may be opened."""
    nothing = Port("", 0)
    if not subject.ports:
        return Port("", 0, subject.name) if rights.may(subject.namespace, subject.name) else nothing
    there = [port for port in ports if port.id]
    wanted = subject.card.port
    chosen = [port for port in there if wanted and wanted in (port.name, str(port.number))]
    named = {port.name: port for port in reversed(there)}
    first = [named[name] for name in FIRST if name in named]
    return next(iter((*chosen, *first, *there)), nothing)
