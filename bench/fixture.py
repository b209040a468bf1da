"""Which services and users does the bench talk of?  Names, manifests and tokens; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

NAMESPACE = "bench"
GROUP = "bench:users"
BACKEND_PORT = 8080
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Service:
    """Served by a pod on each of `addresses`, at BACKEND_PORT."""

    name: str
    addresses: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """The path below which a bastion serves it."""
        return f"/api/v1/namespaces/{NAMESPACE}/services/{self.name}:80/proxy"


@dataclass(frozen=True, slots=True)
class User:
    name: str
    token: str

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token}"


def web_services(network: str, count: int) -> tuple[Service, ...]:
    """Two pods each.  `network` is the first three numbers of an address."""
    return tuple(
        Service(f"web-{i:02}", (f"{network}.{10 + 2 * i}", f"{network}.{11 + 2 * i}")) for i in range(count)
    )


def token_file(users: Iterable[User]) -> str:
    return "".join(f'{user.token},{user.name},,"{GROUP}"\n' for user in users)


def manifests(services: Sequence[Service]) -> str:
    """YAML, written as JSON documents."""
    objects = [_namespace(), *_rights()]
    for service in services:
        objects.append(_service(service))
        objects += [_pod(service, i, address) for i, address in enumerate(service.addresses)]
    return "".join(f"---\n{json.dumps(o)}\n" for o in objects)


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _rights() -> list[dict[str, Any]]:
    """The group may read through the services, and write."""
    metadata = {"name": "bench-users", "namespace": NAMESPACE}
    rule = {"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get", "create"]}
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": metadata["name"]},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": GROUP}],
        },
    ]


def _service(service: Service) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": service.name},
            "ports": [{"name": "http", "port": 80, "targetPort": BACKEND_PORT}],
        },
    }


def _pod(service: Service, number: int, address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{service.name}-{number}",
            "namespace": NAMESPACE,
            "labels": {"app": service.name},
        },
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "bench/web",
                    "ports": [{"name": "http", "containerPort": BACKEND_PORT}],
                }
            ]
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
