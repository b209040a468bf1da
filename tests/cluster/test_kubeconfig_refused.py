"""What is wrong with a kubeconfig, in one line that names the file and the field and holds nothing secret?"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bastion.cluster.kubeconfig import KubeconfigError
from tests.cluster.kubeconfigs import AUTHORITY, config, opened, plugin_of


def refused(what: str, field: str, **parts: Any) -> pytest.ParameterSet:
    """A row of BROKEN: a kubeconfig of these parts, and what is said of it."""
    return pytest.param(config(**parts), field, id=what)


C, U = "clusters[a].cluster", "users[a].user"
GCP = {"auth-provider": {"name": "gcp"}}
OIDC = {"auth-provider": {"name": "oidc", "config": {"id-token": "hunter2"}}}
HINT = "get it\nat \x1b[1mexample.test"
NO_PROGRAM = "is not installed, or is not executable: get it at example.test"
GONE = "is not supported; kubectl has it no more either: use"
EXEC_API = "client.authentication.k8s.io"
TWO_AUTHORITIES = {"certificate-authority": "x", "certificate-authority-data": "eA=="}
TWO_LOGINS = {"token": "hunter2", "username": "u", "password": "hunter2"}
BROKEN = [
    pytest.param({"kind": "Config"}, "no current-context", id="nothing-in-it"),
    pytest.param("", "no current-context", id="an-empty-file"),
    pytest.param({"kind": "Pod", "apiVersion": "v1"}, "must be an object of kind Config", id="another-kind"),
    pytest.param(
        config(current=False), "no current-context: choose one with --context (a)", id="no-current-context"
    ),
    pytest.param(
        config() | {"current-context": "b"},
        "current-context: there is no context with name b",
        id="no-such-context",
    ),
    pytest.param(
        config() | {"clusters": []},
        "contexts[a].context.cluster: there is no cluster with name a",
        id="no-such-cluster",
    ),
    pytest.param(
        config() | {"users": []}, "contexts[a].context.user: there is no user with name a", id="no-such-user"
    ),
    pytest.param(
        config() | {"contexts": [{"name": "a"}]}, "contexts[a].context.cluster: must be set", id="no-cluster"
    ),
    pytest.param(
        config() | {"clusters": config()["clusters"] * 2},
        "clusters[1].name: a is there twice",
        id="a-cluster-twice",
    ),
    pytest.param(config() | {"users": {}}, "no user with name a", id="no-users"),
    pytest.param(config() | {"users": "hunter2"}, "users: must be a list", id="users-that-are-none"),
    pytest.param(
        config() | {"users": [{"user": {}}]}, "users[0].name: must be a string", id="a-user-without-a-name"
    ),
    pytest.param("a: [", "is not a kubeconfig: line 2: did not find expected node content", id="no-yaml"),
    pytest.param("- hunter2", "is not a kubeconfig", id="a-list"),
    # clusters
    refused("no-server", f"{C}.server: must be set", server=""),
    refused(
        "a-server-without-a-scheme",
        f"{C}.server: '10.0.0.1:6443' has no scheme: write https://10.0.0.1:6443",
        server="10.0.0.1:6443",
    ),
    refused("a-server-by-ftp", f"{C}.server: is not a URL such as", server="ftp://10.0.0.1"),
    refused("a-server-that-is-nothing", f"{C}.server: is not a URL such as", server="https://[fd00::1"),
    refused(
        "a-server-with-a-password",
        f"{C}.server: must not hold a user name or password",
        server="https://admin:hunter2@10.0.0.1",
    ),
    refused("a-server-that-is-a-number", f"{C}.server: expected str, got int", server=6443),
    refused(
        "no-such-authority",
        "none.crt cannot be read: No such file or directory",
        cluster={"certificate-authority": "none.crt"},
    ),
    refused(
        "no-authority",
        f"{C}.certificate-authority: holds no certificate",
        cluster={"certificate-authority-data": "bm9uZQ=="},
    ),
    refused(
        "no-base64",
        f"{C}.certificate-authority-data: is not base64",
        cluster={"certificate-authority-data": "hunter2!"},
    ),
    refused("two-authorities", f"{C}.certificate-authority: and", cluster=TWO_AUTHORITIES),
    refused(
        "an-authority-that-is-not-asked",
        f"{C}.insecure-skip-tls-verify: contradicts",
        cluster={
            "insecure-skip-tls-verify": True,
            "certificate-authority-data": base64.b64encode(AUTHORITY.pem).decode(),
        },
    ),
    refused(
        "a-truth-in-quotes",
        f"{C}.insecure-skip-tls-verify: expected bool, got str",
        cluster={"insecure-skip-tls-verify": "true"},
    ),
    refused(
        "a-proxy-by-ftp",
        f"{C}.proxy-url: a proxy is spoken to by http, https or socks5, not 'ftp'",
        cluster={"proxy-url": "ftp://u:hunter2@x"},
    ),
    refused(
        "a-proxy-without-a-scheme",
        f"{C}.proxy-url: a proxy is spoken to by",
        cluster={"proxy-url": "proxy.example:3128"},
    ),
    refused("a-proxy-that-is-nothing", f"{C}.proxy-url: names no host", cluster={"proxy-url": "socks5://"}),
    refused(
        "an-address-that-an-http-proxy-cannot-be-asked-for",
        f"{C}.server: an HTTP proxy cannot be asked for an IPv6 address",
        server="https://[fd00::1]:6443",
        cluster={"proxy-url": "http://proxy.example:3128"},
    ),
    # users
    refused("a-token-that-is-a-number", f"{U}.token: expected str, got int", user={"token": 12345}),
    refused("a-token-of-two-lines", f"{U}.token: holds a control character", user={"token": "a\nb"}),
    refused("no-such-token-file", f"{U}.tokenFile: /", user={"tokenFile": "none"}),
    refused("two-ways-to-log-in", f"{U}.username: contradicts the token", user=TWO_LOGINS),
    refused(
        "a-file-and-a-password",
        f"{U}.username: contradicts the token",
        user={"tokenFile": "x", "username": "u", "password": "p"},
    ),
    refused("groups-of-nobody", f"{U}.as: must be set", user={"token": "t", "as-groups": ["g"]}),
    refused("a-uid-of-nobody", f"{U}.as: must be set", user={"token": "t", "as-uid": "u"}),
    refused(
        "groups-that-are-none",
        f"{U}.as-groups: expected array, got str",
        user={"token": "t", "as": "u", "as-groups": "g"},
    ),
    refused(
        "extra-that-is-none",
        f"{U}.as-user-extra",
        user={"token": "t", "as": "u", "as-user-extra": {"a": "b"}},
    ),
    refused(
        "a-certificate-without-a-key",
        f"{U}.client-key: or client-key-data must be set",
        user={"client-certificate-data": "eA=="},
    ),
    refused(
        "a-certificate-twice",
        f"{U}.client-certificate: and",
        user={"client-certificate-data": "eA==", "client-certificate": "x"},
    ),
    refused(
        "no-certificate",
        f"{U}.client-certificate: ",
        user={"client-certificate-data": "eA==", "client-key-data": "eA=="},
    ),
    refused("gcp", f"{U}.auth-provider: 'gcp' {GONE} gke-gcloud-auth-plugin", user=GCP),
    refused("oidc", f"{U}.auth-provider: 'oidc' is not supported; use an exec plugin", user=OIDC),
    refused(
        "some-provider",
        f"{U}.auth-provider: 'x' is not supported; use an exec plugin",
        user={"auth-provider": {"name": "x"}},
    ),
    # exec plugins
    refused("no-such-plugin", f"{U}.exec: the plugin '/none' {NO_PROGRAM}", user=plugin_of(installHint=HINT)),
    refused("no-command", f"{U}.exec.command: must be set", user=plugin_of(command="")),
    refused("no-version", f"{U}.exec.apiVersion: must be", user=plugin_of(apiVersion="")),
    refused(
        "an-old-version",
        f"{U}.exec.apiVersion: {EXEC_API}/v1alpha1 was",
        user=plugin_of(apiVersion=f"{EXEC_API}/v1alpha1"),
    ),
    refused(
        "no-mode",
        f"{U}.exec.interactiveMode: must be Never, IfAvailable or Always",
        user=plugin_of(interactiveMode=None),
    ),
    refused(
        "another-mode", f"{U}.exec.interactiveMode: must be", user=plugin_of(interactiveMode="Sometimes")
    ),
    refused(
        "a-plugin-that-must-ask", "there is no terminal to ask at", user=plugin_of(interactiveMode="Always")
    ),
    refused(
        "a-variable-without-a-name",
        f"{U}.exec.env: each variable must have a name",
        user=plugin_of(env=[{"value": "x"}]),
    ),
    refused("a-plugin-beside-a-provider", f"{U}.auth-provider", user=plugin_of() | GCP),
]


@pytest.mark.parametrize(("content", "said"), BROKEN)
def test_what_is_wrong_is_one_line_that_names_the_file(
    tmp_path: Path, write: Callable[..., Any], content: Any, said: str
) -> None:
    path = write("config", content)
    with pytest.raises(KubeconfigError) as caught:
        opened(tmp_path, path)
    text = str(caught.value)
    assert text.startswith(f"kubeconfig {path}: ")
    assert said in text, text
    assert "\n" not in text and "hunter2" not in text
