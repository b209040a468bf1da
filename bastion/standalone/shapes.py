"""What shape must an object of each kind have?

Only what this API, the bastion and common clients read is looked at.

Source: the validation of Kubernetes 1.36 (`pkg/apis/*/validation`), cut down to types, ranges and duplicates.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from bastion.standalone.rbacshapes import binding, cluster_role, label_selector, role
from bastion.standalone.resources import RBAC_GROUP, Object, Resource
from bastion.standalone.schema import (
    Check,
    InvalidValue,
    address,
    boolean,
    both,
    choice,
    dns_label,
    dns_subdomain,
    each,
    fields,
    integer,
    is_address,
    path_segment,
    port_name_or_number,
    port_number,
    some_strings,
    string,
    string_map,
)

protocol = choice("TCP", "UDP", "SCTP")
truth = choice("True", "False", "Unknown")
conditions = each(fields({"type": string, "status": truth}, required=("type", "status")))
target_ref = fields({"kind": string, "namespace": string, "name": string, "uid": string})

# --- pods, nodes, namespaces

container = fields(
    {
        "name": string,
        "image": string,
        "ports": each(
            fields(
                {"containerPort": port_number, "name": string, "protocol": protocol},
                required=("containerPort",),
            ),
            unique=("name",),
        ),
    }
)
containers = each(container, unique=("name",))
init_containers = both(containers, each(fields({"restartPolicy": string})))
pod = fields(
    {
        "spec": fields(
            {
                "containers": containers,
                "initContainers": init_containers,
                "nodeName": string,
                "hostNetwork": boolean,
                "serviceAccountName": string,
            }
        ),
        "status": fields(
            {
                "phase": choice("Pending", "Running", "Succeeded", "Failed", "Unknown"),
                "podIP": address,
                "podIPs": each(fields({"ip": address}, required=("ip",)), unique=("ip",)),
                "hostIP": address,
                "conditions": conditions,
            }
        ),
    }
)
node = fields(
    {
        "status": fields(
            {
                "addresses": each(fields({"type": string, "address": string}, required=("type", "address"))),
                "conditions": conditions,
                "daemonEndpoints": fields({"kubeletEndpoint": fields({"Port": integer(0, 65535)})}),
            }
        )
    }
)
namespace = fields({"status": fields({"phase": choice("Active", "Terminating")})})

# --- services and what stands behind them


def service_ports(value: Any) -> None:
    """Names are needed from two ports on; number and protocol together are there once."""
    _service_ports(value)
    seen: set[tuple[int, str]] = set()
    for index, port in enumerate(value):
        if len(value) > 1 and not port.get("name"):
            raise InvalidValue("must be set where a service has several ports", f"[{index}].name")
        if (pair := (port["port"], port.get("protocol") or "TCP")) in seen:
            raise InvalidValue(f"{pair[0]}/{pair[1]} is there twice", f"[{index}].port")
        seen.add(pair)


_service_ports = each(
    fields(
        {
            "name": string,
            "port": port_number,
            "targetPort": port_name_or_number,
            "protocol": protocol,
            "appProtocol": string,
        },
        required=("port",),
    ),
    unique=("name",),
)


def cluster_ip(value: Any) -> None:
    if value != "None":  # the word for a headless service
        address(value)


service = fields(
    {
        "spec": fields(
            {
                "ports": service_ports,
                "selector": string_map,
                "type": choice("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
                "clusterIP": cluster_ip,
                "externalName": string,
                "ipFamilies": each(choice("IPv4", "IPv6")),
                "publishNotReadyAddresses": boolean,
            }
        )
    }
)

endpoint_port = {"name": string, "port": port_number, "protocol": protocol, "appProtocol": string}
endpoint_addresses = each(
    fields(
        {"ip": address, "hostname": string, "nodeName": string, "targetRef": target_ref}, required=("ip",)
    ),
)
endpoints = fields(
    {
        "subsets": each(
            fields(
                {
                    "addresses": endpoint_addresses,
                    "notReadyAddresses": endpoint_addresses,
                    "ports": each(fields(endpoint_port, required=("port",)), unique=("name",)),
                }
            )
        )
    }
)


def slice_addresses(value: Object) -> None:
    """Addresses are of the family that the slice says."""
    version = {"IPv4": 4, "IPv6": 6}.get(value["addressType"])
    for index, endpoint in enumerate(value.get("endpoints") or ()):
        for position, text in enumerate(endpoint["addresses"]):
            if version and not is_address(text, version):
                raise InvalidValue(
                    f"must be an {value['addressType']} address", f"endpoints[{index}].addresses[{position}]"
                )


endpoint_slice = both(
    fields(
        {
            "addressType": choice("IPv4", "IPv6", "FQDN"),
            "endpoints": each(
                fields(
                    {
                        "addresses": some_strings,
                        "conditions": fields({"ready": boolean, "serving": boolean, "terminating": boolean}),
                        "targetRef": target_ref,
                        "nodeName": string,
                    },
                    required=("addresses",),
                )
            ),
            "ports": each(fields(endpoint_port), unique=("name",)),
        },
        required=("addressType",),
    ),
    slice_addresses,
)

# --- secrets, deployments


def base64_map(value: Any) -> None:
    string_map(value)
    for name, text in value.items():
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidValue("must be base64", f"[{name}]") from None


secret = fields({"data": base64_map, "stringData": string_map, "type": string})
deployment = fields(
    {
        "spec": fields(
            {
                "replicas": integer(0, 2**31 - 1),
                "selector": label_selector,
                "template": fields(
                    {
                        "metadata": fields({"labels": string_map}),
                        "spec": fields({"containers": containers}, required=("containers",)),
                    },
                    required=("spec",),
                ),
            },
            required=("selector", "template"),
        )
    },
    required=("spec",),
)

# --- all of them

BODIES: dict[str, Check] = {
    "Namespace": namespace,
    "Node": node,
    "Pod": pod,
    "Service": service,
    "Endpoints": endpoints,
    "EndpointSlice": endpoint_slice,
    "ConfigMap": fields({"data": string_map}),
    "Secret": secret,
    "Deployment": deployment,
    "BackendTLSPolicy": fields({}),
    "ServiceAccount": fields({}),
    "ServiceCIDR": fields({"spec": fields({"cidrs": each(string)})}),
    "Role": role,
    "ClusterRole": cluster_role,
    "RoleBinding": binding("Role", "ClusterRole"),
    "ClusterRoleBinding": binding("ClusterRole"),
}
LABEL_NAMED = {"Namespace", "Service"}


def _metadata(resource: Resource) -> Check:
    name = (
        path_segment
        if resource.group == RBAC_GROUP
        else dns_label
        if resource.kind in LABEL_NAMED
        else dns_subdomain
    )
    checks: dict[str, Check] = {"name": name, "uid": string, "labels": string_map, "annotations": string_map}
    checks |= {"creationTimestamp": string, "deletionTimestamp": string}
    if resource.namespaced:
        checks["namespace"] = dns_label
    return fields(checks, required=("name",))


def shape(resource: Resource) -> Check:
    """The check for a whole object of this kind."""
    metadata = fields({"metadata": _metadata(resource)}, required=("metadata",))
    return both(metadata, BODIES[resource.kind])
