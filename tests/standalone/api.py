"""An embedded API for a test, a client of it, and a way to wait."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from bastion.kube.user import User
from bastion.standalone.apiserver import ApiServer
from tests.standalone.objects import write

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SELF_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

TOKENS = """
admin-token,admin,1,"system:masters"
alice-token,alice,2,"devs,ops"
bob-token,bob,3
delegate-token,delegate,4
"""

CLUSTER = """
apiVersion: v1
kind: Node
metadata: {name: node-a}
status: {addresses: [{type: InternalIP, address: 10.0.0.100}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
status:
  {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, labels: {app: other}}
spec: {containers: [{name: c, image: x}]}
status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: proxy, namespace: shop}
rules: [{apiGroups: [""], resources: [services/proxy], resourceNames: ["web:80"], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: proxy, namespace: shop}
roleRef: {kind: Role, name: proxy}
subjects: [{kind: User, name: alice}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: view, namespace: shop}
roleRef: {kind: ClusterRole, name: view}
subjects: [{kind: Group, name: devs}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: delegate}
roleRef: {kind: ClusterRole, name: "system:auth-delegator"}
subjects: [{kind: User, name: delegate}]
"""


@contextlib.asynccontextmanager
async def serving(folder: Path, cluster: str = CLUSTER, **more: Any) -> AsyncIterator[ApiServer]:
    """`folder` gets cluster.yaml and tokens.csv; files are looked at a hundred times a second."""
    manifests, tokens = write(folder / "cluster.yaml", cluster), write(folder / "tokens.csv", TOKENS)
    async with ApiServer([manifests], tokens, poll_interval=0.01, **more) as server:
        yield server


def trust(server: ApiServer) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=server.ca.decode())


def client(server: ApiServer, token: str = "admin-token") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(
        base_url=server.url, verify=trust(server), headers=headers, timeout=60, trust_env=False
    )


async def get(server: ApiServer, path: str, token: str = "admin-token", **query: str) -> httpx.Response:
    async with client(server, token) as http:
        return await http.get(path, params=query or None)


async def post(
    server: ApiServer, path: str, body: Mapping[str, Any] | bytes, token: str = "admin-token", **headers: str
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client(server, token) as http:
        return await http.post(path, content=content, headers={"Content-Type": "application/json"} | headers)


@contextlib.asynccontextmanager
async def watching(
    server: ApiServer, path: str, token: str = "admin-token", **query: str
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async def events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        async for line in response.aiter_lines():
            yield json.loads(line)

    async with (
        client(server, token) as http,
        http.stream("GET", path, params={"watch": "true", **query}) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield events(response)


def told(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"].get("name", "")


async def eventually(condition: Callable[[], bool]) -> None:
    """Returns once it holds; a condition that never does is ended by the time limit of the test."""
    while not condition():
        await asyncio.sleep(0.01)


def names(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [item["metadata"]["name"] for item in response.json()["items"]]


BOT = User("bot", "9", ("robots",), (("scope", ("read",)),))


def replace(folder: Path, text: str, name: str = "cluster.yaml") -> None:
    """As a careful writer does it: beside, then renamed."""
    write(folder / f".{name}", text).replace(folder / name)
