"""Are the kubeconfigs that others' tools write used as they are meant?

Each against an API server that plays a part.

The shapes are those of the tools; names, addresses and secrets are made up.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from _pytest.logging import LogCaptureFixture

from bastion.cluster.client import ApiClient
from bastion.cluster.kubeconfig import KubeconfigError
from tests.cluster.access import GOOD
from tests.cluster.kubeconfigs import AUTHORITY, opened
from tests.fakes import SOMEBODY, backend, run, server_tls

CLIENT = AUTHORITY.issue([], common_name="kubernetes-admin", organizations=["system:masters"], client=True)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


AUTHORITY_DATA = {"certificate-authority-data": b64(AUTHORITY.pem)}
CLIENT_DATA = {"client-certificate-data": b64(CLIENT.certificate), "client-key-data": b64(CLIENT.key)}
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


def plugin(command: str, *args: Any, version: Any = V1BETA1, **fields: Any) -> dict[str, Any]:
    return {"exec": {"apiVersion": version, "command": command, "args": list(args), "env": None, **fields}}


EKS = plugin(
    "aws",
    "--region",
    "eu-west-1",
    "eks",
    "get-token",
    "--cluster-name",
    "prod",
    "--output",
    "json",
    provideClusterInfo=False,
)
EKS["exec"]["env"] = [{"name": "AWS_PROFILE", "value": "prod"}]
GKE = plugin(
    "gke-gcloud-auth-plugin",
    installHint="Install gke-gcloud-auth-plugin: https://example.test/gke",
    provideClusterInfo=True,
)
AKS = plugin(
    "kubelogin",
    "get-token",
    "--environment",
    "AzurePublicCloud",
    "--server-id",
    "6dae42f8",
    "--login",
    "azurecli",
)
DIGITALOCEAN = plugin(
    "doctl",
    "kubernetes",
    "cluster",
    "kubeconfig",
    "exec-credential",
    "--version=v1beta1",
    "--context=default",
    "0b5e",
)
OPENSTACK = plugin("client-keystone-auth", version=V1, interactiveMode="Never")
RANCHER = plugin("rancher", "token", "--server=rancher.example", "--user=u-abc")
BELOW_RANCHER = "https://127.0.0.1:{port}/k8s/clusters/c-m-abc"
MINIKUBE = [{"name": "cluster_info", "extension": {"provider": "minikube.sigs.k8s.io", "version": "v1.35.0"}}]
FILES = {
    "ca.crt": AUTHORITY.pem,
    "client.crt": CLIENT.certificate,
    "client.key": CLIENT.key,
    "token": b"of-a-file\n",
}
BY_FILE = {"client-certificate": "client.crt", "client-key": "client.key"}

OLD_GCP = {"auth-provider": {"name": "gcp", "config": {"cmd-path": "gcloud"}}}
OLD_AZURE = {"auth-provider": {"name": "azure", "config": {}}}
OLD_EKS = plugin("aws", version="client.authentication.k8s.io/v1alpha1")
NOT_THERE = {"exec": {**GKE["exec"], "command": "not-there"}}
PASSWORD = {"username": "admin", "password": "p"}
BY_NAME = AUTHORITY_DATA | {"tls-server-name": "kube.example"}
BOTH = AUTHORITY_DATA | {"insecure-skip-tls-verify": True}

case = pytest.param
BEARER = "Bearer of-a-plugin"
USED = [  # (cluster, user, what Authorization says); {port} is the API server's
    case(AUTHORITY_DATA, EKS, BEARER, id="eks"),
    case(AUTHORITY_DATA, GKE, BEARER, id="gke"),
    case(AUTHORITY_DATA, CLIENT_DATA | {"token": "of-aks"}, "Bearer of-aks", id="aks-local-account"),
    case(AUTHORITY_DATA, AKS, BEARER, id="aks-entra-id"),
    case(AUTHORITY_DATA, CLIENT_DATA, None, id="k3s"),
    case(AUTHORITY_DATA, CLIENT_DATA, None, id="kind"),
    case({"certificate-authority": "ca.crt", "extensions": MINIKUBE}, BY_FILE, None, id="minikube"),
    case({"server": BELOW_RANCHER}, {"token": "kubeconfig-u:x"}, "Bearer kubeconfig-u:x", id="rancher"),
    case({"server": "https://127.0.0.1:{port}/k8s/clusters/local/"}, RANCHER, BEARER, id="rancher-plugin"),
    case({"insecure-skip-tls-verify": True}, {"token": "sha256~x"}, "Bearer sha256~x", id="openshift"),
    case(AUTHORITY_DATA, DIGITALOCEAN, BEARER, id="digitalocean"),
    case(AUTHORITY_DATA, OPENSTACK, BEARER, id="openstack"),
    case(AUTHORITY_DATA, {"tokenFile": "token"}, "Bearer of-a-file", id="a-service-account"),
    case(BY_NAME, {"token": "t"}, "Bearer t", id="through-a-tunnel"),
    case({"disable-compression": True}, PASSWORD, "Basic YWRtaW46cA==", id="a-password"),
    case(AUTHORITY_DATA, {}, None, id="nobody"),
]  # fmt: skip
REFUSED = [
    case(AUTHORITY_DATA, OLD_EKS, "user.exec.apiVersion", id="eks-of-2021"),
    case(AUTHORITY_DATA, OLD_GCP, "auth-provider", id="gke-of-2021"),
    case(AUTHORITY_DATA, OLD_AZURE, "kubelogin", id="aks-of-2021"),
    case(AUTHORITY_DATA, {"auth-provider": {"name": "oidc"}}, "kubectl oidc-login", id="openid-connect"),
    case({"server": "kube.example:6443"}, {"token": "t"}, "cluster.server", id="no-scheme"),
    case(AUTHORITY_DATA, NOT_THERE, "example.test/gke", id="gke-not-installed"),
    case(BOTH, {"token": "t"}, "insecure-skip-tls-verify", id="openshift-both"),
]  # fmt: skip


def written(
    tmp_path: Path,
    port: int,
    cluster: dict[str, Any],
    user: dict[str, Any],
) -> Path:
    server = cluster.get("server", "https://127.0.0.1:{port}").format(port=port)
    authority = (
        {} if "certificate-authority" in cluster or "insecure-skip-tls-verify" in cluster else AUTHORITY_DATA
    )
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": "admin@it",
        "clusters": [
            {"name": "other", "cluster": {"server": 5}},
            {"name": "it", "cluster": {**authority, **cluster, "server": server}},
        ],
        "contexts": [
            {"name": "admin@it", "context": {"cluster": "it", "user": "admin", "namespace": "default"}}
        ],
        "users": [{"name": "admin", "user": user}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return path


def installed(tmp_path: Path, user: dict[str, Any]) -> str:
    """The program that the user's plugin is, on a path of its own."""
    asked = user.get("exec")
    if asked is not None and asked["command"] != "not-there":
        said = {"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
        said["status"] = {"token": "of-a-plugin", "expirationTimestamp": None}
        program = tmp_path / "bin" / asked["command"]
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\nprint('''{json.dumps(said)}''')\n")
        program.chmod(0o700)
    return str(tmp_path / "bin")


@pytest.mark.parametrize(("cluster", "user", "authorization"), USED)
def test_used(
    tmp_path: Path,
    caplog: LogCaptureFixture,
    cluster: dict[str, Any],
    user: dict[str, Any],
    authorization: str | None,
) -> None:
    name = "kube.example" if "tls-server-name" in cluster else "127.0.0.1"
    user = {**user, "as": "system:serviceaccount:ops:bastion", "as-groups": ["ops", "auditors"]}
    certificate_shown: list[Any] = []

    async def main() -> Any:
        async with backend(GOOD, GOOD, GOOD, tls=server_tls(AUTHORITY, name, clients=AUTHORITY)) as server:
            path = written(tmp_path, server.port, cluster, user)
            access = opened(tmp_path, path, PATH=installed(tmp_path, user))
            async with ApiClient(access) as api:
                assert await api.get("/version", {}, SOMEBODY) == b"{}"
                assert (
                    await api.create("/apis/authentication.k8s.io/v1/tokenreviews", b"{}", SOMEBODY) == b"{}"
                )
                async for _ in api.watch("/api/v1/pods", {"watch": "true"}):
                    pass
                certificate_shown.extend(writer.get_extra_info("peercert") for writer in server._writers)
        return server.heads

    heads = run(main())
    prefix = cluster.get("server", "").partition("{port}")[2].rstrip("/")
    assert [head.split(b" ")[1].decode() for head in heads] == [
        f"{prefix}{path}"
        for path in ("/version", "/apis/authentication.k8s.io/v1/tokenreviews", "/api/v1/pods?watch=true")
    ]
    for head in heads:
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line]
        said = {name.lower(): value for name, value in fields}
        assert said.get("authorization") == authorization
        assert said["impersonate-user"] == "system:serviceaccount:ops:bastion"
        assert [value for name, value in fields if name.lower() == "impersonate-group"] == ["ops", "auditors"]
    assert all(
        bool(shown) == any(name.startswith("client-certificate") for name in user)
        for shown in certificate_shown
    )
    assert not caplog.messages


@pytest.mark.parametrize(("cluster", "user", "field"), REFUSED)
def test_refused(tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], field: str) -> None:
    path = written(tmp_path, 6443, cluster, user)
    with pytest.raises(KubeconfigError) as caught:
        opened(tmp_path, path, PATH=installed(tmp_path, user))
    assert (field in str(caught.value) and "[admin]" in str(caught.value)) or "[it]" in str(caught.value)
