"""Do kustomize and the chart give the same objects, as kustomize itself makes them?"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.standalone.rbac import RBAC
from tests.deploy.charts import compared, known, mistakes, render
from tests.deploy.kustomized import kustomization, kustomized
from tests.deploy.test_manifests import DEPLOY

SECRETS = {"certificate": {"mode": "secret"}, "session": {"secretName": "bastion-session"}}
PUBLIC = {"hostNames": {"publicURL": "https://bastion.example.org"}}
HOST_NAMES = {"suffix": "apps.example.net", "publicURL": "https://bastion.example.org"}
CERTIFICATE = {"mode": "certManager", "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt-dns"}}
POOLS = [{"name": "default", "addresses": ["192.0.2.240/28", "2001:db8::f0/124"]}]
BALANCING = {"loadBalancer": {"enabled": True, "pools": POOLS}}
TRUSTING = {"config": {"serving": {"trustedProxies": ["10.244.0.0/16"]}}}
INGRESS = {
    "enabled": True,
    "className": "nginx",
    "hosts": ["bastion.example.org"],
    "tlsSecretName": "bastion-example-org",
    "annotations": {
        f"nginx.ingress.kubernetes.io/{name}": value
        for name, value in (
            ("backend-protocol", "HTTPS"),
            ("proxy-request-buffering", "off"),
            ("proxy-buffering", "off"),
            ("proxy-body-size", "0"),
            ("proxy-read-timeout", "3600"),
        )
    },
}
ROUTE = {
    "enabled": True,
    "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
    "hostnames": ["bastion.example.org"],
    "caConfigMap": "bastion-ca",
}
OIDC = {
    **PUBLIC,
    "config": {
        "oidc": {
            "issuerURL": "https://id.example.org",
            "clientID": "bastion",
            "clientSecretFile": "/etc/bastion/oidc/client-secret",
            "caFile": "/etc/bastion/oidc/ca.crt",
            "usernameClaim": "email",
            "usernamePrefix": "oidc:",
            "groupsClaim": "groups",
            "groupsPrefix": "oidc:",
        }
    },
    "extraVolumes": [{"name": "oidc", "secret": {"secretName": "bastion-oidc", "defaultMode": 0o440}}],
    "extraVolumeMounts": [{"name": "oidc", "mountPath": "/etc/bastion/oidc", "readOnly": True}],
}
LOGIN_PAGE = {
    "prober": "http",
    "timeout": "5s",
    "http": {"valid_status_codes": [200], "fail_if_body_not_matches_regexp": ["Sign in"]},
}
PROMETHEUS = {
    "serviceMonitor": {
        "enabled": True,
        "tokenSecret": {"name": "prometheus-bastion"},
        "serviceAccount": {"name": "prometheus", "namespace": "monitoring"},
    },
    "rules": {"enabled": True},
    "dashboards": {"enabled": True},
}


def with_base(*components: str) -> list[tuple[str, ...]]:
    return [(".", *(f"components/{name}" for name in components))]


WAYS: dict[str, tuple[Any, list[tuple[str, ...]]]] = {
    "base": ({}, with_base()),
    "nodes": ({"nodes": {"enabled": True}}, with_base("nodes")),
    "backend TLS": ({"backendTLS": {"enabled": True}}, with_base("backend-tls")),
    "flow control": ({"flowSchema": {"enabled": True}}, with_base("flowcontrol")),
    "ended sessions": ({"session": {**SECRETS["session"], "shareEnded": True}}, with_base("revocations")),
    "audit": ({"audit": {"enabled": True}}, with_base("audit")),
    "pass-through": (
        {"passThrough": {"enabled": True, "impersonate": True, "groups": ["developers"]}},
        with_base("pass-through"),
    ),
    "host names": ({"hostNames": HOST_NAMES, "certificate": CERTIFICATE}, with_base("host-names")),
    "Ingress": ({"ingress": INGRESS, **PUBLIC, **TRUSTING}, with_base("ingress")),
    "Gateway": ({"httpRoute": ROUTE, **PUBLIC, **TRUSTING}, with_base("gateway")),
    "LoadBalancer": (
        {"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}},
        with_base("public-service"),
    ),
    "autoscaling": ({"autoscaling": {"enabled": True}}, with_base("autoscaling")),
    "OIDC": (OIDC, with_base("oidc")),
    "probe modules": ({"probing": {"modules": {"login_page": LOGIN_PAGE}}}, with_base("probe-modules")),
    "Prometheus Operator": ({"prometheus": PROMETHEUS}, [(".", "prometheus")]),
    "several at once": (
        {
            "nodes": {"enabled": True},
            "autoscaling": {"enabled": True},
            "flowSchema": {"enabled": True},
            "audit": {"enabled": True},
            "prometheus": PROMETHEUS,
        },
        [(*with_base("nodes", "autoscaling", "flowcontrol", "audit")[0], "prometheus")],
    ),
    "node proxy": ({"nodeProxy": {"enabled": True}}, [(".",), ("node",)]),
    "load balancer": (BALANCING, [(".",), ("load-balancer",)]),
    "announced by nodes": (
        {**BALANCING, "nodeProxy": {"enabled": True, "announce": True}},
        [(".",), ("node", "load-balancer/announce"), ("load-balancer",)],
    ),
}
ways = pytest.mark.parametrize(("switches", "folders"), WAYS.values(), ids=WAYS)


@ways
def test_kustomize_and_chart_agree(switches: Any, folders: Any) -> None:
    plain = [one for folder in folders for one in kustomized(*folder)]
    expected, found = compared(plain), compared(render({**SECRETS, **switches}))
    assert found.keys() == expected.keys()
    for key in expected:
        if key == ("Certificate", "bastion-tls"):  # the Service's own name as well: Prometheus asks by it
            found[key]["spec"]["dnsNames"].remove("bastion.bastion.svc")
        assert found[key] == expected[key]


def test_every_component_is_compared() -> None:
    folders = {path.parent for path in DEPLOY.rglob("kustomization.yaml")}
    components = {
        str(folder.relative_to(DEPLOY)) for folder in folders if kustomization(folder)["kind"] == "Component"
    }
    assert components == {name for _, groups in WAYS.values() for one in groups for name in one[1:]}


@ways
def test_kubernetes_takes_what_kustomize_makes(switches: Any, folders: Any) -> None:
    for one in (one for folder in folders for one in kustomized(*folder)):
        for version in ("1.29", "1.37"):
            assert not known(one, version) or mistakes(one, version) == []


# --- what the bastion may, by the rules themselves

SECRET = {"verb": "", "namespace": "bastion", "resource": "secrets", "name": "bastion-ended"}
ASKED: list[tuple[str, dict[str, str], bool]] = [
    # sessions that end at one replica end at all, by a logout of the issuer too
    ("ended sessions", {**SECRET, "verb": "watch"}, True),
    ("ended sessions", {**SECRET, "verb": "patch"}, True),
    ("ended sessions", {**SECRET, "verb": "patch", "name": "bastion-session"}, False),
    ("ended sessions", {**SECRET, "verb": "patch", "namespace": "shop"}, False),
    ("ended sessions", {**SECRET, "verb": "list"}, False),
    ("ended sessions", {**SECRET, "verb": "delete"}, False),
    ("base", {**SECRET, "verb": "watch"}, False),
    ("base", {"verb": "watch", "resource": "pods"}, True),
    ("base", {"verb": "get", "resource": "pods", "subresource": "proxy", "namespace": "shop"}, False),
    ("base", {"verb": "watch", "resource": "nodes"}, False),
    ("nodes", {"verb": "watch", "resource": "nodes"}, True),
    ("base", {"verb": "impersonate", "resource": "users", "name": "alice"}, False),
    ("pass-through", {"verb": "impersonate", "resource": "users", "name": "alice"}, True),
    ("pass-through", {"verb": "impersonate", "resource": "groups", "name": "developers"}, True),
    ("pass-through", {"verb": "impersonate", "resource": "groups", "name": "system:masters"}, False),
]


@pytest.mark.parametrize(("way", "asked", "allowed"), ASKED, ids=str)
def test_the_bastion_may_what_it_does_and_no_more(way: str, asked: dict[str, str], allowed: bool) -> None:
    account = User("system:serviceaccount:bastion:bastion", groups=("system:serviceaccounts",))
    switches, folders = WAYS[way]
    for objects in (
        [one for folder in folders for one in kustomized(*folder)],
        render({**SECRETS, **switches}),
    ):
        assert RBAC(objects).authorize(account, Attributes(**asked))[0] is allowed


# --- the same as kustomize itself makes


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@ways
def test_kustomize_itself_makes_the_same(switches: Any, folders: Any, tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("helm"))
    for number, (folder, *components) in enumerate(folders):
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"../deploy/{folder}"],
            "components": [f"../deploy/{name}" for name in components],
        }
        (tmp_path / f"overlay{number}").mkdir()
        (tmp_path / f"overlay{number}" / "kustomization.yaml").write_text(json.dumps(overlay))
        command = ["kubectl", "kustomize", str(tmp_path / f"overlay{number}")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        made = compared(list(yaml.safe_load_all(done.stdout)))
        assert made == compared(kustomized(folder, *components))
