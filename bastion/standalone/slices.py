"""Which EndpointSlices does a Service have that nobody wrote down?

Services, Pods and Endpoints in, slices out; pure.

In a cluster controllers make them.  Here they are made of the Endpoints of the same name, or where there are
none, of the pods that the selector chooses.  Sources: `pkg/controller/util/endpoint`,
`staging/src/k8s.io/endpointslice`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bastion.kube.objects import SERVICE_NAME_LABEL
from bastion.standalone.resources import DISCOVERY, Key, Object, api_version

MANAGED_BY = ("endpointslice.kubernetes.io/managed-by", "bastion-standalone")
MOST_ENDPOINTS = 1000  # of one slice, the API's own limit

Port = tuple[str, int, str, str]  # name, number, protocol, appProtocol or ""
Label = tuple[str, str, str]  # namespace, key, value
Group = tuple[str, tuple[Port, ...]]  # (addressType, ports): what the endpoints of one slice have in common


def derived_slices(objects: Mapping[Key, Object]) -> dict[Key, Object]:
    """Slices for all services that have none of their own."""
    served = {
        (namespace, (slice["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL))
        for (resource, namespace, _), slice in objects.items()
        if resource == "endpointslices"
    }
    pods = _by_label(objects)
    derived: dict[Key, Object] = {}
    for (resource, namespace, name), service in objects.items():
        if resource == "services" and (namespace, name) not in served:
            endpoints = objects.get(("endpoints", namespace, name))
            for slice in _slices_of(service, endpoints, pods):
                derived["endpointslices", namespace, slice["metadata"]["name"]] = slice
    return derived


def _by_label(objects: Mapping[Key, Object]) -> defaultdict[Label, list[Object]]:
    pods: defaultdict[Label, list[Object]] = defaultdict(list)
    for key in sorted(key for key in objects if key[0] == "pods"):
        for label in objects[key]["metadata"].get("labels", {}).items():
            pods[key[1], *label].append(objects[key])
    return pods


def _slices_of(service: Object, endpoints: Object | None, pods: Mapping[Label, list[Object]]) -> list[Object]:
    spec = service.get("spec", {})
    if spec.get("type") == "ExternalName":
        return []
    if endpoints is not None:
        groups = _from_subsets(endpoints)
    elif spec.get("selector"):
        first = next(iter(spec["selector"].items()))
        groups = _from_pods(spec, pods.get((service["metadata"]["namespace"], *first), ()))
    else:
        return []
    return [
        _slice(service, group, members[start : start + MOST_ENDPOINTS], start // MOST_ENDPOINTS)
        for group, members in groups.items()
        for start in range(0, len(members), MOST_ENDPOINTS)
    ]


def _slice(service: Object, group: Group, members: list[Object], number: int) -> Object:
    family, ports = group
    # Named after what its endpoints have in common, so that a pod that comes or goes changes a slice and
    # replaces none.
    digest = hashlib.sha256(repr((group, number)).encode()).hexdigest()[:10]
    name = service["metadata"]["name"]
    return {
        "apiVersion": api_version(DISCOVERY),
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{digest}",
            "namespace": service["metadata"]["namespace"],
            "labels": {SERVICE_NAME_LABEL: name, MANAGED_BY[0]: MANAGED_BY[1]},
        },
        "addressType": family,
        "endpoints": members,
        "ports": [
            {"name": port, "port": target, "protocol": protocol} | ({"appProtocol": app} if app else {})
            for port, target, protocol, app in ports
        ],
    }


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def _conditions(*, ready: bool, serving: bool, terminating: bool) -> Object:
    return {"ready": ready, "serving": serving, "terminating": terminating}


# --- of Endpoints


def _from_subsets(endpoints: Object) -> dict[Group, list[Object]]:
    groups: defaultdict[Group, list[Object]] = defaultdict(list)
    for subset in endpoints.get("subsets", ()):
        ports = tuple(_port(port, port["port"]) for port in subset.get("ports", ()))
        for addresses, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(addresses, ()):
                member: Object = {
                    "addresses": [address["ip"]],
                    "conditions": _conditions(ready=ready, serving=ready, terminating=False),
                }
                member |= {
                    name: address[name] for name in ("hostname", "nodeName", "targetRef") if name in address
                }
                groups[_family(address["ip"]), ports].append(member)
    return groups


def _port(port: Mapping[str, Any], number: int) -> Port:
    return port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol", "")


# --- of pods


def _from_pods(spec: Mapping[str, Any], pods: Iterable[Object]) -> dict[Group, list[Object]]:
    """Pods of which a named port means different numbers go to different slices."""
    wanted = spec["selector"].items()
    groups: defaultdict[Group, list[Object]] = defaultdict(list)
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        if all(labels.get(key) == value for key, value in wanted) and not _ended(pod):
            ports = tuple(
                _port(port, number)
                for port in spec.get("ports", ())
                if (number := _target(port, pod)) is not None
            )
            for address in _addresses(spec, pod):
                groups[_family(address), ports].append(_member(spec, pod, address))
    return groups


def _ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _target(port: Mapping[str, Any], pod: Object) -> int | None:
    """None where the pod has no port of that name and protocol: it then serves the service's other ports."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    spec = pod.get("spec", {})
    sidecars = (
        container
        for container in spec.get("initContainers", ())
        if container.get("restartPolicy") == "Always"
    )
    for container in (*spec.get("containers", ()), *sidecars):
        for declared in container.get("ports", ()):
            if declared.get("name") == target and declared.get("protocol", "TCP") == port.get(
                "protocol", "TCP"
            ):
                return int(declared["containerPort"])
    return None


def _addresses(spec: Mapping[str, Any], pod: Object) -> list[str]:
    """The pod's address of each family that the service has; of a service that does not say, the pod's
    first.
    """
    status = pod.get("status", {})
    own = [entry["ip"] for entry in status.get("podIPs", ())] or [status.get("podIP", "")]
    own = [address for address in own if address]
    families = spec.get("ipFamilies") or ()
    if not families and own:
        families = (
            _family(spec["clusterIP"])
            if spec.get("clusterIP") not in (None, "", "None")
            else _family(own[0]),
        )
    return [
        next(a for a in own if _family(a) == family)
        for family in families
        if any(_family(a) == family for a in own)
    ]


def _member(spec: Mapping[str, Any], pod: Object, address: str) -> Object:
    metadata = pod["metadata"]
    serving = any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ())
    )
    terminating = "deletionTimestamp" in metadata
    ready = bool(spec.get("publishNotReadyAddresses")) or (serving and not terminating)
    member: Object = {
        "addresses": [address],
        "conditions": _conditions(ready=ready, serving=serving, terminating=terminating),
        "targetRef": {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"]},
    }
    if "nodeName" in pod.get("spec", {}):
        member["nodeName"] = pod["spec"]["nodeName"]
    return member
