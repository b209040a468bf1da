"""Services, slices and Nodes in few words."""

from __future__ import annotations

from typing import Any

import msgspec

from bastion.node.endpoints import Place
from bastion.node.fronts import Fronts, fronts_of
from bastion.node.objects import EndpointSlice, Node, Service

PLACE = Place("node1", "zone-a", ("172.30.0.11", "fd30::11"))
WEB = {"name": "http", "port": 80}


def service(
    name: str = "web",
    addresses: tuple[str, ...] = ("10.96.1.1",),
    ports: tuple[dict[str, Any], ...] = (WEB,),
    *,
    created: str = "2026-01-01T00:00:00Z",
    labels: dict[str, str] | None = None,
    ingress: tuple[dict[str, str], ...] = (),
    **spec: Any,
) -> Service:
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "creationTimestamp": created,
                "labels": labels or {},
            },
            "spec": {"clusterIP": addresses[0], "clusterIPs": addresses, "ports": ports, **spec},
            "status": {"loadBalancer": {"ingress": ingress}},
        },
        Service,
    )


def endpoint(address: str, node: str | None = "node1", **more: Any) -> dict[str, Any]:
    """`ready`, `serving`, `terminating`, `zones`, `nodes`."""
    conditions = {key: more[key] for key in ("ready", "serving", "terminating") if key in more}
    hints = {
        wire: [{"name": name} for name in more[key]]
        for key, wire in (("zones", "forZones"), ("nodes", "forNodes"))
        if key in more
    }
    found: dict[str, Any] = {"addresses": [address], "conditions": conditions}
    if node:
        found["nodeName"] = node
    if hints:
        found["hints"] = hints
    return found


def endpoints(
    *found: dict[str, Any],
    of: str = "web",
    name: str = "web-1",
    port: int | None = 8080,
    port_name: str | None = "http",
    protocol: str = "TCP",
    type: str = "IPv4",
) -> EndpointSlice:
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": of},
            },
            "addressType": type,
            "ports": [{"name": port_name, "port": port, "protocol": protocol}],
            "endpoints": found,
        },
        EndpointSlice,
    )


def node(**more: Any) -> Node:
    return msgspec.convert({"metadata": {"name": "node1", **more.pop("metadata", {})}, **more}, Node)


def fronts(one: Service, *slices: EndpointSlice, family: str = "IPv4", place: Place = PLACE) -> Fronts:
    return fronts_of(one, slices, family, place)
