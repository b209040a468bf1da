"""The table of resources that this API serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]  # one API object, as in JSON
Key = tuple[str, str, str]  # (resource, namespace or "", name)

CORE = ""
APPS = "apps"
AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
COORDINATION = "coordination.k8s.io"
DISCOVERY = "discovery.k8s.io"
GATEWAY = "gateway.networking.k8s.io"
NETWORKING = "networking.k8s.io"
EVENTS = "events.k8s.io"
RBAC_GROUP = "rbac.authorization.k8s.io"

STATUS = {"deployments", "namespaces", "nodes", "pods", "services"}  # a write of the rest leaves it alone
SCALED = {"deployments"}
NEED_A_KUBELET = {"attach", "exec", "log", "portforward"}  # subresources of pods
READ = ("get", "list", "watch")
OBJECT = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE = ("create",)
NOT_KEPT = ("create", "get", "list", "watch")
WRITE = ("get", "list", "watch", "create", "update")


@dataclass(frozen=True, slots=True)
class Resource:
    """One row of a discovery document; all of these are version v1 of their group."""

    name: str
    kind: str
    group: str = CORE
    namespaced: bool = True
    verbs: tuple[str, ...] = OBJECT
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return api_version(self.group)

    @property
    def qualified(self) -> str:
        """`endpointslices.discovery.k8s.io`, `pods`."""
        return f"{self.name}.{self.group}" if self.group else self.name


def api_version(group: str) -> str:
    return f"{group}/v1" if group else "v1"


RESOURCES = (
    Resource("configmaps", "ConfigMap", short_names=("cm",)),
    Resource("endpoints", "Endpoints", short_names=("ep",)),
    Resource("namespaces", "Namespace", namespaced=False, short_names=("ns",)),
    Resource("nodes", "Node", namespaced=False, short_names=("no",)),
    Resource("pods", "Pod", short_names=("po",)),
    Resource("secrets", "Secret"),
    Resource("serviceaccounts", "ServiceAccount", short_names=("sa",)),
    Resource("services", "Service", short_names=("svc",)),
    # data alone: no controller makes pods of it
    Resource("deployments", "Deployment", APPS, short_names=("deploy",)),
    Resource("endpointslices", "EndpointSlice", DISCOVERY),
    Resource("backendtlspolicies", "BackendTLSPolicy", GATEWAY),
    Resource("servicecidrs", "ServiceCIDR", NETWORKING, namespaced=False),
    # taken from components that say what they do, and not kept: there are none to read
    Resource("events", "Event", verbs=NOT_KEPT, short_names=("ev",)),
    Resource("events", "Event", EVENTS, verbs=NOT_KEPT, short_names=("ev",)),
    Resource("leases", "Lease", COORDINATION, verbs=WRITE),
    Resource("clusterrolebindings", "ClusterRoleBinding", RBAC_GROUP, namespaced=False),
    Resource("clusterroles", "ClusterRole", RBAC_GROUP, namespaced=False),
    Resource("rolebindings", "RoleBinding", RBAC_GROUP),
    Resource("roles", "Role", RBAC_GROUP),
    Resource("selfsubjectreviews", "SelfSubjectReview", AUTHENTICATION, namespaced=False, verbs=CREATE),
    Resource("tokenreviews", "TokenReview", AUTHENTICATION, namespaced=False, verbs=CREATE),
    Resource(
        "selfsubjectaccessreviews", "SelfSubjectAccessReview", AUTHORIZATION, namespaced=False, verbs=CREATE
    ),
    Resource(
        "selfsubjectrulesreviews", "SelfSubjectRulesReview", AUTHORIZATION, namespaced=False, verbs=CREATE
    ),
    Resource("subjectaccessreviews", "SubjectAccessReview", AUTHORIZATION, namespaced=False, verbs=CREATE),
)
GROUPS = tuple(sorted({r.group for r in RESOURCES if r.group}))
BY_NAME = {(r.group, r.name): r for r in RESOURCES}
BY_KIND = {(r.group, r.kind): r for r in RESOURCES if r.verbs == OBJECT}
