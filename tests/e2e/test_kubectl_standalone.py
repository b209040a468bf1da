"""kubectl writes to `bastion standalone` through a bastion that passes calls of the API on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import ALICE, Bastion
from tests.e2e.test_clients import KUBECTL, needs_kubectl

pytestmark = needs_kubectl

APPLIED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: a, image: one}, {name: b, image: two}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: a, port: 80}]}
"""


@pytest.fixture
def command(front: Bastion, tmp_path: Path) -> Callable[..., list[str]]:
    how = ("--server", front.url, "--certificate-authority", str(front.cluster.ca), "--token", ALICE)
    return lambda *words: [str(KUBECTL), *how, "--cache-dir", str(tmp_path), *words]


@pytest.fixture
def kubectl(command: Callable[..., list[str]]) -> Callable[..., str]:
    def run(*words: str, sent: str = "", fails: bool = False, status: int = 0) -> str:
        done = subprocess.run(command(*words), capture_output=True, text=True, input=sent, timeout=60)
        assert (done.returncode != status) is fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


def test_apply_changes_what_was_applied_and_delete_takes_it(kubectl: Callable[..., str]) -> None:
    assert kubectl("apply", "-f", "-", sent=APPLIED).count(" created") == 2
    changed = APPLIED.replace("image: two", "image: three").replace("replicas: 2", "replicas: 3")
    assert kubectl("apply", "-f", "-", sent=changed).split("\n")[0] == "deployment.apps/shop configured"
    kubectl("set", "image", "deployment/shop", "a=five")
    shop = json.loads(kubectl("get", "deployment", "shop", "-o", "json"))
    images = [one["image"] for one in shop["spec"]["template"]["spec"]["containers"]]
    assert (shop["spec"]["replicas"], images) == (3, ["five", "three"])
    assert kubectl("delete", "-f", "-", sent=APPLIED).count(" deleted") == 2
    assert "NotFound" in kubectl("get", "service", "shop", fails=True)


def test_create_label_annotate_and_patch(kubectl: Callable[..., str]) -> None:
    for words in (
        ("namespace", "n"),
        ("configmap", "c", "-n", "n", "--from-literal=k=v"),
        ("secret", "generic", "s", "-n", "n", "--from-literal=k=v"),
        ("serviceaccount", "a", "-n", "n"),
        ("deployment", "d", "-n", "n", "--image=x", "--replicas=0", "--port=8080"),
        ("service", "clusterip", "e", "-n", "n", "--tcp=80:http"),
        ("role", "r", "-n", "n", "--verb=get", "--resource=pods"),
        ("rolebinding", "b", "-n", "n", "--role=r", "--user=u"),
    ):
        kubectl("create", *words)
    read = ("-n", "n", "-o", "json")
    assert json.loads(kubectl("get", "secret", "s", *read))["data"] == {"k": "dg=="}
    assert json.loads(kubectl("get", "deployment", "d", *read))["spec"]["replicas"] == 0
    assert json.loads(kubectl("get", "service", "e", *read))["spec"]["ports"][0]["targetPort"] == "http"
    assert "AlreadyExists" in kubectl("create", "namespace", "n", fails=True)
    kubectl("label", "configmap", "c", "-n", "n", "tier=x")
    kubectl("annotate", "configmap", "c", "-n", "n", "note=y")
    for kind, patch in (
        ("strategic", '{"data":{"s":"1"}}'),
        ("merge", '{"data":{"k":null}}'),
        ("json", '[{"op":"add","path":"/data/j","value":"2"}]'),
    ):
        kubectl("patch", "configmap", "c", "-n", "n", "--type", kind, "-p", patch)
    found = json.loads(kubectl("get", "configmap", "c", *read))
    assert (found["data"], found["metadata"]["labels"]) == ({"s": "1", "j": "2"}, {"tier": "x"})
    kubectl("delete", "namespace", "n")
    assert kubectl("get", "configmaps", "-n", "n", "-o", "name") == ""


def test_a_watch_sees_what_is_created_and_deleted(
    kubectl: Callable[..., str], command: Callable[..., list[str]]
) -> None:
    words = ("get", "configmaps", "-w", "-l", "seen=yes", "--output-watch-events", "-o", "name")
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            kubectl("create", "configmap", "seen")
            kubectl("label", "configmap", "seen", "seen=yes")
            kubectl("delete", "configmap", "seen")
            seen = [process.stdout.readline().split()[-1] for _ in range(2)]
        finally:
            process.terminate()
    assert seen == ["configmap/seen"] * 2


def test_two_managers_apply_on_the_server(kubectl: Callable[..., str]) -> None:
    """What another manager has set is a conflict until it is forced; what is no longer wanted goes."""
    apply = ("apply", "--server-side", "-f", "-")
    assert kubectl(*apply, sent=APPLIED).count(" serverside-applied") == 2
    kubectl("scale", "deployment/shop", "--replicas=5")
    refused = kubectl(*apply, sent=APPLIED, fails=True)
    assert 'conflict with "kubectl" with subresource "scale"' in refused
    kubectl(*apply, "--force-conflicts", sent=APPLIED.replace("image: two", "image: three"))
    labelled = {"name": "shop", "labels": {"tier": "x"}}
    other = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": labelled,
        "spec": {"ports": [{"port": 81, "name": "b"}]},
    }
    kubectl(*apply, "--field-manager=other", sent=json.dumps(other))
    shop = json.loads(kubectl("get", "deployment", "shop", "-o", "json", "--show-managed-fields"))
    assert {one["manager"] for one in shop["metadata"]["managedFields"]} == {"kubectl"}
    images = [one["image"] for one in shop["spec"]["template"]["spec"]["containers"]]
    assert (shop["spec"]["replicas"], images) == (2, ["one", "three"])
    assert kubectl("get", "service", "shop", "-o", "jsonpath={.spec.ports[*].port}") == "80 81"
    kubectl("delete", "-f", "-", sent=APPLIED)


def test_what_was_applied_by_the_client_goes_on_on_the_server(kubectl: Callable[..., str]) -> None:
    kubectl("apply", "-f", "-", sent=APPLIED)
    changed = APPLIED.replace("replicas: 2", "replicas: 3")
    kubectl("apply", "--server-side", "-f", "-", sent=changed)
    assert kubectl("get", "deployment", "shop", "-o", "jsonpath={.spec.replicas}") == "3"
    kubectl("apply", "-f", "-", sent=APPLIED)
    assert kubectl("get", "deployment", "shop", "-o", "jsonpath={.spec.replicas}") == "2"
    kubectl("delete", "-f", "-", sent=APPLIED)


def test_what_would_change_is_shown_and_does_not(kubectl: Callable[..., str]) -> None:
    kubectl("apply", "-f", "-", sent=APPLIED)
    assert kubectl("diff", "-f", "-", sent=APPLIED) == ""
    changed = APPLIED.replace("replicas: 2", "replicas: 4")
    for words in (("diff", "-f", "-"), ("diff", "--server-side", "--force-conflicts", "-f", "-")):
        shown = kubectl(*words, sent=changed, status=1)
        assert "-  replicas: 2\n+  replicas: 4" in shown
    for words in (("apply", "-f", "-"), ("apply", "--server-side", "--force-conflicts", "-f", "-")):
        kubectl(*words, "--dry-run=server", sent=changed)
    kubectl("scale", "deployment/shop", "--replicas=7", "--dry-run=server")
    assert kubectl("get", "deployment", "shop", "-o", "jsonpath={.spec.replicas}") == "2"
    kubectl("delete", "-f", "-", sent=APPLIED)


def test_what_is_invalid_is_said(kubectl: Callable[..., str]) -> None:
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w"}, "data": {"k": 1}}
    said = kubectl("create", "-f", "-", "--validate=false", sent=json.dumps(wrong), fails=True)
    assert "data[k]: must be a string" in said


def test_kinds_are_explained(kubectl: Callable[..., str]) -> None:
    assert "strategy\t<DeploymentStrategy>" in kubectl("explain", "deployment.spec")
    assert "containerPort\t<integer> -required-" in kubectl("explain", "pod.spec.containers", "--recursive")
    assert "Rules holds all the PolicyRules" in kubectl("explain", "role.rules")
    assert 'field "nonsense" does not exist' in kubectl("explain", "service.nonsense", fails=True)


def test_who_one_is_and_what_one_may(kubectl: Callable[..., str]) -> None:
    assert "alice" in kubectl("auth", "whoami")
    assert kubectl("auth", "can-i", "create", "deployments.apps").strip() == "yes"
    assert "*.*" in kubectl("auth", "can-i", "--list")


def test_waiting_and_describing(kubectl: Callable[..., str]) -> None:
    kubectl("create", "configmap", "there", "--from-literal=k=v")
    kubectl("label", "configmap", "there", "tier=x")
    kubectl("wait", "configmap/there", "--for=jsonpath={.data.k}=v", "--timeout=10s")
    assert "k:\n----\nv" in kubectl("describe", "configmap", "there")
    assert kubectl("get", "cm", "-l", "tier in (x, y)", "-o", "name") == "configmap/there\n"
    assert kubectl("get", "events") == ""
    kubectl("delete", "configmap", "there", "--wait")
    kubectl("wait", "configmap/there", "--for=delete", "--timeout=10s")


@pytest.mark.parametrize(
    "words", [("logs", "pod-1"), ("exec", "pod-1", "--", "ls"), ("port-forward", "pod-1", "8080")]
)
def test_what_needs_a_kubelet_says_so(kubectl: Callable[..., str], words: tuple[str, ...]) -> None:
    assert "bastion standalone has no kubelet" in kubectl(*words, fails=True)
