"""· What happens to a connection, and why?  A packet's way through the rules, in words.

Works on fronts, which every mode renders: so the words hold for all of them, and where a mode differs it is
said.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import msgspec

from bastion.node.addresses import IPV4, IPV6, LOOPBACK, address_of, contains, network_of, of_family
from bastion.node.config.settings import IPTABLES, NFTABLES, USERSPACE
from bastion.node.endpoints import Backend
from bastion.node.fronts import PROTOCOLS, Front, FrontKey, Scope, fronts_of
from bastion.node.model import Model
from bastion.node.rules import Rules
from bastion.runtime.errors import ConfigError

MOST_LISTED = 16  # endpoints


class Asked(msgspec.Struct, frozen=True):
    address: str
    port: int
    protocol: str

    @property
    def family(self) -> str:
        return IPV6 if ":" in self.address else IPV4

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.family == IPV6 else self.address
        return f"{host}:{self.port}/{self.protocol.lower()}"


def parse_target(text: str) -> Asked:
    """Of `10.96.0.10:443/tcp`, `[fd00::1]:53/udp`; TCP where no protocol is given.  Raises ConfigError."""
    socket, _, protocol = text.partition("/")
    host, _, port = socket.rpartition(":")
    try:
        address = str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        address = ""
    name = (protocol or "tcp").upper()
    if (
        not address
        or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)
        or name not in PROTOCOLS
    ):
        raise ConfigError([f"{text!r} is not ADDRESS:PORT/PROTOCOL, such as 10.96.0.10:443/tcp"])
    return Asked(address, int(port), name)


def explained(asked: Asked, source: str, mode: str, model: Model, rules: Rules) -> list[str]:
    """`source`: the client's address, empty for one outside that is no pod.  Raises ConfigError."""
    if source and not address_of(source, asked.family):
        raise ConfigError([f"--from: {source!r} is not an address of the same family"])
    return [*_Walk(asked, address_of(source, asked.family) if source else "", mode, model, rules)]


class _Walk:
    def __init__(self, asked: Asked, source: str, mode: str, model: Model, rules: Rules) -> None:
        self._asked = asked
        self._source = source
        self._mode = mode
        self._model = model
        self._rules = rules
        self._own = tuple(model.place.addresses_of(asked.family))
        self._fronts = model.families[asked.family].claims.fronts

    def __iter__(self) -> Iterator[str]:
        asked = self._asked
        source, node = self._source or "a client outside", self._model.place.node
        yield f"{asked} from {source}, {self._kind()}, on node {node}"
        key, front = self._front()
        if front is None:
            yield from self._no_service()
            return
        yield f"is the {front.scope} of Service {front.owner}, port {key.port}/{key.protocol}"
        yield from self._rivals(key, front)
        filtered = front.anywhere or self._mode != IPTABLES  # which has no filter where there is no endpoint
        if filtered and front.sources and not self._within(front.sources):
            ranges = ", ".join(front.sources)
            yield f"dropped: loadBalancerSourceRanges allow {ranges}" + (
                "" if self._source else "; give --from"
            )
            return
        yield from self._policy(key, front)

    def _kind(self) -> str:
        if self._is_own():
            return "the node itself"
        if not self._rules.detection:
            return "which may be a pod or not: detectLocalMode has nothing to tell it by"
        if not self._rules.detection.cidrs:
            return "taken for no pod: pods are told by the interface they come in on"
        return "a pod of the cluster" if self._is_pod() else "no pod of the cluster"

    def _is_own(self) -> bool:
        return self._source in self._own or bool(
            self._source
            and contains(of_family([LOOPBACK[self._asked.family]], self._asked.family), self._source)
        )

    def _is_pod(self) -> bool:
        return bool(self._source) and self._within(self._rules.detection.cidrs)

    def _within(self, texts: tuple[str, ...]) -> bool:
        return bool(self._source) and contains(filter(None, map(network_of, texts)), self._source)

    def _front(self) -> tuple[FrontKey, Front | None]:
        key = FrontKey(self._asked.address, self._asked.protocol, self._asked.port)
        front = self._fronts.get(key)
        if front is None and self._takes_node_ports():
            key = FrontKey("", self._asked.protocol, self._asked.port)
            front = self._fronts.get(key)
        return key, front

    def _takes_node_ports(self) -> bool:
        """Of the node's addresses those are known that the Node names, and loopback."""
        asked, ranges = self._asked, self._rules.node_ports
        loopback = contains(of_family([LOOPBACK[asked.family]], asked.family), asked.address)
        if loopback and (self._mode == NFTABLES or not self._rules.localhost_node_ports):
            return False
        if ranges:
            return contains(of_family(ranges, asked.family), asked.address)
        return loopback or asked.address in self._own

    @property
    def _refused(self) -> str:
        how = "the port is closed" if self._mode == USERSPACE else "ICMP port unreachable"
        return f"refused ({how})"

    def _no_service(self) -> Iterator[str]:
        asked = self._asked
        clusters = {key.address: front for key, front in self._fronts.items() if front.scope is Scope.CLUSTER}
        owner = clusters.get(asked.address)
        if owner is not None:
            service = owner.owner.partition(":")[0]
            ports = sorted(
                f"{key.port}/{key.protocol.lower()}" for key in self._fronts if key.address == asked.address
            )
            yield f"is the cluster IP of Service {service}, which has no such port: it has {', '.join(ports)}"
            answered = self._mode in (NFTABLES, USERSPACE)
            yield self._refused if answered else "left alone: routing decides"
            return
        if self._mode == NFTABLES and contains(
            of_family(self._rules.service_cidrs, asked.family), asked.address
        ):
            yield "dropped: no Service has the address, and it lies in a ServiceCIDR"
            return
        yield "left alone: no Service has this address and port; routing decides"
        if asked.address in self._own or not self._rules.node_ports:
            return
        if FrontKey("", asked.protocol, asked.port) in self._fronts:
            taking = ", ".join(self._rules.node_ports)
            yield f"(it is a NodePort, but NodePorts are taken on {taking} only: nodePortAddresses)"

    def _rivals(self, key: FrontKey, front: Front) -> Iterator[str]:
        """Other Services that ask for the same: told, for theirs is not served."""
        family, place = self._asked.family, self._model.place
        for name, service in self._model.services.items():
            if f"{name[0]}/{name[1]}" == front.owner.partition(":")[0]:
                continue
            spec = service.spec
            texts = (
                *spec.cluster_addresses,
                *(spec.external_ips or ()),
                *(i.ip for i in service.status.load_balancer.ingress or ()),
            )
            if not key.address or key.address in texts:
                fronts = fronts_of(service, self._model.slices_of(name).values(), family, place)
                if key in fronts:
                    yield f"(Service {name[0]}/{name[1]} asks for it, too; the older Service has it)"

    def _policy(self, key: FrontKey, front: Front) -> Iterator[str]:
        if not front.anywhere:
            yield f"{self._refused}: the Service has no ready endpoint"
            # what goes to the node itself comes in by its INPUT chain, which looks at external addresses
            outward = front.scope in (Scope.EXTERNAL, Scope.BALANCER) and key.address not in self._own
            if self._mode == IPTABLES and outward and self._is_own():
                yield "(not of the node's own processes in iptables mode: routing decides)"
            return
        backends, why = front.backends, f"those of the policy {'Local' if front.local_policy else 'Cluster'}"
        if front.splits and (self._is_own() or self._is_pod()):
            backends = front.cluster
            why = "wherever they run: the policy Local binds neither the node nor its pods"
        if not backends:
            elsewhere = ", ".join(f"{address}:{port}" for address, port in front.cluster[:MOST_LISTED])
            yield f"dropped: the policy is Local, and no endpoint is on this node (elsewhere: {elsewhere})"
            return
        yield f"goes to one of {len(backends)} endpoints, {why}:"
        for backend in backends[:MOST_LISTED]:
            yield f"  {_written(backend)}" + (", on this node" if backend in front.here else "")
        if len(backends) > MOST_LISTED:
            yield f"  … and {len(backends) - MOST_LISTED} more"
        if front.affinity:
            yield f"a client keeps its endpoint for {front.affinity} s after each connection: sessionAffinity"
        yield from self._masquerade(front, backends)

    def _masquerade(self, front: Front, backends: tuple[Backend, ...]) -> Iterator[str]:
        if self._mode == USERSPACE:
            yield "relayed: the endpoint sees an address of this node"
            return
        reason = self._reason(front)
        if reason:
            yield f"masqueraded: {reason}; the endpoint sees an address of this node"
        else:
            yield "not masqueraded: the endpoint sees the client's address"
            if any(backend[0] == self._source for backend in backends):
                yield "(where it reaches itself it is masqueraded all the same)"

    def _reason(self, front: Front) -> str:
        """Why its source becomes the node's address; empty where it does not."""
        if front.splits:
            return "the node itself reaches beyond its own endpoints" if self._is_own() else ""
        if front.scope is not Scope.CLUSTER:
            return f"with the policy Cluster whatever comes by {front.scope} is"
        if self._rules.masquerade_all:
            return "masqueradeAll is set"
        if self._rules.detection and not self._is_pod():
            return "it is no pod of the cluster"
        return ""


def _written(backend: Backend) -> str:
    address, port = backend
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
