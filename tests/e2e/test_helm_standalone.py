"""Helm, by its own library, installs into `bastion standalone` through a bastion that passes calls on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python
import pytest
from helm_python import Config

from tests.e2e.harness import ALICE, BOB, Bastion

TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: shop}}
  template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: shop}, ports: [{port: 80}]}
{{- if .Values.extra }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-extra}
data: {replicas: "{{ .Values.replicas }}"}
{{- end }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: shop, version: 1.0.0}")
    (folder / "values.yaml").write_text("{replicas: 2, extra: true}")
    (folder / "templates" / "all.yaml").write_text(TEMPLATE)
    return folder


def helm(front: Bastion, token: str = ALICE) -> Config:
    cluster = {"server": front.url, "certificate-authority": str(front.cluster.ca)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bastion",
        "clusters": [{"name": "bastion", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "bastion", "context": {"cluster": "bastion", "user": "user"}}],
    }
    return Config(kubeconfig_content=json.dumps(content), namespace="default")


def found(front: Bastion, path: str) -> tuple[int, Any]:
    answer = front.get(path, token=ALICE)
    return answer.status_code, answer.json()


def test_a_release_is_installed_upgraded_rolled_back_and_taken_away(front: Bastion, chart: Path) -> None:
    deployment, extra = (
        "/apis/apps/v1/namespaces/default/deployments/web",
        "/api/v1/namespaces/default/configmaps/web-extra",
    )
    with helm(front) as config:
        assert config.install(chart, "web")["status"] == "deployed"
        assert found(front, deployment)[1]["spec"]["replicas"] == 2
        upgraded = config.upgrade(chart, "web", {"replicas": 3, "extra": False})
        assert upgraded["revision"] == 2
        assert found(front, deployment)[1]["spec"]["replicas"] == 3
        assert found(front, extra)[0] == 404
        config.rollback("web", version=1)
        assert found(front, deployment)[1]["spec"]["replicas"] == 2
        assert found(front, extra)[0] == 200
        assert [(one["name"], one["revision"]) for one in config.list()] == [("web", 3)]
        assert [one["status"] for one in config.history("web")] == ["superseded", "superseded", "deployed"]
        config.uninstall("web")
        assert config.list() == []
        assert found(front, deployment)[0] == found(front, extra)[0] == 404
        assert found(front, "/api/v1/namespaces/default/secrets?labelSelector=owner=helm")[1]["items"] == []


def test_a_dry_run_leaves_nothing(front: Bastion, chart: Path) -> None:
    with helm(front) as config:
        config.install(chart, "dry", dry_run="server")
        assert found(front, "/apis/apps/v1/namespaces/default/deployments/dry")[0] == 404


def test_what_helms_user_may_not_helm_may_not(front: Bastion, chart: Path) -> None:
    with helm(front, BOB) as config, pytest.raises(helm_python.HelmError, match="forbidden"):
        config.install(chart, "other")
