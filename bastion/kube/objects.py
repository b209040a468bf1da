"""· The API objects, reduced to the fields this program reads."""

from __future__ import annotations

import msgspec

from bastion.kube.declaredprobe import DeclaredProbe
from bastion.kube.metadata import AnnotatedMetadata, Metadata, Struct
from bastion.kube.podtroubles import Condition, ContainerStatus, Trouble

TCP = "TCP"  # the only one that HTTP uses


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


# --- pods


class ContainerPort(Struct, frozen=True):
    container_port: int = 0
    name: str = ""
    protocol: str = TCP


class Container(Struct, frozen=True):
    """`probe` is the first of those it declares, in the order readiness, liveness, startup."""

    ports: tuple[ContainerPort, ...] | None = None
    readiness_probe: DeclaredProbe | None = None
    liveness_probe: DeclaredProbe | None = None
    startup_probe: DeclaredProbe | None = None

    @property
    def probe(self) -> DeclaredProbe | None:
        return self.readiness_probe or self.liveness_probe or self.startup_probe


class InitContainer(Container, frozen=True):
    restart_policy: str = ""

    @property
    def sidecar(self) -> bool:
        """It runs beside the containers, so its ports are the pod's (KEP-753), unlike those of one that ends
        before they start.
        """
        return self.restart_policy == "Always"


class PodSpec(Struct, frozen=True):
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[InitContainer, ...] | None = None
    host_network: bool = False


class PodIP(Struct, frozen=True):
    ip: str = ""


class PodStatus(Struct, frozen=True):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] | None = msgspec.field(default=None, name="podIPs")


class WireStatus(PodStatus, frozen=True):
    """As it comes; `compaction` keeps a PodStatus of it, or an UnreadyStatus."""

    reason: str = ""
    conditions: tuple[Condition, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class UnreadyStatus(PodStatus, frozen=True):
    """Of the few pods that are not ready: why, and the labels by which a service would select it."""

    trouble: Trouble = Trouble("")
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class WireMetadata(AnnotatedMetadata, frozen=True):
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class Pod(Struct, frozen=True):
    metadata: AnnotatedMetadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The pod's own addresses, the preferred family first; empty before it has one."""
        if self.status.pod_ips:
            return tuple(p.ip for p in self.status.pod_ips if p.ip)
        return (self.status.pod_ip,) if self.status.pod_ip else ()

    @property
    def ports(self) -> tuple[ContainerPort, ...]:
        """The declared ports in the order of the containers, those of sidecars last."""
        containers, init = self.spec.containers or (), self.spec.init_containers
        if len(containers) == 1 and not init:
            return containers[0].ports or ()
        sidecars = (container for container in init or () if container.sidecar)
        return tuple(port for container in (*containers, *sidecars) for port in container.ports or ())

    @property
    def default_port(self) -> ContainerPort | None:
        """The first TCP port of the containers: as in kube-apiserver, sidecars have no part in this."""
        ports = (port for container in self.spec.containers or () for port in container.ports or ())
        return next((port for port in ports if port.protocol == TCP), None)

    @property
    def terminal(self) -> bool:
        """The pod has ended: it keeps its status, but its address may belong to another pod."""
        return self.status.phase in ("Succeeded", "Failed")


class WirePod(Pod, frozen=True):
    """As it comes: `compaction` makes a Pod of it."""

    metadata: WireMetadata
    status: WireStatus = WireStatus()


# --- services


class ServicePort(Struct, frozen=True):
    port: int = 0
    name: str = ""
    protocol: str = TCP
    app_protocol: str | None = None


class ServiceSpec(Struct, frozen=True):
    """`session_affinity` and `traffic_distribution` are Kubernetes' own words for where clients go."""

    ports: tuple[ServicePort, ...] | None = None
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: tuple[str, ...] | None = None
    selector: dict[str, str] | None = None
    publish_not_ready_addresses: bool = False
    session_affinity: str = "None"
    traffic_distribution: str | None = None

    @property
    def first_family(self) -> str:
        """The preferred family of its clients (KEP-563); empty where the service has neither it nor an
        address.
        """
        if self.ip_families:
            return self.ip_families[0]
        return family_of(self.cluster_addresses[0]) if self.cluster_addresses else ""

    @property
    def cluster_addresses(self) -> tuple[str, ...]:
        """Empty for a headless service."""
        if self.cluster_ips:
            return tuple(address for address in self.cluster_ips if address != "None")
        return (self.cluster_ip,) if self.cluster_ip not in ("", "None") else ()


class Service(Struct, frozen=True):
    metadata: AnnotatedMetadata
    spec: ServiceSpec = ServiceSpec()


# --- endpoint slices

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class EndpointPort(Struct, frozen=True):
    port: int | None = None
    name: str | None = None
    protocol: str | None = None  # None: TCP


class EndpointConditions(Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(Struct, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class Hint(Struct, frozen=True):
    name: str = ""


class Hints(Struct, frozen=True):
    """Zones and nodes whose clients should use an endpoint."""

    for_zones: tuple[Hint, ...] | None = None
    for_nodes: tuple[Hint, ...] | None = None


class SliceEndpoint(Struct, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    zone: str | None = None
    hints: Hints | None = None

    @property
    def ready(self) -> bool:
        """Unknown (None) counts as ready (KEP-1672)."""
        return self.conditions.ready is not False

    @property
    def serves_while_ending(self) -> bool:
        """Used where no endpoint is ready (KEP-1669).  As in kube-proxy an unknown `serving` counts as true,
        an unknown `terminating` as false.
        """
        return self.conditions.terminating is True and self.conditions.serving is not False


class SliceMetadata(Metadata, frozen=True):
    labels: dict[str, str] | None = None


class EndpointSlice(Struct, frozen=True):
    metadata: SliceMetadata
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service(self) -> str:
        return (self.metadata.labels or {}).get(SERVICE_NAME_LABEL, "")


# --- nodes


class NodeAddress(Struct, frozen=True):
    type: str = ""
    address: str = ""


class KubeletEndpoint(Struct, frozen=True):
    port: int = msgspec.field(default=0, name="Port")


class DaemonEndpoints(Struct, frozen=True):
    kubelet_endpoint: KubeletEndpoint = KubeletEndpoint()


class NodeStatus(Struct, frozen=True):
    addresses: tuple[NodeAddress, ...] | None = None
    daemon_endpoints: DaemonEndpoints = DaemonEndpoints()


class Node(Struct, frozen=True):
    metadata: Metadata
    status: NodeStatus = NodeStatus()


Object = Pod | Service | EndpointSlice | Node

# What is watched: resource name, the path of its list, the struct of one.
PATHS: dict[str, str] = {
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "nodes": "/api/v1/nodes",
}
STRUCTS: dict[str, type[Object]] = {
    "pods": WirePod,
    "services": Service,
    "endpointslices": EndpointSlice,
    "nodes": Node,
}


def path_of(resource: str, namespace: str = "", name: str = "") -> str:
    """The path of a list, or with a name of one object."""
    path = PATHS[resource]
    if namespace:
        prefix, _, last = path.rpartition("/")
        path = f"{prefix}/namespaces/{namespace}/{last}"
    return f"{path}/{name}" if name else path
