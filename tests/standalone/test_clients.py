"""The clients people have: kubectl and the official Python client, from one kubeconfig."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml

from bastion.runtime.private import write_private
from bastion.standalone.apiserver import ApiServer
from tests.present import present
from tests.standalone.api import CLUSTER, serving
from tests.standalone.objects import write

KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


def run_beside(folder: Path, work: Callable[[ApiServer, Path], None], cluster: str = CLUSTER) -> None:
    """`work` is blocking and gets the server and a kubeconfig file for it."""

    async def main() -> None:
        async with serving(folder, cluster) as server:
            kubeconfig = folder / "kubeconfig"
            write_private(kubeconfig, server.kubeconfig().encode())
            await asyncio.to_thread(work, server, kubeconfig)

    asyncio.run(main())


def api_client(kubeconfig: Path, context: str) -> Any:
    return kubernetes.config.new_client_from_config(str(kubeconfig), context=context)


# --- the official Python client


def test_python_client_lists_gets_and_pages(tmp_path: Path) -> None:
    def work(server: ApiServer, kubeconfig: Path) -> None:
        with api_client(kubeconfig, "bastion") as api:
            core = kubernetes.client.CoreV1Api(api)
            pods = core.list_pod_for_all_namespaces().items
            assert [
                (present(p.metadata).namespace, present(p.metadata).name, present(p.status).pod_ip)
                for p in pods
            ] == [
                ("default", "other", "10.0.0.2"),
                ("shop", "web-0", "10.0.0.1"),
            ]
            assert (
                present(present(core.read_namespaced_pod("web-0", "shop").spec).containers[0].ports)[
                    0
                ].container_port
                == 8080
            )
            first = core.list_pod_for_all_namespaces(limit=1)
            second = core.list_pod_for_all_namespaces(limit=1, _continue=present(first.metadata)._continue)
            assert [present(p.metadata).name for p in first.items + second.items] == ["other", "web-0"]
            assert [present(present(n.status).addresses)[0].address for n in core.list_node().items] == [
                "10.0.0.100"
            ]
            assert [
                present(s.metadata).name
                for s in core.list_namespaced_service("shop", label_selector="", field_selector="").items
            ] == ["web"]
            (piece,) = kubernetes.client.DiscoveryV1Api(api).list_namespaced_endpoint_slice("shop").items
            assert present(piece.endpoints)[0].addresses == ["10.0.0.1"]
            rbac = kubernetes.client.RbacAuthorizationV1Api(api)
            assert "edit" in [present(r.metadata).name for r in rbac.list_cluster_role().items]
            assert [b.role_ref.name for b in rbac.list_namespaced_role_binding("shop").items] == [
                "proxy",
                "view",
            ]
            with pytest.raises(kubernetes.client.ApiException) as caught:
                core.read_namespaced_pod("gone", "shop")
            assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (404, "NotFound")  # type: ignore[arg-type]

    run_beside(tmp_path, work)


def test_python_client_watches(tmp_path: Path) -> None:
    def work(server: ApiServer, kubeconfig: Path) -> None:
        with api_client(kubeconfig, "bastion") as api:
            core, watch = kubernetes.client.CoreV1Api(api), kubernetes.watch.Watch()
            since = present(core.list_namespaced_pod("shop").metadata).resource_version
            write(tmp_path / "cluster.yaml", CLUSTER.replace("name: web-0", "name: web-1"))
            seen = []
            for event in watch.stream(core.list_namespaced_pod, "shop", resource_version=since):
                seen.append((event["type"], event["object"].metadata.name))
                if len(seen) == 2:
                    break
            assert sorted(seen) == [("ADDED", "web-1"), ("DELETED", "web-0")]
            assert server.calls["watch pods"] == 1

    run_beside(tmp_path, work)


def test_python_client_reviews(tmp_path: Path) -> None:
    def work(server: ApiServer, kubeconfig: Path) -> None:
        with api_client(kubeconfig, "delegate") as api:
            review = kubernetes.client.V1TokenReview(
                spec=kubernetes.client.V1TokenReviewSpec(token="alice-token")
            )
            status = kubernetes.client.AuthenticationV1Api(api).create_token_review(review).status
            assert (
                present(status).authenticated,
                present(present(status).user).username,
                present(present(status).user).groups,
            ) == (
                True,
                "alice",
                ["devs", "ops", "system:authenticated"],
            )
            attributes = kubernetes.client.V1ResourceAttributes(
                namespace="shop", verb="get", resource="services", subresource="proxy", name="web:80"
            )
            spec = kubernetes.client.V1SubjectAccessReviewSpec(user="alice", resource_attributes=attributes)
            access = kubernetes.client.AuthorizationV1Api(api)
            status = access.create_subject_access_review(  # type: ignore[assignment]
                kubernetes.client.V1SubjectAccessReview(spec=spec)
            ).status
            assert (present(status).allowed, present(status).reason) == (  # type: ignore[attr-defined]
                True,
                'RBAC: allowed by RoleBinding "proxy/shop" of Role "proxy" to User "alice"',
            )
            spec.user = "bob"
            assert (
                present(
                    access.create_subject_access_review(
                        kubernetes.client.V1SubjectAccessReview(spec=spec)
                    ).status
                ).allowed
                is False
            )

    run_beside(tmp_path, work)


# --- kubectl


def kubectl(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert KUBECTL is not None
    cache = kubeconfig.parent / "cache"
    command = [KUBECTL, f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"HOME": str(kubeconfig.parent)}, check=False
    )


def said(kubeconfig: Path, *arguments: str) -> str:
    done = kubectl(kubeconfig, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_kubectl
def test_kubectl_get(tmp_path: Path) -> None:
    def work(server: ApiServer, kubeconfig: Path) -> None:
        everything = said(kubeconfig, "get", "pods,svc,nodes,endpointslices", "-A", "-o", "name").split()
        assert everything[:4] == ["pod/other", "pod/web-0", "service/web", "node/node-a"]
        assert everything[4].startswith("endpointslice.discovery.k8s.io/web-")
        table = said(kubeconfig, "get", "po", "-n", "shop")
        assert [line.split()[0] for line in table.splitlines()] == ["NAME", "web-0"]
        pod = yaml.safe_load(said(kubeconfig, "get", "pod", "web-0", "-n", "shop", "-o", "yaml"))
        assert pod["status"]["podIP"] == "10.0.0.1"
        assert (
            json.loads(said(kubeconfig, "get", "--raw", "/api/v1/nodes"))["items"][0]["metadata"]["name"]
            == "node-a"
        )
        assert said(kubeconfig, "get", "pods", "-A", "-l", "app=web", "-o", "name").split() == ["pod/web-0"]
        assert "10.0.0.1:8080" in said(kubeconfig, "describe", "service", "web", "-n", "shop")
        missing = kubectl(kubeconfig, "get", "pod", "gone")
        assert (missing.returncode, missing.stderr.strip()) == (
            1,
            'Error from server (NotFound): pods "gone" not found',
        )
        denied = kubectl(kubeconfig, "get", "pods", "--context=bob")
        assert denied.stderr.startswith(
            'Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods"'
        )
        assert "v1.36" in said(kubeconfig, "version")
        assert "endpointslices" in said(kubeconfig, "api-resources")

    run_beside(tmp_path, work)


@needs_kubectl
@pytest.mark.parametrize(
    ("context", "question", "answer"),
    [
        ("alice", ["get", "services/web:80", "--subresource=proxy", "-n", "shop"], "yes"),
        ("alice", ["get", "services/web:81", "--subresource=proxy", "-n", "shop"], "no"),
        ("alice", ["create", "services/web:80", "--subresource=proxy", "-n", "shop"], "no"),
        ("alice", ["list", "pods", "-n", "shop"], "yes"),
        ("bob", ["list", "pods", "-n", "shop"], "no"),
        ("bob", ["get", "/api"], "yes"),
        ("bob", ["get", "/metrics"], "no"),
        ("bastion", ["delete", "nodes"], "yes"),
    ],
)
def test_kubectl_can_i(tmp_path: Path, context: str, question: list[str], answer: str) -> None:
    def work(server: ApiServer, kubeconfig: Path) -> None:
        done = kubectl(kubeconfig, "auth", "can-i", *question, f"--context={context}")
        assert (done.stdout.strip(), done.returncode) == (answer, 0 if answer == "yes" else 1), done.stderr
        assert server.calls["selfsubjectaccessreviews"] == 1

    run_beside(tmp_path, work)


@needs_kubectl
def test_kubectl_watches(tmp_path: Path) -> None:
    def work(server: ApiServer, kubeconfig: Path) -> None:
        assert KUBECTL is not None
        command = [KUBECTL, f"--kubeconfig={kubeconfig}", "get", "nodes", "-w", "-o", "name"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"HOME": str(tmp_path)}
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "node/node-a\n"
            write(tmp_path / "cluster.yaml", CLUSTER.replace("node-a", "node-b"))
            assert process.stdout.readline() == "node/node-b\n"
            process.terminate()

    run_beside(tmp_path, work)
