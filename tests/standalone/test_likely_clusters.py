"""Manifests as they come out of a cluster or a test bench: odd, but nothing wrong with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.standalone.api import get, names, serving

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: chosen}
spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: chosen, labels: {endpointslice.kubernetes.io/skip-mirror: "true"}}
subsets:
- addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: web-0, namespace: default}}]
  ports: [{name: http, port: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {name: chosen-0, labels: {kubernetes.io/service-name: chosen}}
endpoints:
- addresses: [10.0.0.1]
  conditions: {ready: true, serving: true, terminating: false}
  targetRef: {kind: Pod, name: gone, namespace: default}
ports: [{name: "", port: 8080, protocol: TCP}]
---
apiVersion: v1
kind: Service
metadata: {name: nothing-behind}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: nothing-behind}
subsets: []
---
apiVersion: v1
kind: Service
metadata: {name: mirrored}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: mirrored}
subsets:
- addresses: [{ip: 10.0.0.1}]
  notReadyAddresses: [{ip: 10.0.0.2}]
  ports: [{port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: example.test, ports: [{name: http, port: 80, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: portless}
spec: {clusterIP: None, ports: []}
"""

OTHERS = """
apiVersion: v1
kind: Node
metadata: {name: without-addresses}
status: {addresses: []}
---
apiVersion: v1
kind: Node
metadata: {name: plain}
status:
  addresses: [{type: InternalIP, address: 10.0.0.100}, {type: Hostname, address: 10.0.0.100}]
  daemonEndpoints: {kubeletEndpoint: {Port: 10250}}
---
apiVersion: v1
kind: Pod
metadata: {name: without-address}
spec:
  automountServiceAccountToken: false
  containers: [{name: a}, {name: b, ports: [{name: m, containerPort: 1}]}]
status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: suspicious}
spec: {hostNetwork: true, containers: []}
status: {phase: Running, podIP: 169.254.169.254, podIPs: [{ip: 169.254.169.254}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: impersonator}
rules:
- {apiGroups: [""], resources: [users], verbs: [impersonate], resourceNames: [alice]}
- {apiGroups: ["", discovery.k8s.io], resources: ["*/proxy", endpointslices], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: no-rules}
rules: null
"""

EXPORTED = """
apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: v1
  kind: Pod
  metadata:
    creationTimestamp: 2026-02-03T04:05:06Z
    generateName: web-
    labels: {app: web, pod-template-hash: "75"}
    managedFields: [{manager: kubelet, operation: Update, time: 2026-02-03T04:05:06Z}]
    name: web-x1
    namespace: shop
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true}]
    resourceVersion: "123456"
    uid: 2d3c1b7e-0000-4000-8000-000000000001
  spec:
    containers:
    - name: web
      image: nginx
      ports: [{containerPort: 8080, name: http, protocol: TCP}]
      resources: {limits: {cpu: 500m, memory: 1Gi}}
      securityContext: null
    tolerations:
    - {effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, tolerationSeconds: 300}
  status:
    conditions: [{lastProbeTime: null, lastTransitionTime: 2026-02-03T04:05:06Z, status: "True", type: Ready}]
    hostIP: 10.0.0.100
    hostIPs: [{ip: 10.0.0.100}]
    phase: Running
    podIP: 10.0.0.7
    podIPs: [{ip: 10.0.0.7}]
    startTime: 2026-02-03T04:05:06Z
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop}
  spec:
    clusterIP: 10.96.0.7
    clusterIPs: [10.96.0.7]
    internalTrafficPolicy: Cluster
    ipFamilies: [IPv4]
    ipFamilyPolicy: SingleStack
    ports: [{name: http, port: 80, protocol: TCP, targetPort: http}]
    selector: {app: web}
    type: ClusterIP
  status: {loadBalancer: {}}
"""


@pytest.mark.parametrize(
    ("cluster", "path", "expected"),
    [
        (SERVICES, "/api/v1/services", ["chosen", "elsewhere", "mirrored", "nothing-behind", "portless"]),
        (OTHERS, "/api/v1/nodes", ["plain", "without-addresses"]),
        (OTHERS, "/api/v1/pods", ["suspicious", "without-address"]),
        (EXPORTED, "/api/v1/pods", ["web-x1"]),
    ],
)
def test_they_load(tmp_path: Path, cluster: str, path: str, expected: list[str]) -> None:
    async def main() -> None:
        async with serving(tmp_path, cluster) as server:
            assert names(await get(server, path)) == expected

    asyncio.run(main())


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (SERVICES, {"chosen": [("10.0.0.1", True)], "mirrored": [("10.0.0.1", True), ("10.0.0.2", False)]}),
        (EXPORTED, {"web": [("10.0.0.7", True)]}),
    ],
)
def test_what_is_behind_their_services(
    tmp_path: Path, cluster: str, expected: dict[str, list[tuple[str, bool]]]
) -> None:
    async def main() -> None:
        async with serving(tmp_path, cluster) as server:
            found: dict[str, list[tuple[str, bool]]] = {}
            for slice in (await get(server, "/apis/discovery.k8s.io/v1/endpointslices")).json()["items"]:
                service = slice["metadata"]["labels"]["kubernetes.io/service-name"]
                found[service] = [(e["addresses"][0], e["conditions"]["ready"]) for e in slice["endpoints"]]
            assert found == expected

    asyncio.run(main())


def test_an_exported_object_keeps_its_identity(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, EXPORTED) as server:
            metadata = (await get(server, "/api/v1/namespaces/shop/pods/web-x1")).json()["metadata"]
            assert metadata["uid"] == "2d3c1b7e-0000-4000-8000-000000000001"
            assert metadata["creationTimestamp"] == "2026-02-03T04:05:06Z"
            assert metadata["resourceVersion"] != "123456"
            assert "managedFields" not in metadata

    asyncio.run(main())
