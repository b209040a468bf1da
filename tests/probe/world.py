"""A bastion over manifests, with backends on loopback, asked without a socket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from bastion.settings.config import serve_config
from bastion.wiring.bastion import Bastion, open_bastion
from tests.fakes import until
from tests.loopback import own_network

Document = dict[str, Any]
NETWORK = own_network(73)
OPEN = ["pods/proxy", "services/proxy"]
USERS = {"all": ["get", "create"], "none": []}


@dataclass
class Answer:
    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def value(self, series: str) -> float | None:
        """Of the series written so."""
        for line in self.text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return None


def address(number: int) -> str:
    return f"{NETWORK}.{number}"


def pod(name: str, number: int, port: int = 8080, namespace: str = "shop", **more: Any) -> Document:
    container = {"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": port}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name.split("-")[0]}},
        "spec": {"containers": [container | more]},
        "status": {
            "phase": "Running",
            "podIP": address(number),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(
    name: str, namespace: str = "shop", port: int = 8080, annotations: dict[str, str] | None = None
) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": port}]},
    }


def may(
    user: str, verbs: list[str], resources: list[str], namespace: str = "", **more: Any
) -> list[Document]:
    """A role and its binding; in all namespaces where none is named."""
    kind = "Role" if namespace else "ClusterRole"
    place = {"name": f"{user}-may", **({"namespace": namespace} if namespace else {})}
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": kind,
            "metadata": place,
            "rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs, **more}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": place,
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            "roleRef": {"apiGroup": group, "kind": kind, "name": place["name"]},
        },
    ]


@dataclass
class World:
    bastion: Bastion

    async def get(
        self, path: str, user: str = "all", method: str = "GET", into: Answer | None = None, **fields: str
    ) -> Answer:
        """`user` empty: without credentials.  `into`: where the response is written as it comes."""
        raw, _, query = path.partition("?")
        headers = [(b"host", fields.pop("host", "bastion.test").encode())]
        headers += [(b"authorization", f"Bearer {user}".encode())] if user else []
        headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        answer, over, asked = into or Answer(), asyncio.Event(), iter([{"type": "http.request"}])

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.fields = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        async def receive() -> dict[str, Any]:
            message = next(asked, None)
            if message is None:
                await over.wait()
            return message or {"type": "http.disconnect"}

        scope = {
            "type": "http",
            "method": method,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "scheme": "https",
            "http_version": "1.1",
        }
        await self.bastion.app(scope, receive, send)  # type: ignore[arg-type]
        over.set()
        return answer

    async def probe(self, target: str, module: str = "http_2xx", user: str = "all", **more: str) -> Answer:
        query = "".join(f"&{name}={quote(value)}" for name, value in more.items())
        return await self.get(f"/probe?target={quote(target, safe='')}&module={module}{query}", user)


@contextlib.asynccontextmanager
async def world(
    folder: Path, objects: list[Document], modules: str = "", *flags: str
) -> AsyncIterator[World]:
    folder.mkdir(exist_ok=True)
    users = ["all", "none", *(one["subjects"][0]["name"] for one in objects if "subjects" in one)]
    documents = [*objects, *may("all", USERS["all"], [*OPEN, "nodes/proxy"])]
    (folder / "cluster.yaml").write_text(yaml.safe_dump_all(documents))
    (folder / "tokens.csv").write_text("".join(f"{user},{user},{user}\n" for user in dict.fromkeys(users)))
    given = ["--manifests", str(folder / "cluster.yaml"), "--token-auth-file", str(folder / "tokens.csv")]
    given += ["--allow-target-cidr", f"{NETWORK}.0/24", *flags]
    if modules:
        (folder / "modules.yaml").write_text(modules)
        given += ["--probe-config-file", str(folder / "modules.yaml")]
    log = os.open(folder / "access.log", os.O_WRONLY | os.O_CREAT)
    try:
        async with open_bastion(serve_config(given), log) as bastion:
            await bastion.synced()
            await until(lambda: bool(bastion.cluster.catalog.services) or not objects)
            yield World(bastion)
    finally:
        os.close(log)


@dataclass
class Backend:
    """`says`: the response by path, empty for none at all; `seen` are the request heads."""

    says: dict[bytes, bytes]
    seen: list[bytes] = field(default_factory=list)
    greets: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.greets is not None:
                await self.greets(reader, writer)
                return
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen.append(head)
            path = head.split(b" ")[1].partition(b"?")[0]
            writer.write(self.says.get(path, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def backend(number: int, port: int = 8080, **more: Any) -> AsyncIterator[Backend]:
    one = Backend(more.pop("says", {}), **more)
    server = await asyncio.start_server(one.serve, address(number), port)
    async with server:
        yield one


def response(body: bytes = b"ok\n", status: int = 200, *fields: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


async def until_state(bastion: World, target: str, state: str) -> None:
    async with asyncio.timeout(20):
        while (await bastion.get(f"/probe/history?target={quote(target)}")).json["state"] != state:
            await asyncio.sleep(0.05)
