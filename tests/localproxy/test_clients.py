"""What people use through it: kubectl over plain HTTP, exec included, the official Python client, curl."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import zlib
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


# --- port-forward, against an API server that speaks SPDY/3.1 (k8s.io/apimachinery pkg/util/httpstream/spdy)

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
)
SYN_STREAM, SYN_REPLY = b"\x80\x03\x00\x01", b"\x80\x03\x00\x02"
FIN = b"\x01"


async def _port_forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"/portforward" in head.partition(b"\r\n")[0]:
                writer.write(SWITCHING)
                await _frames(reader, writer)
            path = head.split(b" ")[1].partition(b"?")[0].decode()
            body = json.dumps(DOCUMENTS.get(path, POD)).encode()
            fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + body)
    writer.close()


async def _frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Of each connection the first stream is for errors, the second for its bytes, which come back."""
    streams: list[bytes] = []
    packed = zlib.compressobj()  # of all header blocks of a connection
    while True:
        start = await reader.readexactly(8)
        content = await reader.readexactly(int.from_bytes(start[5:], "big"))
        if start[:4] == SYN_STREAM:
            streams.append(content[:4])
            block = packed.compress(bytes(4)) + packed.flush(zlib.Z_SYNC_FLUSH)  # no header fields
            reply = content[:4] + block
            writer.write(SYN_REPLY + b"\0" + len(reply).to_bytes(3, "big") + reply)
        elif start[0] < 0x80 and content:
            said = b"you said " + content
            writer.write(streams[-1] + FIN + len(said).to_bytes(3, "big") + said)
            writer.write(streams[-2] + FIN + bytes(3))


@needs_kubectl
def test_kubectl_port_forward(tmp_path: Path) -> None:
    async def conversation() -> None:
        (tmp_path / "none").write_text("")
        server = await asyncio.start_server(_port_forward, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with proxy(kubeconfig(f"http://127.0.0.1:{port}"), tmp_path) as made:
            process = await asyncio.create_subprocess_exec(
                KUBECTL or "",
                f"--server=http://localhost:{made.port}",
                f"--kubeconfig={tmp_path / 'none'}",
                f"--cache-dir={tmp_path / 'cache'}",
                "port-forward",
                "pod/p",
                ":8080",
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"},
            )
            try:
                assert process.stdout is not None
                line = (await process.stdout.readline()).decode()
                assert line.startswith("Forwarding from 127.0.0.1:")
                local = int(line.split(":")[1].split()[0])
                reader, writer = await asyncio.open_connection("127.0.0.1", local)
                writer.write(b"hello")
                assert await reader.read() == b"you said hello"
                writer.close()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
        server.close()

    run(conversation())
