"""A large cluster as its API server would tell of it: JSON made from templates, so that making it costs next
to nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

NAMESPACES = 200
POD_BYTES = 8 << 10
_CREATED = "2026-01-01T00:00:00Z"

# What a real pod is full of and nobody here reads.
_FIELDS = (
    '{"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z",'
    '"fieldsType":"FieldsV1","fieldsV1":{%s}}'
)
_FIELD = (
    '"f:conditions":{"k:{\\"type\\":\\"Ready\\"}":{".":{},"f:lastProbeTime":{},"f:status":{},"f:type":{}}}'
)
_POD = (
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","generateName":"web-","namespace":"%s",'
    '"uid":"%08d-0000-4000-8000-000000000000","resourceVersion":"%d","creationTimestamp":"'
    + _CREATED
    + '","labels":{"app":"web","pod-template-hash":"7d9c%05d","tier":"front"},"managedFields":[%s]},'
    '"spec":{"nodeName":"node-%d","serviceAccountName":"default","restartPolicy":"Always",'
    '"containers":[{"name":"web","image":"registry.example.com/web:1.2.3",'
    '"resources":{"limits":{"cpu":"1","memory":"1Gi"}},'
    '"ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}]}]},'
    '"status":{"phase":"%s","hostIP":"192.168.0.%d","podIP":"%s","podIPs":[{"ip":"%s"}],'
    '"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"' + _CREATED + '"}]}}'
)
_ENDPOINT = (
    '{"addresses":["%s"],"conditions":{"ready":%s,"serving":true,"terminating":false},"nodeName":"node-%d",'
    '"targetRef":{"kind":"Pod","namespace":"%s","name":"%s","uid":"%08d-0000-4000-8000-000000000000"}}'
)
_SLICE = (
    '{"addressType":"IPv4","metadata":{"name":"%s-x7k2p","namespace":"%s",'
    '"uid":"%08d-0000-4000-9000-000000000000","resourceVersion":"%d",'
    '"creationTimestamp":"' + _CREATED + '","labels":{"app":"web","kubernetes.io/service-name":"%s",'
    '"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}},"endpoints":[%s],'
    '"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}'
)
_SERVICE = (
    '{"apiVersion":"v1","kind":"Service","metadata":{"name":"%s","namespace":"%s",'
    '"uid":"%08d-0000-4000-a000-000000000000","resourceVersion":"%d","creationTimestamp":"'
    + _CREATED
    + '","labels":{"app":"web"}},"spec":{"type":"ClusterIP",'
    '"clusterIP":"10.96.0.1","ports":[{"name":"http","port":80,"protocol":"TCP","targetPort":8080}],'
    '"selector":{"app":"web"}}}'
)
_NODE = (
    '{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-%d",'
    '"uid":"%08d-0000-4000-b000-000000000000","resourceVersion":"%d"},"status":{"addresses":'
    '[{"type":"InternalIP","address":"192.168.%d.%d"},{"type":"Hostname","address":"node-%d"}],'
    '"daemonEndpoints":{"kubeletEndpoint":{"Port":10250}}}}'
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Pod number n backs service number n modulo `services`.

    The last pods of the first `live` services are at addresses of `network`.
    """

    network: str
    pods: int = 50_000
    services: int = 10_000
    nodes: int = 1_000
    live: int = 20

    @property
    def makers(self) -> dict[str, tuple[int, Callable[[int, int], bytes]]]:
        """By the path of the list: how many there are, and what makes one of them at a revision."""
        return {
            "/api/v1/pods": (self.pods, self.pod),
            "/api/v1/services": (self.services, self.service),
            "/apis/discovery.k8s.io/v1/endpointslices": (self.services, self.slice),
            "/api/v1/nodes": (self.nodes, self.node),
        }

    def namespace(self, number: int) -> str:
        return f"team-{number % self.services % NAMESPACES}"

    def service_name(self, number: int) -> str:
        return f"web-{number % self.services:05}"

    def pod_name(self, number: int) -> str:
        return f"{self.service_name(number)}-7d9c{number:05}-x7k2p"

    def address(self, number: int) -> str:
        if number >= self.pods - self.services and number % self.services < self.live:
            return f"{self.network}.{10 + number % self.services}"
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def pod(self, number: int, revision: int, phase: str = "Running") -> bytes:
        name, namespace, address, node = (
            self.pod_name(number),
            self.namespace(number),
            self.address(number),
            number % self.nodes,
        )
        values = (
            name,
            namespace,
            number,
            revision,
            number,
            _MANAGED,
            node,
            phase,
            node % 250,
            address,
            address,
        )
        return (_POD % values).encode()

    def service(self, number: int, revision: int) -> bytes:
        return (_SERVICE % (self.service_name(number), self.namespace(number), number, revision)).encode()

    def slice(self, number: int, revision: int, ready: str = "true") -> bytes:
        """Of a live service one endpoint: the others cannot be reached."""
        backing = range(number, self.pods, self.services)
        endpoints = ",".join(
            _ENDPOINT % (self.address(n), ready, n % self.nodes, self.namespace(n), self.pod_name(n), n)
            for n in (backing[-1:] if number < self.live else backing)
        )
        name = self.service_name(number)
        return (_SLICE % (name, self.namespace(number), number, revision, name, endpoints)).encode()

    def node(self, number: int, revision: int) -> bytes:
        return (_NODE % (number, number, revision, number // 250, number % 250, number)).encode()


def _managed() -> str:
    """So much that a pod has POD_BYTES."""
    one = _FIELDS % _FIELD
    return ",".join([one] * ((POD_BYTES - 800) // len(one)))


_MANAGED = _managed()
