"""Objects and manifests that the tests of the embedded API are made of."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.standalone.resources import BY_KIND, Key, Object

RBAC_API = "rbac.authorization.k8s.io/v1"


def pod(
    name: str, *, namespace: str = "default", ip: str = "10.0.0.1", ready: bool = True, **more: Any
) -> Object:
    """`ports`: [(name, number)]; `phase`, `labels`, `ips`, `deleted` as they are called."""
    metadata: Object = {"name": name, "namespace": namespace, "labels": more.get("labels", {"app": "web"})}
    if more.get("deleted"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ports = [{"name": port, "containerPort": number} for port, number in more.get("ports", [("http", 8080)])]
    status: Object = {
        "phase": more.get("phase", "Running"),
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": address} for address in more.get("ips", [ip])]}
    spec = {"nodeName": "node-a", "containers": [{"name": "main", "ports": ports}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def service(
    name: str, *, namespace: str = "default", selector: dict[str, str] | None = None, **spec: Any
) -> Object:
    body: Object = {"ports": [{"name": "http", "port": 80, "targetPort": "http"}], **spec}
    if selector is not None:
        body["selector"] = selector
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": body,
    }


def role(name: str, *rules: Object, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    kind = "Role" if namespace else "ClusterRole"
    metadata = (
        {"name": name}
        | ({"namespace": namespace} if namespace else {})
        | ({"labels": labels} if labels else {})
    )
    return {"apiVersion": RBAC_API, "kind": kind, "metadata": metadata, "rules": list(rules)}


def rule(verbs: str, groups: str = "", resources: str = "", names: str = "") -> Object:
    """Blank-separated words; a group is written `core` for the empty one."""
    made = {
        "verbs": verbs.split(),
        "apiGroups": ["" if g == "core" else g for g in groups.split()],
        "resources": resources.split(),
    }
    return made | ({"resourceNames": names.split()} if names else {})


def path_rule(verbs: str, paths: str) -> Object:
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}


def binding(name: str, ref: str, *subjects: str, namespace: str = "") -> Object:
    """`ref`: `Role/name` or `ClusterRole/name`; subjects: `User/alice`, `Group/devs`,
    `ServiceAccount/ns/name`.
    """
    kind, _, role_name = ref.partition("/")
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": RBAC_API,
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role_name},
        "subjects": [_subject(subject) for subject in subjects],
    }


def _subject(text: str) -> Object:
    kind, *rest = text.split("/")
    if kind == "ServiceAccount":
        return {"kind": kind, "name": rest[-1]} | ({"namespace": rest[0]} if len(rest) > 1 else {})
    return {"kind": kind, "name": "/".join(rest)}


def by_key(*objects: Object) -> dict[Key, Object]:
    found = {}
    for object in objects:
        group = object["apiVersion"].rpartition("/")[0]
        metadata = object["metadata"]
        found[BY_KIND[group, object["kind"]].name, metadata.get("namespace", ""), metadata["name"]] = object
    return found


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def user(name: str, *groups: str) -> User:
    return User(name, groups=groups)


def on(verb: str, resource: str, namespace: str = "", *, group: str = "", name: str = "") -> Attributes:
    resource, _, subresource = resource.partition("/")
    return Attributes(verb, group, "v1", namespace, resource, subresource, name)


def path(verb: str, where: str) -> Attributes:
    return Attributes(verb, path=where)
