"""· Keeps equal values of many objects once, to save memory."""

from __future__ import annotations

from ipaddress import IPv6Address
from itertools import product
from sys import intern
from typing import TypeVar, cast

from msgspec.structs import force_setattr

from bastion.kube.annotations import kept
from bastion.kube.declaredprobe import DeclaredProbe
from bastion.kube.metadata import AnnotatedMetadata
from bastion.kube.objects import (
    SERVICE_NAME_LABEL,
    EndpointConditions,
    EndpointSlice,
    Hints,
    Node,
    Object,
    Pod,
    PodStatus,
    Service,
    ServicePort,
    UnreadyStatus,
    WirePod,
)
from bastion.kube.podtroubles import is_ready, trouble_of

MOST_PROBES = 4096
_PROBES: dict[DeclaredProbe, DeclaredProbe] = {}

MOST_HINTS = 1024
_HINTS: dict[Hints, Hints] = {}

O = TypeVar("O", bound=Object)  # noqa: E741


def compact(object: O) -> O:
    """Returns the object, with its strings replaced by equal ones of other objects; of a pod what is kept of
    it.

    Call it before the object is shared.
    """
    if isinstance(object, WirePod):
        object = cast(O, _kept(object))
    metadata = object.metadata
    force_setattr(metadata, "namespace", intern(metadata.namespace))
    if isinstance(object, Pod | Service) and object.metadata.annotations is not None:
        force_setattr(metadata, "annotations", kept(object.metadata.annotations))
    if isinstance(object, Pod):
        _compact_pod(object)
    elif isinstance(object, EndpointSlice):
        _compact_slice(object, intern(metadata.namespace))
    elif isinstance(object, Service):
        force_setattr(object.spec, "type", intern(object.spec.type))
        if object.spec.cluster_ips == (object.spec.cluster_ip,):
            force_setattr(object.spec, "cluster_ips", None)  # `cluster_addresses` is the same
        if object.spec.ip_families is not None:
            force_setattr(object.spec, "ip_families", tuple(map(intern, object.spec.ip_families)))
        if object.spec.selector:
            force_setattr(object.spec, "selector", _interned(object.spec.selector))
        _compact_ports(object.spec.ports)
    elif isinstance(object, Node):
        for address in object.status.addresses or ():
            force_setattr(address, "address", one_spelling(address.address))
    return object


def _kept(pod: WirePod) -> Pod:
    """Nothing of a pod that is ready tells why it would not be: there are many of these."""
    metadata, status = pod.metadata, pod.status
    conditions = status.conditions or ()
    told = (status.phase, status.pod_ip, status.pod_ips)
    kept = PodStatus(*told)
    if status.phase != "Succeeded" and (metadata.deletion_timestamp or not is_ready(conditions)):
        trouble = trouble_of(
            status.phase,
            status.reason,
            conditions,
            status.init_container_statuses or (),
            status.container_statuses or (),
            terminating=metadata.deletion_timestamp is not None,
        )
        kept = UnreadyStatus(*told, trouble, _interned(metadata.labels or {}))
    plain = AnnotatedMetadata(
        metadata.name,
        metadata.namespace,
        metadata.uid,
        metadata.creation_timestamp,
        metadata.annotations,
    )
    return Pod(plain, pod.spec, kept)


def _interned(labels: dict[str, str]) -> dict[str, str]:
    return {intern(key): intern(value) for key, value in labels.items()}


def _compact_pod(pod: Pod) -> None:
    status = pod.status
    force_setattr(status, "phase", intern(status.phase))
    force_setattr(status, "pod_ip", one_spelling(status.pod_ip))
    for own in status.pod_ips or ():
        force_setattr(own, "ip", one_spelling(own.ip))
    if status.pod_ips is not None and len(status.pod_ips) == 1 and status.pod_ips[0].ip == status.pod_ip:
        force_setattr(status, "pod_ips", None)  # `addresses` is the same
    if pod.spec.init_containers is not None:
        sidecars = tuple(
            container for container in pod.spec.init_containers if container.sidecar and container.ports
        )
        force_setattr(pod.spec, "init_containers", sidecars or None)
    for container in (*(pod.spec.containers or ()), *(pod.spec.init_containers or ())):
        for port in container.ports or ():
            force_setattr(port, "name", intern(port.name))
            force_setattr(port, "protocol", intern(port.protocol))
        if container.probe is not None:
            force_setattr(container, "readiness_probe", _one_probe(container.probe))
            force_setattr(container, "liveness_probe", None)
            force_setattr(container, "startup_probe", None)


def _one_probe(probe: DeclaredProbe) -> DeclaredProbe:
    """The pods of a deployment declare the same."""
    if len(_PROBES) >= MOST_PROBES:
        _PROBES.clear()
    return _PROBES.setdefault(probe, probe)


def _one_hint(hints: Hints) -> Hints:
    """A cluster has few zones."""
    if len(_HINTS) >= MOST_HINTS:
        _HINTS.clear()
    return _HINTS.setdefault(hints, hints)


def _compact_slice(piece: EndpointSlice, namespace: str) -> None:
    if piece.metadata.labels is not None:
        force_setattr(piece.metadata, "labels", {SERVICE_NAME_LABEL: piece.service})
    for port in piece.ports or ():
        force_setattr(port, "name", intern(port.name) if port.name is not None else None)
        force_setattr(port, "protocol", intern(port.protocol) if port.protocol is not None else None)
    for endpoint in piece.endpoints or ():
        said = endpoint.conditions
        force_setattr(endpoint, "conditions", _CONDITIONS[said.ready, said.serving, said.terminating])
        if any(":" in address for address in endpoint.addresses):
            force_setattr(endpoint, "addresses", tuple(map(one_spelling, endpoint.addresses)))
        if endpoint.zone is not None:
            force_setattr(endpoint, "zone", intern(endpoint.zone))
        if endpoint.hints is not None:
            force_setattr(endpoint, "hints", _one_hint(endpoint.hints))
        reference = endpoint.target_ref
        if reference is not None:
            force_setattr(reference, "kind", intern(reference.kind))
            force_setattr(
                reference,
                "namespace",
                namespace if reference.namespace == namespace else intern(reference.namespace),
            )


def _compact_ports(ports: tuple[ServicePort, ...] | None) -> None:
    for port in ports or ():
        force_setattr(port, "name", intern(port.name))
        force_setattr(port, "protocol", intern(port.protocol))


_CONDITIONS = {said: EndpointConditions(*said) for said in product((True, False, None), repeat=3)}


def one_spelling(address: str) -> str:
    """The canonical spelling: an IPv6 address has many (RFC 5952), and a pod's status may differ from its
    slice.  Text that is not an address stays as it is.
    """
    if ":" not in address:
        return address
    try:
        return str(IPv6Address(address))
    except ValueError:
        return address
