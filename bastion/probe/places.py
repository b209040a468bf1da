"""Where a target leads, each pod on its own, by the same rules as a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bastion.discovery.catalog import Catalog
from bastion.discovery.pathrules import path_groups
from bastion.discovery.ports import port_number
from bastion.discovery.resolution import NoneReady, Resolution
from bastion.kube.endpoint import KUBELET, Endpoint
from bastion.kube.errors import error_of
from bastion.kube.errorwords import ADDRESS_REFUSED
from bastion.kube.objects import Pod
from bastion.kube.pathgroups import is_clear, path_of
from bastion.network.addresses import DialPolicy
from bastion.probe.target import ProbeTarget
from bastion.proxy.kubelet import check_kubelet_request
from bastion.proxy.router import Router
from bastion.runtime.turns import Key

UDP = "UDP"


class Place(NamedTuple):
    """`candidates` are the addresses of one endpoint, that of the users' own path first; `pod` its name."""

    candidates: tuple[Endpoint, ...]
    pod: str

    @property
    def endpoint(self) -> str:
        return str(self.candidates[0])


class Places:
    def __init__(self, router: Router, catalog: Catalog, policy: DialPolicy) -> None:
        self._router = router
        self._catalog = catalog
        self._policy = policy

    async def of(self, target: ProbeTarget, asker: Key, *, udp: bool = False) -> list[Place]:
        """Empty where a service has no ready endpoint.  Raises StatusError."""
        if udp and (found := self._over_udp(target)) is not None:
            return found
        try:
            resolved = await self._router.resolved(target.proxied(), asker)
        except NoneReady:
            return []
        if target.resource != "services":
            first = resolved.endpoints[0]
            if first.tls == KUBELET:
                check_kubelet_request(target.path, target.id)
            name = target.named.name if target.resource == "pods" else ""
            return [Place((first, *resolved.standby), name)]
        return self._by_pod(target, resolved)

    def pod(self, target: ProbeTarget, place: Place) -> Pod | None:
        return self._catalog.pods.get((target.namespace, place.pod))

    def same_right(self, target: ProbeTarget, rest: bytes) -> bool:
        """Whether a right to the target's path is one to this path as well."""
        groups = path_groups(self._catalog, target.attributes("get"))
        path = path_of(rest)
        return groups is None or (is_clear(path) and groups.group(path) == groups.group(path_of(target.rest)))

    def _by_pod(self, target: ProbeTarget, resolved: Resolution) -> list[Place]:
        names = self._names(target)
        others: dict[str, list[Endpoint]] = {}
        for endpoint in resolved.standby:
            others.setdefault(names.get(endpoint.address, ""), []).append(endpoint)
        return [
            Place((endpoint, *(one for one in others.get(name, ()) if one != endpoint)), name)
            for endpoint in resolved.endpoints
            for name in [names.get(endpoint.address, "")]
        ]

    def _names(self, target: ProbeTarget) -> Mapping[str, str]:
        """The pod at each address that the service's slices list."""
        slices = self._catalog.slices_of(target.namespace, target.named.name)
        return {
            address: endpoint.target_ref.name
            for piece in slices.values()
            for endpoint in piece.endpoints or ()
            if endpoint.target_ref is not None
            for address in endpoint.addresses
        }

    # --- over UDP, which no proxied request is

    def _over_udp(self, target: ProbeTarget) -> list[Place] | None:
        """None where no port of UDP is meant: then the port of TCP has the number."""
        named = target.named
        if target.resource == "services":
            return self._service_over_udp(target, named.port)
        pod = self._catalog.pods.get((target.namespace, named.name)) if target.resource == "pods" else None
        if pod is None or not pod.addresses:
            return None
        number = next(
            (
                port.container_port
                for port in pod.ports
                if port.protocol == UDP and named.port in (port.name, str(port.container_port), "")
            ),
            port_number(named.port),
        )
        if number is None:
            return None
        address = pod.addresses[0]
        if not self._may_dial(pod, address, number):
            raise error_of(
                ADDRESS_REFUSED,
                "address not allowed",
                "not one that this bastion may dial (--allow-target-cidr)",
                code=400,
            )
        return [Place((Endpoint(address, number),), named.name)]

    def _service_over_udp(self, target: ProbeTarget, wanted: str) -> list[Place] | None:
        service = self._catalog.services.get((target.namespace, target.named.name))
        ports = [p for p in (service.spec.ports or () if service else ()) if p.protocol == UDP]
        port = next((p for p in ports if wanted in (p.name, str(p.port), "")), None)
        if port is None:
            return None
        found = []
        for piece in self._catalog.slices_of(target.namespace, target.named.name).values():
            number = next(
                (p.port for p in piece.ports or () if (p.name or "") == port.name and p.protocol == UDP), None
            )
            for endpoint in piece.endpoints or () if number else ():
                name = endpoint.target_ref.name if endpoint.target_ref is not None else ""
                pod = self._catalog.pods.get((target.namespace, name))
                for address in endpoint.addresses if endpoint.ready and pod is not None else ():
                    if self._may_dial(pod, address, number or 0):
                        found.append(Place((Endpoint(address, number or 0),), name))
        return found

    def _may_dial(self, pod: Pod | None, address: str, number: int) -> bool:
        return (
            pod is not None
            and self._catalog.owns(pod, address)
            and self._policy.permits(address, number)
            and not self._policy.reaches_kubelet(address, number)
        )
