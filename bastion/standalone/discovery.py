"""The discovery documents, made from the table of resources; pure."""

from __future__ import annotations

from bastion.standalone.resources import GROUPS, RESOURCES, SCALED, STATUS, Object, Resource, api_version

KUBERNETES = ("1", "36")  # the version whose behaviour and messages this API follows
_CHANGED = ["get", "patch", "update"]


def documents(address: str) -> dict[str, Object]:
    """Path -> document; `address` (host:port) is where clients reach the API."""
    groups = {group: _group(group) for group in GROUPS}
    found: dict[str, Object] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [_server(address)]},
        "/api/v1": _resources(""),
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups.values())},
    }
    for group, document in groups.items():
        found[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **document}
        found[f"/apis/{group}/v1"] = _resources(group)
    found["/"] = {"paths": sorted([*found, "/healthz", "/livez", "/readyz", "/version"])}
    return found


def version() -> Object:
    """`k8s.io/apimachinery/pkg/version.Info`."""
    major, minor = KUBERNETES
    built = {
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }
    return {"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0-bastion", **built}


def _server(address: str) -> Object:
    return {"clientCIDR": "0.0.0.0/0", "serverAddress": address}


def _group(group: str) -> Object:
    served = {"groupVersion": api_version(group), "version": "v1"}
    return {"name": group, "versions": [served], "preferredVersion": served}


def _resources(group: str) -> Object:
    served = [resource for resource in RESOURCES if resource.group == group]
    rows = [row for resource in served for row in (_row(resource), *_subresources(resource))]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version(group),
        "resources": rows,
    }


def _row(resource: Resource) -> Object:
    row: Object = {
        "name": resource.name,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.name in ("deployments", "pods", "services"):
        row["categories"] = ["all"]
    return row


def _subresources(resource: Resource) -> list[Object]:
    common: Object = {"singularName": "", "namespaced": resource.namespaced}
    rows: list[Object] = []
    if resource.name in SCALED:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        rows.append({"name": f"{resource.name}/scale", **common, **scale, "verbs": _CHANGED})
    if resource.name in STATUS:
        rows.append({"name": f"{resource.name}/status", **common, "kind": resource.kind, "verbs": _CHANGED})
    return rows
