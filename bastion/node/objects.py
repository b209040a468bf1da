"""· Services, EndpointSlices, Nodes and ServiceCIDRs, cut down to the fields that a node proxy reads."""

from __future__ import annotations

import msgspec

from bastion.kube import objects
from bastion.kube.metadata import AnnotatedMetadata, Metadata, Struct

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"
EXCLUDED_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
AUTOSCALER_TAINT = "ToBeDeletedByClusterAutoscaler"


class ServicePort(objects.ServicePort, frozen=True):
    node_port: int = 0


class ClientIPConfig(Struct, frozen=True):
    timeout_seconds: int | None = None


class AffinityConfig(Struct, frozen=True):
    client_ip: ClientIPConfig = msgspec.field(default=ClientIPConfig(), name="clientIP")


class ServiceSpec(objects.ServiceSpec, frozen=True):
    ports: tuple[ServicePort, ...] | None = None
    external_ips: tuple[str, ...] | None = msgspec.field(default=None, name="externalIPs")
    session_affinity: str = "None"
    session_affinity_config: AffinityConfig = AffinityConfig()
    internal_traffic_policy: str | None = None
    external_traffic_policy: str | None = None
    health_check_node_port: int = 0
    load_balancer_source_ranges: tuple[str, ...] | None = None
    load_balancer_class: str | None = None


class Ingress(Struct, frozen=True):
    ip: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(Struct, frozen=True):
    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(Struct, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class LabelledMetadata(AnnotatedMetadata, frozen=True):
    labels: dict[str, str] | None = None


class Service(objects.Service, frozen=True):
    metadata: LabelledMetadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class SliceEndpoint(objects.SliceEndpoint, frozen=True):
    node_name: str | None = None

    @property
    def serving(self) -> bool:
        """Unknown (None) counts as serving, whatever the readiness (discovery/v1 EndpointConditions)."""
        return self.conditions.serving is not False


class SliceMetadata(objects.SliceMetadata, frozen=True):
    annotations: dict[str, str] | None = None  # all of them


class EndpointSlice(objects.EndpointSlice, frozen=True):
    metadata: SliceMetadata
    endpoints: tuple[SliceEndpoint, ...] | None = None
    address_type: str = "IPv4"


class Taint(Struct, frozen=True):
    key: str = ""


class NodeSpec(Struct, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")
    taints: tuple[Taint, ...] | None = None


class NodeMetadata(LabelledMetadata, frozen=True):
    deletion_timestamp: str | None = None


class Node(objects.Node, frozen=True):
    metadata: NodeMetadata
    spec: NodeSpec = NodeSpec()

    @property
    def zone(self) -> str:
        return (self.metadata.labels or {}).get(ZONE_LABEL, "")

    @property
    def eligible(self) -> bool:
        """Whether load balancers should still send connections here (KEP-3836)."""
        tainted = any(taint.key == AUTOSCALER_TAINT for taint in self.spec.taints or ())
        return not tainted and self.metadata.deletion_timestamp is None

    @property
    def takes_balancers(self) -> bool:
        """Whether addresses of load balancers may lead here (cloud-provider's service controller)."""
        return self.eligible and EXCLUDED_LABEL not in (self.metadata.labels or {})

    @property
    def internal_addresses(self) -> tuple[str, ...]:
        """InternalIPs first, then ExternalIPs: as kube-proxy takes its primary addresses."""
        found = self.status.addresses or ()
        return tuple(a.address for kind in ("InternalIP", "ExternalIP") for a in found if a.type == kind)


class ServiceCIDRSpec(Struct, frozen=True):
    cidrs: tuple[str, ...] | None = None


class ServiceCIDR(Struct, frozen=True):
    metadata: Metadata
    spec: ServiceCIDRSpec = ServiceCIDRSpec()
