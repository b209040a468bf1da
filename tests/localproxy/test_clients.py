"""What people use through it: kubectl over plain HTTP, exec included, the official Python client, curl."""

from __future__ import annotations

import asyncio
import json
import shutil
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bastion.standalone.apiserver import ApiServer
from tests.fakes import run
from tests.localproxy.ground import Proxy, kubeconfig, proxy

KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl here")
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
    "status": {"phase": "Running"},
}
SUCCESS = {"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}}


async def kubectl(made: Proxy, folder: Path, *words: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    process = await asyncio.create_subprocess_exec(
        KUBECTL or "",
        f"--server=http://localhost:{made.port}",
        f"--kubeconfig={folder / 'none'}",
        f"--cache-dir={folder / 'cache'}",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


def manifests(folder: Path) -> Path:
    (folder / "pod.json").write_text(json.dumps(POD))
    return folder / "pod.json"


@needs_kubectl
def test_kubectl_reads_a_cluster(tmp_path: Path) -> None:
    async def conversation() -> None:
        (tmp_path / "none").write_text("")
        api = ApiServer([manifests(tmp_path)], None)
        async with api:
            config = _document(api.kubeconfig())
            async with proxy(config, tmp_path) as made:
                status, out, err = await kubectl(made, tmp_path, "get", "pods", "-A", "-o", "name")
                assert (status, out) == (0, "pod/p\n"), err
                status, out, err = await kubectl(
                    made, tmp_path, "get", "--raw", "/api/v1/namespaces/default/pods/p"
                )
                assert json.loads(out)["metadata"]["name"] == "p", err
                status, _, err = await kubectl(made, tmp_path, "exec", "p", "--", "true")
                assert status != 0
                assert "--reject-paths" in err  # which rule it was, and how to allow it

    run(conversation())


def test_the_python_client_lists_and_watches(tmp_path: Path) -> None:
    def asked(port: int) -> list[Any]:
        from kubernetes import client, watch

        configuration = client.Configuration()
        configuration.host = f"http://localhost:{port}"
        with client.ApiClient(configuration) as api:
            pods = client.CoreV1Api(api)
            listed: Any = pods.list_namespaced_pod("default")
            names = [pod.metadata.name for pod in listed.items]
            for event in watch.Watch().stream(pods.list_namespaced_pod, "default", timeout_seconds=5):
                return [*names, event["object"].metadata.name]
        return names

    async def conversation() -> None:
        api = ApiServer([manifests(tmp_path)], None)
        async with api, proxy(_document(api.kubeconfig()), tmp_path) as made:
            assert await asyncio.to_thread(asked, made.port) == ["p", "p"]

    run(conversation())


def _document(text: str) -> dict[str, Any]:
    import yaml

    document: dict[str, Any] = yaml.safe_load(text)
    return document


# --- exec, against an API server that speaks its protocol (k8s.io/apimachinery pkg/util/remotecommand, v5)


DOCUMENTS: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "namespaced": True, "kind": "Pod", "verbs": ["get"]}],
    },
}


async def _exec(connection: ServerConnection) -> None:
    await connection.send(b"\x01hello from the pod\n")
    await connection.send(b"\x03" + json.dumps(SUCCESS).encode())
    await connection.close()


def _object(connection: ServerConnection, request: Request) -> Response | None:
    if "/exec" in request.path:
        return None
    body = json.dumps(DOCUMENTS.get(request.path.partition("?")[0], POD)).encode()
    return Response(
        HTTPStatus.OK,
        "OK",
        Headers([("Content-Type", "application/json"), ("Content-Length", str(len(body)))]),
        body,
    )


@needs_kubectl
def test_kubectl_exec_where_it_is_allowed(tmp_path: Path) -> None:
    async def conversation() -> None:
        (tmp_path / "none").write_text("")
        protocols = [Subprotocol("v5.channel.k8s.io")]
        async with serve(_exec, "127.0.0.1", 0, process_request=_object, subprotocols=protocols) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with proxy(kubeconfig(f"http://127.0.0.1:{port}"), tmp_path, "--reject-paths=^$") as made:
                status, out, err = await kubectl(made, tmp_path, "exec", "p", "--", "greet")
                assert (status, out) == (0, "hello from the pod\n"), err

    run(conversation())
