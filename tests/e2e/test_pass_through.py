"""Calls of the API go on to an API server as they are, and what is proxied does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import kubernetes
import pytest
from kubernetes import aio

from tests.e2e.harness import ALICE, BOB, Bastion, Cluster, objects, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.test_clients import KUBECTL, needs_kubectl
from tests.standalone.objects import binding, role, rule, service

READ = [
    role("read", rule("get list watch", "core", "pods services namespaces")),
    binding("devs-read", "ClusterRole/read", "Group/devs"),
]
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    with KubeApi(tmp_path_factory.mktemp("api"), doors=2) as api:
        api.show([*objects(), *READ])
        yield api


@pytest.fixture(scope="module")
def front(cluster: Cluster, api: KubeApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    source = ("--kubeconfig", api.kubeconfig, *(word for url in api.urls for word in ("--apiserver", url)))
    own = tmp_path_factory.mktemp("own")
    (own / "tokens.csv").write_text("own-t0k3n,olivia,9\n")
    flags = ("--pass-through", "--token-auth-file", own / "tokens.csv", "--metrics-authorization=false")
    with serving(
        cluster, tmp_path_factory.mktemp("front"), *flags, "--client-ca-file", cluster.ca, source=source
    ) as bastion:
        yield bastion


def is_the_bastions(response: httpx.Response) -> bool:
    return "X-Bastion-Error" in response.headers


def test_the_users_own_token_decides(front: Bastion, api: KubeApi) -> None:
    assert len(front.get(PODS).json()["items"]) > 100
    assert front.get(f"{PODS}?limit=3&labelSelector=app%3Dpair").json()["kind"] == "PodList"
    for token, path, code in ((BOB, PODS, 403), ("made-up", PODS, 401), (ALICE, "/no/such", 403)):
        response = front.get(path, token)
        assert (response.status_code, is_the_bastions(response)) == (code, False), response.text


def test_no_review_is_asked_for_a_token_that_passes(front: Bastion, api: KubeApi) -> None:
    before = api.count("create tokenreviews")
    assert front.get(PODS, "another-made-up").status_code == 401
    assert api.count("create tokenreviews") == before


def test_own_paths_are_under_one_prefix_and_the_others_the_api_servers(front: Bastion) -> None:
    assert front.get("/.bastion/version").json()["compiler"] == "cpython"
    assert "bastion_api_server_state" in front.get("/.bastion/metrics").text
    assert front.get("/version").json()["major"] == "1"
    assert front.get("/.bastion/nothing").status_code == 404
    for path in ("/metrics", "/login", "/openapi.json"):
        assert not is_the_bastions(front.get(path)), path


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes/node-a/prox%79/metrics",
        "/api/v1/nodes/node-a%2Fproxy/run/a/b/c",
        "/api/v1/nodes/node-a/proxy%2Frun/a/b/c",
        "/%61pi/v1/nodes/node-a/proxy/exec/a/b/c",
        "/api/%761/nodes/node-a/proxy/metrics",
        "/api/v1/namespaces/default/nodes/node-a/proxy/metrics",
        "/api/v1/namespaces%2Fdefault%2Fservices%2Fpair%2Fproxy%2F",
        "/api/v1/node%73/node-a/proxy/run/a/b/c",
        "/api/v1/namespaces/default/services%2Fpair/proxy/",
        "//api/v1/nodes/node-a/proxy/metrics",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_spelling_of_a_target_goes_round_the_rules(front: Bastion, path: str, method: str) -> None:
    with front.http() as http:
        response = http.request(method, front.url + path)
    assert (response.status_code, is_the_bastions(response)) == (400, True)


def test_a_target_is_the_bastions_own_matter(front: Bastion) -> None:
    response = front.get("/api/v1/nodes/node-a/proxy/metrics")
    assert (response.status_code, is_the_bastions(response)) == (403, True)


def test_whom_only_the_bastion_knows_it_names_to_nobody(front: Bastion, cluster: Cluster) -> None:
    """--pass-through-identity is none: a certificate is told why, a token of its own goes as it is."""
    assert front.get(PODS, "own-t0k3n").status_code == 401
    certificate, key = map(str, cluster.pair("carla", client=True))
    with httpx.Client(
        base_url=front.url, verify=front.trust, cert=(certificate, key), trust_env=False
    ) as http:
        refused = http.get(PODS)
        assert (refused.status_code, is_the_bastions(refused)) == (401, True)
        assert "--pass-through-identity" in refused.json()["message"]
        assert http.get(PODS, headers={"Authorization": f"Bearer {ALICE}"}).status_code == 200


def test_the_audit_id_of_both_is_one(front: Bastion) -> None:
    with front.http() as http:
        response = http.get(PODS, headers={"Audit-ID": "0f5a3c9e-a1b2-4c3d-8e9f-001122334455"})
        line = front.line("0f5a3c9e-a1b2-4c3d-8e9f-001122334455")
    assert response.status_code == 200
    assert (line["verb"], line["resource"], line["namespace"]) == ("list", "pods", "default")


COMMANDS = [
    "get pods -l app=pair --show-labels",
    "get service pair -o yaml",
    "get pods,services -o name",
    "get service nothing",
    "get endpointslices",
    "api-resources",
    "version",
    "auth whoami",
    "auth can-i list pods",
    "auth can-i delete nodes",
    "get --raw /api/v1/namespaces/default/services?limit=1",
    "get pod pod-1 --watch --request-timeout=1s",
]


@needs_kubectl
@pytest.mark.parametrize("command", COMMANDS)
def test_kubectl_sees_no_difference(front: Bastion, api: KubeApi, tmp_path: Path, command: str) -> None:
    def kubectl(server: str) -> tuple[int, str, str]:
        how = ("--server", server, "--insecure-skip-tls-verify", "--token", ALICE)
        done = subprocess.run(
            [str(KUBECTL), *how, "--cache-dir", str(tmp_path), *command.split()],
            capture_output=True,
            text=True,
        )
        without_ages = re.sub(r" +\d+[ms]\d*s?\b", "", done.stdout)
        return done.returncode, without_ages, done.stderr.replace(server, "SERVER")

    assert kubectl(front.url) == kubectl(api.urls[0])


def test_the_official_client_lists_and_watches(front: Bastion) -> None:
    configuration = kubernetes.client.Configuration(host=front.url)
    configuration.ssl_ca_cert = str(front.cluster.ca)
    configuration.api_key = {"authorization": f"Bearer {ALICE}"}
    core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))
    assert len(core.list_namespaced_pod("default").items) > 100
    watch = kubernetes.watch.Watch()
    events = watch.stream(core.list_namespaced_service, "default", timeout_seconds=1)
    assert {event["type"] for event in events} == {"ADDED"}
    with pytest.raises(kubernetes.client.ApiException) as refused:
        core.list_node()
    assert refused.value.status == 403


def test_the_official_client_lists_and_watches_asynchronously(front: Bastion) -> None:
    configuration = aio.client.Configuration(host=front.url, ssl_ca_cert=str(front.cluster.ca))
    configuration.api_key = {"authorization": f"Bearer {ALICE}"}

    async def main() -> None:
        async with aio.client.ApiClient(configuration) as api:
            core = aio.client.CoreV1Api(api)
            assert len((await core.list_namespaced_pod("default")).items) > 100
            async with aio.watch.Watch().stream(
                core.list_namespaced_service, "default", timeout_seconds=1
            ) as events:
                assert {event["type"] async for event in events} == {"ADDED"}
            with pytest.raises(aio.client.ApiException) as refused:
                await core.list_node()
            assert refused.value.status == 403

    asyncio.run(main())


@needs_kubectl
def test_kubectl_watches_a_change(front: Bastion, api: KubeApi, tmp_path: Path) -> None:
    how = ("--server", front.url, "--certificate-authority", str(front.cluster.ca), "--token", ALICE)
    command = [str(KUBECTL), *how, "get", "services", "-w", "-o", "name", "--cache-dir", str(tmp_path)]
    added = service("fresh", selector={"app": "fresh"})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(2)]
        try:
            api.show([*objects(), *READ, added])
            while "service/fresh\n" not in seen:
                seen.append(process.stdout.readline())
                assert seen[-1], "the watch has ended"
        finally:
            process.terminate()
            api.show([*objects(), *READ])


# --- one of two goes


class Load:
    """Four clients that list without end."""

    def __init__(self, front: Bastion) -> None:
        self._front = front
        self._over = threading.Event()
        self.codes: list[int] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        with self._front.http() as http:
            while not self._over.is_set():
                self.codes.append(http.get(f"{PODS}/pod-1").status_code)
                time.sleep(0.01)

    def more(self, count: int) -> None:
        before = len(self.codes)
        self._front.program.until(lambda: len(self.codes) >= before + count)


@pytest.mark.parametrize("how", ["shut", "freeze"])
def test_nobody_notices_that_one_of_two_goes(front: Bastion, api: KubeApi, how: str) -> None:
    load = Load(front)
    with load.running():
        load.more(20)
        api.do(getattr(api.doors[1], how)())
        load.more(100)
        api.do(api.doors[1].open())
        ready = f'bastion_api_server_state{{server="127.0.0.1:{api.doors[1].port}",state="ready"}} 1'
        front.program.until(lambda: ready in front.get("/.bastion/metrics").text)
        load.more(20)
    assert set(load.codes) == {200}


def test_a_watch_moves_on_and_with_none_left_the_answer_comes_at_once(front: Bastion, api: KubeApi) -> None:
    try:
        with (
            front.http() as http,
            http.stream("GET", f"{PODS}?watch=true&resourceVersion=0&timeoutSeconds=60") as watch,
        ):
            events = watch.iter_lines()
            assert json.loads(next(events))["type"] == "ADDED"
            for door in api.doors:
                api.do(door.shut())
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in events:
                    pass
        front.program.until(lambda: front.get(PODS).status_code == 503)
        began = time.monotonic()
        response = front.get(PODS)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert time.monotonic() - began < 1
    finally:
        for door in api.doors:
            api.do(door.open())
    front.program.until(lambda: front.get(PODS).status_code == 200)
