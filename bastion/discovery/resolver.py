"""· Where does a target lead?  Target in, endpoints or StatusError out; no I/O.

Only addresses that the API gave and that belong to the target are dialled; ports are named by number or name;
the scheme is that of the id or of the port.  Messages and rules are kube-apiserver's, but for the differences
in docs/compatibility.md, "Where a target leads".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace

from bastion.cluster.outage import unreadable
from bastion.discovery.backendtls import BackendTrust
from bastion.discovery.backing import EndpointFinder, wish_of
from bastion.discovery.catalog import Catalog, Key
from bastion.discovery.kubelets import kubelet_port, node_address
from bastion.discovery.lacking import NOT_DIALLED, no_address, no_endpoints, why_none
from bastion.discovery.policy import policy_of
from bastion.discovery.ports import Spoken, pod_port, port_number, ports_offered, spoken
from bastion.discovery.resolution import PICKED, NoneReady, Resolution, recalled, remembered, unknown
from bastion.kube.annotations import BackendProtocol, EndpointPolicy
from bastion.kube.endpoint import KUBELET, Endpoint, TLSProfile
from bastion.kube.errors import error_of, not_found, refused
from bastion.kube.errorword import Word
from bastion.kube.errorwords import (
    ADDRESS_REFUSED,
    API_SERVER_AWAY,
    BAD_TARGET,
    EXTERNAL_NAME_NOT_FOLLOWED,
    KUBELET_PATH_REFUSED,
    NAMESPACE_NOT_SERVED,
    NO_SUCH_PORT,
    NODE_HAS_NO_ADDRESS,
    NODE_PROXY_OFF,
    POD_HAS_NO_ADDRESS,
    PORT_NEEDED,
)
from bastion.kube.objects import TCP, Pod, Service, ServicePort
from bastion.kube.status import StatusError, quoted
from bastion.kube.target import Target
from bastion.network.addresses import DialPolicy

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
# results kept of one object: a service has few ports, a pod can be asked for all 65535
SERVICE_PORTS, POD_PORTS = 64, 4


class Resolver:
    """`nodes`: whether targets of the resource nodes are served at all (--enable-node-proxy); `namespaces`:
    of which pods and services are served, empty for all (--namespaces); `on_truncated` is called with a
    service that lists more than is looked at; `zone` is the one here; `trust` says which TLS is verified.
    """

    def __init__(
        self,
        catalog: Catalog,
        policy: DialPolicy,
        *,
        nodes: bool,
        namespaces: Collection[str] = (),
        on_truncated: Callable[[Key], None] = lambda service: None,
        zone: str = "",
        trust: BackendTrust | None = None,
    ) -> None:
        self._trust = trust or BackendTrust(catalog)
        self._catalog = catalog
        self._policy = policy
        self._nodes = nodes
        self._namespaces = frozenset(namespaces)
        self._endpoints = EndpointFinder(catalog, policy, on_truncated, zone)

    @property
    def revision(self) -> int:
        """Changes with whatever may change where a target leads."""
        return self._catalog.revision

    def resolve(self, target: Target, pod: str = "") -> Resolution:
        """`pod`: the one of a service that is to serve the request, whatever its state.

        Raises StatusError: 400 shape or address, 403 nodes not served, 404 no such target (UnknownTarget),
        503 not ready, or Unfinished.
        """
        if target.resource == "nodes" and not self._nodes:
            raise refused(
                NODE_PROXY_OFF,
                "this bastion does not serve nodes: it was started without --enable-node-proxy",
                "nodes",
                target.id,
            )
        if self._namespaces and target.namespace and target.namespace not in self._namespaces:
            served = ", ".join(sorted(self._namespaces))
            raise not_found(
                target.resource,
                target.name,
                f"this bastion serves the namespaces {served} only (--namespaces)",
                NAMESPACE_NOT_SERVED,
            )
        if False in self._catalog.synced.values():
            if self._catalog.refused:
                raise unreadable(", ".join(sorted(self._catalog.refused)))
            raise error_of(
                API_SERVER_AWAY,
                "this bastion has not yet read the cluster's objects; try again shortly",
                retry_after=1,
            )
        if target.resource == "services":
            return self._service(target) if not pod else self._picked(target, pod)
        return self._pod(target) if target.resource == "pods" else self._node(target)

    def tls(self, target: Target) -> TLSProfile | None:
        """How TLS is spoken to a service or pod, whether or not any endpoint is ready; None: it is not, or it
        cannot be said.
        """
        key = (target.namespace, target.name)
        try:
            if target.resource == "services":
                return self._port_of(target)[2].tls
            pod = self._catalog.pods.get(key) if target.resource == "pods" else None
            return self._spoken_by_pod(key, pod, target)[1].tls if pod is not None else None
        except StatusError:
            return None

    # --- services

    def _service(self, target: Target) -> Resolution:
        key = (target.namespace, target.name)
        known = recalled(self._catalog.memos.services, key, target)
        if known is None:
            known = self._of_port(key, *self._port_of(target), target)
            remembered(self._catalog.memos.services, key, target, known, SERVICE_PORTS)
        if not known.endpoints:
            raise self._why_none(target, truncated=known.truncated)
        return known

    def _why_none(self, target: Target, *, truncated: bool) -> NoneReady:
        """Found out when it is asked: pods that no slice names tell of it."""
        service = self._catalog.services[(target.namespace, target.name)]
        port = self._service_port(service, target)
        return why_none(self._catalog, target, service, port.name, truncated=truncated).of(NoneReady)

    def _port_of(self, target: Target) -> tuple[Service, ServicePort, Spoken]:
        service = self._catalog.services.get((target.namespace, target.name))
        if service is None:
            raise unknown(target)
        port = self._service_port(service, target)
        key, plain = (target.namespace, target.name), target.scheme == "http"
        protocol = policy_of(self._catalog, BackendProtocol, "services", key).protocol
        said = spoken(target, protocol, port.app_protocol, port.name, port.port)
        return service, port, self._trust.of_service(key, port.name, said, plain=plain)

    def _of_port(
        self, key: Key, service: Service, port: ServicePort, said: Spoken, target: Target
    ) -> Resolution:
        """One for all ids that name the port: what is balanced is the port, and not how it is called."""
        memo = self._catalog.memos.services.of(*key)
        known: Resolution | None = memo.get((port.port, said))
        if known is None:
            found = self._endpoints.find(target, port.name, said, wish_of(service.spec))
            known = memo[(port.port, said)] = Resolution(
                ("services", *key, port.port),
                found.endpoints,
                found.standby,
                truncated=self._endpoints.is_truncated(target),
                policy=self._policy_of(key, service),
            )
        return known

    def _policy_of(self, key: Key, service: Service) -> EndpointPolicy:
        """With the affinity that the annotation says, or else the Service itself."""
        memo = self._catalog.memos.services.of(*key)
        policy: EndpointPolicy | None = memo.get("policy")
        if policy is None:
            policy = policy_of(self._catalog, EndpointPolicy, "services", key)
            policy = replace(policy, affinity=policy.affinity or service.spec.session_affinity)
            memo["policy"] = policy
        return policy

    def _picked(self, target: Target, pod: str) -> Resolution:
        """Its pod of this name, ready or not."""
        service, port, said = self._port_of(target)
        found = self._endpoints.of_pod(target, port.name, said, wish_of(service.spec), pod)
        if not found.endpoints:
            raise not_found("pods", pod, f"it is no endpoint of service {quoted(target.name)}")
        key = ("pods", target.namespace, pod, port.port)
        return Resolution(key, found.endpoints, standby=found.standby, policy=PICKED)

    def _service_port(self, service: Service, target: Target) -> ServicePort:
        if service.spec.type == "ExternalName":
            raise no_endpoints(EXTERNAL_NAME_NOT_FOLLOWED, target.id, "an ExternalName is not followed")
        ports = tuple(port for port in service.spec.ports or () if port.protocol == TCP)
        if not ports and service.spec.ports:
            raise no_endpoints(
                NO_SUCH_PORT, target.id, f"HTTP is spoken over TCP; {ports_offered(service.spec.ports)}"
            )
        if _INTEGER.fullmatch(target.port) and -(2**63) <= (number := int(target.port)) < 2**63:
            port = next((p for p in ports if p.port == number), None)
            if port is None:
                raise error_of(
                    NO_SUCH_PORT,
                    f"no service port {number} found for service {quoted(target.name)}",
                    ports_offered(ports),
                )
        elif target.port:
            port = next((p for p in ports if p.name == target.port), None)
            if port is None:
                raise no_endpoints(NO_SUCH_PORT, target.id, f"no port of this name: {ports_offered(ports)}")
        else:
            port = ports[0] if len(ports) == 1 else next((p for p in ports if not p.name), None)
            if port is None:
                raise no_endpoints(PORT_NEEDED, target.id, f"say which port: {ports_offered(ports)}")
        return port

    # --- pods

    def _pod(self, target: Target) -> Resolution:
        key = (target.namespace, target.name)
        known = recalled(self._catalog.memos.pods, key, target)
        if known is not None:
            return known
        pod = self._catalog.pods.get(key)
        if pod is None:
            raise unknown(target)
        number, said = self._spoken_by_pod(key, pod, target)
        number = number or (443 if said.tls is not None else 80)
        addresses = pod.addresses
        if not addresses:
            raise no_address(pod)
        self._check_pod_address(pod, addresses[0], number, target)
        others = tuple(
            Endpoint(address, number, *said)
            for address in addresses[1:]
            if self._may_stand_by(pod, address, number)
        )
        first = Endpoint(addresses[0], number, *said)
        resolved = Resolution(("pods", *key, number), (first,), standby=others)
        return remembered(self._catalog.memos.pods, key, target, resolved, POD_PORTS)

    def _spoken_by_pod(self, key: Key, pod: Pod, target: Target) -> tuple[int, Spoken]:
        number, name = pod_port(pod, target)
        protocol = policy_of(self._catalog, BackendProtocol, "pods", key).protocol
        return number, self._trust.of_pod(key, spoken(target, protocol, None, name, number))

    def _check_pod_address(self, pod: Pod, address: str, number: int, target: Target) -> None:
        """Raises StatusError."""
        if not self._catalog.owns(pod, address):
            ended = f"the pod has ended ({pod.status.phase}), its address may be another's"
            raise _not_allowed(
                POD_HAS_NO_ADDRESS, ended if pod.terminal else "the pod's address belongs to a newer pod"
            )
        if not self._policy.permits(address, number):
            raise _not_allowed(ADDRESS_REFUSED, NOT_DIALLED)
        if self._policy.reaches_kubelet(address, number):
            raise refused(
                KUBELET_PATH_REFUSED,
                "that is a kubelet: it is reached only as its node (nodes/<name>)",
                "pods",
                target.id,
            )

    def _may_stand_by(self, pod: Pod, address: str, number: int) -> bool:
        permitted = self._policy.permits(address, number) and not self._policy.reaches_kubelet(
            address, number
        )
        return permitted and self._catalog.owns(pod, address)

    # --- nodes

    def _node(self, target: Target) -> Resolution:
        node = self._catalog.nodes.get(target.name)
        if node is None:
            raise unknown(target)
        address = node_address(node)
        if address is None:
            raise error_of(NODE_HAS_NO_ADDRESS, f"node {quoted(target.name)} has no address that is an IP")
        kubelet = kubelet_port(node)
        number = port_number(target.port) if target.port else kubelet
        if number is None:
            raise error_of(
                BAD_TARGET,
                f"invalid node request {quoted(target.id)}",
                "the port of a node is a number from 1 to 65535",
            )
        if not self._policy.permits(address, number):
            raise _not_allowed(ADDRESS_REFUSED, NOT_DIALLED)
        if number == kubelet or self._policy.reaches_kubelet(address, number):
            # As in kube-apiserver: always TLS with the kubelet client certificate, whatever scheme the id
            # has.
            endpoint = Endpoint(address, number, KUBELET)
        else:
            endpoint = Endpoint(address, number, *spoken(target, "", None, "", number))
        return Resolution(("nodes", "", target.name, number), (endpoint,))


def _not_allowed(word: Word, why: str) -> StatusError:
    return error_of(word, "address not allowed", why, code=400)
