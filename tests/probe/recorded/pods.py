"""Which pods, services and users there are in the recorded cases."""

from __future__ import annotations

from typing import Any

from tests.probe.world import Document, may

NAMESPACE = "probe"
PODS: dict[str, tuple[int, dict[str, int]]] = {  # the last number of its address, and its ports
    "web": (10, {"http": 8080}),
    "tlsgood": (11, {"https": 8443, "banner": 7443}),
    "tlsself": (12, {"https": 8443}),
    "tlsexpired": (13, {"https": 8443}),
    "tlswrong": (14, {"https": 8443}),
    "tlschain": (15, {"https": 8443}),
    "tls12": (16, {"https": 8443}),
    "mtls": (17, {"https": 8443}),
    "h2": (18, {"https": 8443, "grpc": 50052}),
    "grpc": (19, {"grpc": 50051}),
    "tcp": (
        20,
        {
            "smtp": 2525,
            "ssh": 7001,
            "silent": 7002,
            "closes": 7003,
            "talk": 7004,
            "longline": 7005,
            "nonewline": 7006,
            "slow": 7007,
            "postgres": 7008,
            "reset": 7009,
            "binary": 7010,
            "flood": 7011,
        },
    ),
    "dead": (21, {"http": 8080, "https": 8443}),
    "trio-0": (22, {"http": 8080}),
    "trio-1": (23, {"http": 8080}),
    "trio-2": (24, {"http": 8080}),  # nobody listens there, nor at `dead`
    "unready": (25, {"http": 8080}),
    "dns": (26, {"dns": 5353, "dns-tcp": 5353}),
}
NODE, OTHER = 30, 27  # a node, and a pod of the namespace `other`
ANNOTATIONS = {
    "web": {
        "bastion.dev/probe": "true",
        "bastion.dev/probe-path": "/status/200",
        "bastion.dev/probe-port": "http",
    },
    "dead": {
        "prometheus.io/probe": "true",
        "prometheus.io/path": "/status/200",
        "prometheus.io/port": "8080",
    },
    "tcp": {
        "bastion.dev/probe": "true",
        "bastion.dev/probe-port": "ssh",
        "bastion.dev/probe-module": "tcp_connect",
    },
    "tlsgood": {"bastion.dev/probe": "false"},
}
READY = {  # what a pod's readiness probe asks for
    "web": "/status/200",
    "trio-0": "/status/302?location=/x",
    "trio-1": "/status/503",
    "dead": "/status/200",
}
EVERYTHING = ["pods/proxy", "services/proxy", "nodes/proxy"]
OPEN = ["pods/proxy", "services/proxy"]
ROLES = [
    *may("prometheus", ["get", "create"], EVERYTHING),
    *may("reader", ["get"], OPEN),
    *may("pods-only", ["get"], ["pods/proxy"]),
    *may("web-only", ["get"], ["services/proxy"], NAMESPACE, resourceNames=["web:http"]),
    *may("other-team", ["get", "create"], OPEN, "other"),
    *may("lister", ["get", "list"], ["pods", "services"]),
]
USERS = ("prometheus", "reader", "nobody", "pods-only", "web-only", "other-team", "lister")


def objects(net: str, watched: int) -> list[Document]:
    canary = {"http": watched}
    found = [*ROLES, *metrics("reader", "prometheus"), node(net), namespace("other"), namespace(NAMESPACE)]
    for name, (number, ports) in PODS.items():
        found.append(pod(name, f"{net}.{number}", ports, ready=name != "unready"))
        if not name.startswith("trio-") and name != "unready":
            found += service(name, ports, [(name, f"{net}.{number}", True)])
    trio = [(f"trio-{n}", f"{net}.{22 + n}", True) for n in range(3)]
    unready = ("unready", f"{net}.25", False)
    found += service("trio", {"http": 8080}, trio)
    found += service("half", {"http": 8080}, [trio[0], unready])
    found += service("unready", {"http": 8080}, [unready])
    found += service("empty", {"http": 8080}, [])
    found += service("external", {"http": 8080}, [], type="ExternalName", externalName="web.probe.svc")
    for name, address in (("loop", "127.0.0.1"), ("metadata", "169.254.169.254"), ("zero", "0.0.0.0")):
        found += [pod(name, address, canary), *service(name, canary, [(name, address, True)])]
    there = f"{net}.{OTHER}"
    found.append(pod("web", there, {"http": 8080}, namespace="other"))
    return found + service("web", {"http": 8080}, [("web", there, True)], namespace="other")


def pod(
    name: str, address: str, ports: dict[str, int], namespace: str = NAMESPACE, *, ready: bool = True
) -> Document:
    container: Document = {
        "name": "c",
        "image": "example.test/app",
        "ports": [{"name": n, "containerPort": p, "protocol": protocol(n)} for n, p in ports.items()],
    }
    if name in READY and namespace == NAMESPACE:
        container["readinessProbe"] = {"httpGet": {"path": READY[name], "port": "http", "scheme": "HTTP"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"nodeName": "node-a", "containers": [container]},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def service(
    name: str,
    ports: dict[str, int],
    endpoints: list[tuple[str, str, bool]],
    namespace: str = NAMESPACE,
    **spec: Any,
) -> list[Document]:
    """With its slice, of (pod, address, whether it is ready)."""
    listed = [{"name": n, "port": p, "protocol": protocol(n)} for n, p in ports.items()]
    metadata: Document = {"name": name, "namespace": namespace}
    if namespace == NAMESPACE and name in ANNOTATIONS:
        metadata["annotations"] = ANNOTATIONS[name]
    made: list[Document] = [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": listed, **spec}}
    ]
    piece = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {
            "name": f"{name}-0",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": ready, "serving": ready, "terminating": False},
                "targetRef": {"kind": "Pod", "name": one, "namespace": namespace},
            }
            for one, address, ready in endpoints
        ],
        "ports": listed,
    }
    return [*made, piece] if endpoints else made


def protocol(port: str) -> str:
    return "UDP" if port == "dns" else "TCP"


def node(net: str) -> Document:
    addresses = [
        {"type": "InternalIP", "address": f"{net}.{NODE}"},
        {"type": "Hostname", "address": "node-a"},
    ]
    kubelet = {"kubeletEndpoint": {"Port": 10250}}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-a"},
        "status": {"addresses": addresses, "daemonEndpoints": kubelet},
    }


def namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def metrics(*users: str) -> list[Document]:
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "metrics"},
            "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "metrics"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user} for user in users],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "metrics"},
        },
    ]
