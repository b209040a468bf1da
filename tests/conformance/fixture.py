"""What cluster do the cases speak of?

Its objects, its users and their tokens, for pods on the loopback net of your choice.

Everything is a row below; the functions only give the rows their Kubernetes shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

NODE = ".30"  # the host number of node-a, behind the network's prefix
HTTP = [("http", 8080)]
EVERY_VERB = ("*",)

USERS = {  # and their groups; a user's token is `<user>-token`
    "admin": ["system:masters"],
    "alice": ["devs"],  # proxies to pods and services, by every verb, everywhere
    "bob": [],  # may nothing
    "carol": [],  # as alice, but only get
    "dave": [],  # gets the services called "web:80" and "http:web:80", by these very names
    "erin": [],  # as alice, but in team-a alone
    "frank": [],  # nodes, by every verb
    "grace": ["qa"],  # gets services, because qa may
    "heidi": [],  # get and create on "*/proxy"
    "ivan": [],  # may be alice, and of qa
    "judy": [],  # pods and services themselves, but not their proxy
    "the-bastion": [],  # what the bastion asks an API server as
}

NAMESPACES = ("default", "team-a", "empty")

NODES = [  # name, address
    ("node-a", NODE),
    ("node-noaddr", None),
    ("node-loop", "127.0.0.1"),
    ("node-meta", "169.254.169.254"),
]


@dataclass(frozen=True, slots=True)
class Pod:
    """`address`: its host number, a whole address, or None while it has none.

    `ports`: those of each container.
    """

    name: str
    address: str | None
    containers: Sequence[Sequence[tuple[str, int]]] = (HTTP,)
    namespace: str = "default"
    ready: bool = True
    host_network: bool = False


WEB_0 = Pod("web-0", ".10")
WEB_1 = Pod("web-1", ".11")
MULTI = Pod("multi", ".12", ([], [("metrics", 9090), ("http", 8080)]))
TLS = Pod("tls", ".14", ([("https", 8443)],))
DEAD = Pod("dead", ".15")  # nobody listens there
UNREADY = Pod("unready", ".16", ready=False)
API_0 = Pod("api-0", ".20", namespace="team-a")
PODS = [
    WEB_0,
    WEB_1,
    MULTI,
    Pod("noport", ".13", ([],)),
    TLS,
    DEAD,
    Pod("hostnet", NODE, host_network=True),
    UNREADY,
    Pod("pending", None),
    Pod("loop", "127.0.0.1"),
    Pod("meta", "169.254.169.254"),
    Pod("mcast", "224.0.0.1"),
    Pod("zero", "0.0.0.0"),
    API_0,
]


@dataclass(frozen=True, slots=True)
class Slice:
    """`says`: which pod is behind an address, where that is not the truth; None for no pod at all."""

    pods: Sequence[Pod]
    ports: Sequence[tuple[str, int]] = (("http", 8080),)
    says: str | None = ""


@dataclass(frozen=True, slots=True)
class Service:
    """`without_subsets`: nothing of it is served, and the legacy Endpoints object says so."""

    name: str
    slices: Sequence[Slice] = ()
    ports: Sequence[tuple[str, int, int]] = (("http", 80, 8080),)  # name, port, target
    namespace: str = "default"
    kind: str = ""
    headless: bool = False
    without_subsets: bool = False


SERVICES = [
    Service("web", [Slice([WEB_0, WEB_1])]),
    Service("single", [Slice([WEB_0])]),
    Service("unnamed", [Slice([WEB_0], [("", 8080)])], [("", 80, 8080)]),
    Service(
        "multi",
        [Slice([MULTI], [("http", 8080), ("metrics", 9090)])],
        [("http", 80, 8080), ("metrics", 9090, 9090)],
    ),
    Service("tls", [Slice([TLS], [("https", 8443)])], [("https", 443, 8443)]),
    Service(
        "split", [Slice([WEB_0]), Slice([WEB_1], [("alt", 8081)])], [("http", 80, 8080), ("alt", 81, 8081)]
    ),
    Service("noeps"),
    Service("empty", without_subsets=True),
    Service("notready", [Slice([UNREADY])]),
    Service("half", [Slice([WEB_0, UNREADY])]),
    Service("dead", [Slice([DEAD])]),
    Service("ghost", [Slice([WEB_0], says="gone")]),
    Service("noref", [Slice([WEB_0], says=None)]),
    Service("stolen", [Slice([WEB_1], says="web-0")]),
    Service("ext", ports=[("http", 80, 80)], kind="ExternalName"),
    Service("headless", [Slice([WEB_0])], headless=True),
    Service("noport", ports=[], headless=True),
    Service("api", [Slice([API_0])], [("http", 8080, 8080)], namespace="team-a"),
]


@dataclass(frozen=True, slots=True)
class Grant:
    """A role and its binding, to a user or `group:<name>`.

    `rules`: (resources, verbs, names); a resource may be `name.group`.
    """

    subject: str
    rules: Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]]
    namespace: str = ""


PROXIES = ("pods/proxy", "services/proxy")
READ = ("get", "list", "watch")
GRANTS = [
    Grant("alice", [(PROXIES, EVERY_VERB, ())]),
    Grant("carol", [(PROXIES, ["get"], ())]),
    Grant("dave", [(["services/proxy"], ["get"], ["web:80", "http:web:80"])]),
    Grant("erin", [(PROXIES, EVERY_VERB, ())], namespace="team-a"),
    Grant("frank", [(["nodes/proxy"], EVERY_VERB, ())]),
    Grant("group:qa", [(["services/proxy"], ["get"], ())]),
    Grant("heidi", [(["*/proxy"], ["get", "create"], ())]),
    Grant("ivan", [(["users"], ["impersonate"], ["alice"]), (["groups"], ["impersonate"], ["qa"])]),
    Grant("judy", [(["services", "pods"], EVERY_VERB, ())]),
    Grant(
        "the-bastion",
        [
            (["tokenreviews.authentication.k8s.io"], ["create"], ()),
            (["subjectaccessreviews.authorization.k8s.io"], ["create"], ()),
            (["pods", "services", "nodes"], READ, ()),
            (["endpointslices.discovery.k8s.io"], READ, ()),
        ],
    ),
]


def tokens() -> str:
    """The users as a token file: a CSV of token,user,uid,"group,group"."""
    return "".join(f'{token(user)},{user},{user},"{",".join(groups)}"\n' for user, groups in USERS.items())


def token(user: str) -> str:
    return f"{user}-token"


def manifests(net: str) -> list[Object]:
    """`net`: the first three octets of the pods' addresses."""
    return [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES),
        *(_node(name, address, net) for name, address in NODES),
        *(_pod(pod, net) for pod in PODS),
        *(object for service in SERVICES for object in _service(service, net)),
        *(object for grant in GRANTS for object in _grant(grant)),
    ]


def _whole(address: str, net: str) -> str:
    return net + address if address.startswith(".") else address


def _node(name: str, address: str | None, net: str) -> Object:
    status: Object = {"addresses": []}
    if address is not None:
        status["addresses"] = [
            {"type": kind, "address": _whole(address, net)} for kind in ("InternalIP", "Hostname")
        ]
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 10250}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


def _pod(pod: Pod, net: str) -> Object:
    containers = [
        {
            "name": f"c{i}",
            "image": "example.test/app",
            "ports": [{"name": name, "containerPort": number} for name, number in ports],
        }
        for i, ports in enumerate(pod.containers)
    ]
    status: Object = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(pod.ready)}]}
    if pod.address is not None:
        ip = _whole(pod.address, net)
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "spec": {"nodeName": "node-a", "hostNetwork": pod.host_network, "containers": containers},
        "status": status,
    }


def _service(service: Service, net: str) -> Iterator[Object]:
    spec: Object = {
        "ports": [{"name": name, "port": port, "targetPort": target} for name, port, target in service.ports]
    }
    if service.kind == "ExternalName":
        spec |= {"type": "ExternalName", "externalName": "example.test"}
    if service.headless:
        spec["clusterIP"] = "None"
    metadata = {"name": service.name, "namespace": service.namespace}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    if service.without_subsets:
        yield {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    for i, slice in enumerate(service.slices):
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                **metadata,
                "name": f"{service.name}-{i}",
                "labels": {"kubernetes.io/service-name": service.name},
            },
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod, slice.says, net) for pod in slice.pods],
            "ports": [{"name": name, "port": number, "protocol": "TCP"} for name, number in slice.ports],
        }


def _endpoint(pod: Pod, says: str | None, net: str) -> Object:
    assert pod.address is not None
    endpoint: Object = {
        "addresses": [_whole(pod.address, net)],
        "conditions": {"ready": pod.ready, "serving": pod.ready, "terminating": False},
    }
    if says is not None:
        endpoint["targetRef"] = {"kind": "Pod", "name": says or pod.name, "namespace": pod.namespace}
    return endpoint


def _grant(grant: Grant) -> Iterator[Object]:
    group, _, name = grant.subject.rpartition(":")
    api = "rbac.authorization.k8s.io"
    kind = "Role" if grant.namespace else "ClusterRole"
    metadata = {"name": f"of-{name}"} | ({"namespace": grant.namespace} if grant.namespace else {})
    rules = [_rule(*rule) for rule in grant.rules]
    subject = {"apiGroup": api, "kind": "Group" if group else "User", "name": name}
    yield {"apiVersion": f"{api}/v1", "kind": kind, "metadata": metadata, "rules": rules}
    yield {
        "apiVersion": f"{api}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "subjects": [subject],
        "roleRef": {"apiGroup": api, "kind": kind, "name": metadata["name"]},
    }


def _rule(resources: Sequence[str], verbs: Sequence[str], names: Sequence[str]) -> Object:
    parted = [resource.partition(".") for resource in resources]
    rule: Object = {
        "apiGroups": sorted({group for _, _, group in parted}),
        "resources": [resource for resource, _, _ in parted],
        "verbs": list(verbs),
    }
    return rule | ({"resourceNames": list(names)} if names else {})
