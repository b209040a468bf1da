"""The clients that people have: curl, kubectl, httpx and the official Kubernetes client."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import kubernetes
import pytest
import yaml

from tests.e2e.harness import ALICE, BOB, CAROL, Bastion, Cluster, Place, standalone
from tests.e2e.wire import Visit, backend
from tests.present import present

CURL, KUBECTL = shutil.which("curl"), shutil.which("kubectl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

EVENT = b"data: %d\n\n"


async def run(*command: object) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(
        subprocess.run, list(map(str, command)), capture_output=True, stdin=subprocess.DEVNULL
    )


async def digest(visit: Visit) -> None:
    """Answers with the SHA-256 of what was sent."""
    message = await visit.message()
    await visit.answer(hashlib.sha256(message.body).hexdigest().encode())


# --- curl


def curl(bastion: Bastion, path: str, *options: object, token: str = ALICE) -> list[object]:
    return [
        CURL,
        "-sS",
        "--cacert",
        bastion.cluster.ca,
        "-H",
        f"Authorization: Bearer {token}",
        *options,
        bastion.url + path,
    ]


@needs_curl
def test_curl_gets(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address):
            said = json.loads(
                (await run(*curl(bastion, pod.path("/a%2Fb/../c?x=%zz"), "--path-as-is"))).stdout
            )
            assert (said["method"], said["target"]) == ("GET", "/a%2Fb/../c?x=%zz")

    asyncio.run(main())


@needs_curl
def test_curl_is_refused(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            done = await run(*curl(bastion, pod.path(), "-w", "%{http_code}", token=CAROL))
            status, code = done.stdout[:-3], done.stdout[-3:]
            assert (code, json.loads(status)["reason"]) == (b"403", "Forbidden")
            assert not behind.visits

    asyncio.run(main())


@needs_curl
@pytest.mark.parametrize(
    "options",
    [["-T"], ["-H", "Transfer-Encoding: chunked", "-T"], ["-X", "POST", "-H", "Expect:", "-T"]],
    ids=str,
)
def test_curl_uploads(bastion: Bastion, pod: Place, tmp_path: Path, options: list[str]) -> None:
    content = bytes(range(256)) * 20_000
    file = tmp_path / "file"
    file.write_bytes(content)

    async def main() -> None:
        async with backend(pod.address, digest):
            done = await run(*curl(bastion, pod.path("/upload"), *options, file))
            assert done.stdout.decode() == hashlib.sha256(content).hexdigest(), done.stderr

    asyncio.run(main())


@needs_curl
def test_curl_follows_a_stream(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        received = asyncio.Event()

        async def stream(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", EVENT % 1)
            await received.wait()
            await visit.send(EVENT % 2)

        async with backend(pod.address, stream):
            process = await asyncio.create_subprocess_exec(
                *map(str, curl(bastion, pod.path(), "-N")), stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readexactly(len(EVENT % 1)) == EVENT % 1
            received.set()
            assert await process.stdout.read() == EVENT % 2
            assert await process.wait() == 0

    asyncio.run(main())


# --- kubectl


@pytest.fixture
def kubeconfig(bastion: Bastion, tmp_path: Path) -> Path:
    """As the demo writes it: the server is the bastion, a context per user."""
    cluster = {
        "server": bastion.url,
        "certificate-authority-data": base64.b64encode(bastion.cluster.ca.read_bytes()).decode(),
    }
    tokens = {"alice": ALICE, "carol": CAROL}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bastion", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}} for user, token in tokens.items()],
        "contexts": [{"name": user, "context": {"cluster": "bastion", "user": user}} for user in tokens],
        "current-context": "alice",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def kubectl(kubeconfig: Path, *arguments: object) -> list[object]:
    return [KUBECTL, f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent / 'cache'}", *arguments]


@needs_kubectl
def test_kubectl_gets_raw(bastion: Bastion, pod: Place, kubeconfig: Path) -> None:
    async def main() -> None:
        async with backend(pod.address):
            done = await run(*kubectl(kubeconfig, "get", "--raw", pod.path("/healthz?x=1")))
            assert json.loads(done.stdout)["target"] == "/healthz?x=1", done.stderr

    asyncio.run(main())


@needs_kubectl
def test_kubectl_reads_a_refusal(bastion: Bastion, pod: Place, kubeconfig: Path) -> None:
    async def main() -> None:
        done = await run(*kubectl(kubeconfig, "--context=carol", "get", "--raw", pod.path()))
        assert done.returncode == 1
        expected = (
            f'Error from server (Forbidden): pods "{pod.name}:8080" is forbidden: User "carol" cannot get'
            ' resource "pods/proxy"'
        )
        assert expected in done.stderr.decode()
        done = await run(*kubectl(kubeconfig, "get", "--raw", Place("nobody", "").path()))
        assert 'Error from server (NotFound): pods "nobody" not found' in done.stderr.decode()

    asyncio.run(main())


@needs_kubectl
def test_kubectl_posts_raw(bastion: Bastion, pod: Place, kubeconfig: Path, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"a": 1}')

    async def main() -> None:
        async with backend(pod.address):
            said = json.loads(
                (await run(*kubectl(kubeconfig, "create", "--raw", pod.path("/jobs"), "-f", file))).stdout
            )
            assert (said["method"], said["body"]) == ("POST", '{"a": 1}')

    asyncio.run(main())


# --- httpx


def test_httpx_speaks_every_method(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with (
            backend(pod.address) as behind,
            httpx.AsyncClient(
                base_url=bastion.url, verify=bastion.trust, trust_env=False, timeout=60
            ) as http,
        ):
            http.headers["Authorization"] = f"Bearer {ALICE}"
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                response = await http.request(
                    method, pod.path("/x"), content=b"" if method == "GET" else b"body"
                )
                said = response.json()
                assert (said["method"], said["body"]) == (method, "" if method == "GET" else "body")
            assert len(behind.visits) == 2  # none after the DELETE's body, which a backend may leave unread

    asyncio.run(main())


def test_httpx_streams_both_ways(bastion: Bastion, pod: Place) -> None:
    async def numbers() -> Any:
        for number in range(100):
            yield b"%d " % number

    async def reflect(visit: Visit) -> None:
        """Sends back each piece as it comes."""
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for chunk in visit.chunks():
            await visit.send_chunk(chunk)
        await visit.send(b"0\r\n\r\n")

    async def main() -> None:
        async with (
            backend(pod.address, reflect),
            httpx.AsyncClient(
                base_url=bastion.url, verify=bastion.trust, trust_env=False, timeout=60
            ) as http,
            http.stream(
                "POST", pod.path(), content=numbers(), headers={"Authorization": f"Bearer {ALICE}"}
            ) as response,
        ):
            assert b"".join([piece async for piece in response.aiter_raw()]) == b"".join(
                b"%d " % n for n in range(100)
            )

    asyncio.run(main())


# --- the official client


def test_the_official_client_goes_through_the_bastion(bastion: Bastion, pod: Place, kubeconfig: Path) -> None:
    def call() -> None:
        with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:
            core = kubernetes.client.CoreV1Api(api)
            answer = core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod.name}:8080", "default", "metrics", _preload_content=False
            )
            assert json.loads(answer.data)["target"] == "/metrics"  # type: ignore[attr-defined]
            path = "api/v1/label/a%2Fb c/values"  # the client encodes all of it, slashes as well
            answer = core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod.name}:8080", "default", path, _preload_content=False
            )
            assert json.loads(answer.data)["target"] == "/api/v1/label/a%252Fb%20c/values"  # type: ignore[attr-defined]
            with pytest.raises(kubernetes.client.ApiException) as caught:
                core.connect_get_namespaced_pod_proxy("nobody", "default")
            assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (404, "NotFound")  # type: ignore[arg-type]

    async def main() -> None:
        async with backend(pod.address):
            await asyncio.to_thread(call)

    asyncio.run(main())


@pytest.fixture
def api(cluster: Cluster, tmp_path: Path) -> Any:
    """From a context's name to a client of `bastion standalone`."""
    with standalone(cluster, tmp_path) as (_, kubeconfig):
        yield lambda context: kubernetes.config.new_client_from_config(str(kubeconfig), context=context)


Api = Callable[[str], kubernetes.client.ApiClient]


def test_the_official_client_reads_the_embedded_api(api: Api, cluster: Cluster) -> None:
    with api("bastion") as connection:
        core = kubernetes.client.CoreV1Api(connection)
        pods = {
            present(pod.metadata).name: present(pod.status).pod_ip
            for pod in core.list_namespaced_pod("default").items
        }
        assert present(pods["pod-1"]).startswith("127.97.")
        version = present(core.list_namespaced_pod("default").metadata).resource_version

        reviews = kubernetes.client.AuthenticationV1Api(connection)
        for token, user in ((ALICE, "alice"), ("guessed", None)):
            review = kubernetes.client.V1TokenReview(spec=kubernetes.client.V1TokenReviewSpec(token=token))
            status = reviews.create_token_review(review).status
            assert (
                bool(present(status).authenticated),
                present(present(status).user).username if present(status).user else None,
            ) == (
                user is not None,
                user,
            )

        access = kubernetes.client.AuthorizationV1Api(connection)
        for user, groups, allowed in (("alice", ["devs"], True), ("carol", [], False)):
            asked = kubernetes.client.V1ResourceAttributes(
                namespace="default", verb="get", resource="pods", subresource="proxy", name="pod-1"
            )
            spec = kubernetes.client.V1SubjectAccessReviewSpec(
                user=user, groups=groups, resource_attributes=asked
            )
            made = access.create_subject_access_review(kubernetes.client.V1SubjectAccessReview(spec=spec))
            assert present(made.status).allowed is allowed

        _watch(core, version, cluster)


def _watch(core: kubernetes.client.CoreV1Api, version: Any, cluster: Cluster) -> None:
    """A pod that comes and goes is seen coming and going."""
    manifests = json.loads(cluster.manifests.read_text())
    newcomer = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "newcomer", "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    }
    events = kubernetes.watch.Watch().stream(core.list_namespaced_pod, "default", resource_version=version)
    for items, expected in (([*manifests["items"], newcomer], "ADDED"), (manifests["items"], "DELETED")):
        beside = cluster.folder / ".beside"
        beside.write_text(json.dumps({**manifests, "items": items}))
        beside.replace(cluster.manifests)
        event = next(events)
        assert (event["type"], event["object"].metadata.name) == (expected, "newcomer")


def test_the_official_client_is_refused_by_the_embedded_api(api: Api) -> None:
    with api("bob") as connection, pytest.raises(kubernetes.client.ApiException) as caught:
        kubernetes.client.CoreV1Api(connection).list_namespaced_pod("default")
    assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (403, "Forbidden")  # type: ignore[arg-type]
    assert BOB not in caught.value.body  # type: ignore[operator]
