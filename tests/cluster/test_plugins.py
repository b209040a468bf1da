"""What is an exec plugin asked, and what is made of its answer?  A real program."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _pytest.logging import LogCaptureFixture

from bastion.cluster.access import ApiAccess
from bastion.cluster.kubeconfig import KubeconfigError
from tests.cluster.kubeconfigs import AUTHORITY, LOOK, Plugin, comes_to_be, config, kept, opened, token
from tests.fakes import until


def test_a_plugin_is_run_as_the_file_says_and_its_token_is_shown(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    plugin.gives(token="of-the-plugin")
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    assert token(access) == "Bearer of-the-plugin"
    assert plugin.asked == ["ExecCredential hello --for tests"]


def test_a_plugin_may_give_a_certificate(tmp_path: Path, write: Callable[..., Any], plugin: Plugin) -> None:
    pair = AUTHORITY.issue([], common_name="bastion", client=True)
    plugin.gives(
        clientCertificateData=pair.certificate.decode(),
        clientKeyData=pair.key.decode(),
        expirationTimestamp=None,
    )
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    assert token(access) is None


GIVEN = [
    ({"token": "t", "expirationTimestamp": None}, "Bearer t"),
    ({"token": "t", "expirationTimestamp": "2099-01-02T03:04:05.678+02:00"}, "Bearer t"),
    ({"token": "t", "clientCertificateData": "", "unknown": 1}, "Bearer t"),
    ({}, "gave no credentials"),
    ({"token": ""}, "gave no credentials"),
    ({"token": "a\nb"}, "gave a token with characters that no token has"),
    ({"clientCertificateData": "x"}, "gave a certificate or a key, but not both"),
    ({"token": "t", "expirationTimestamp": "tomorrow"}, "put out no ExecCredential"),
    ({"token": ["hunter2"]}, "put out no ExecCredential"),
]


@pytest.mark.parametrize(("status", "outcome"), GIVEN)
def test_what_a_plugin_gives(
    tmp_path: Path,
    write: Callable[..., Any],
    plugin: Plugin,
    status: dict[str, Any],
    outcome: str,
) -> None:
    plugin.gives(**status)
    path = write("config", config(user=plugin.user))
    if outcome.startswith("Bearer"):
        assert token(opened(tmp_path, path)) == outcome
        return
    with pytest.raises(KubeconfigError, match=rf"users\[a\]\.user\.exec: the plugin '.*plugin' {outcome}$"):
        opened(tmp_path, path)


def test_a_plugin_that_fails_is_quoted_in_a_line(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    plugin.fails()
    with pytest.raises(
        KubeconfigError,
        match=r"exec: the plugin '.*plugin' ended with status 1: error: no credentials today$",
    ):
        opened(tmp_path, write("config", config(user=plugin.user)))


def test_a_plugin_of_another_version_is_refused(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    plugin.gives(token="t")
    plugin.user["exec"]["apiVersion"] = "client.authentication.k8s.io/v1beta1"
    with pytest.raises(
        KubeconfigError, match=r"put out a client\.authentication\.k8s\.io/v1 ExecCredential and no"
    ):
        opened(tmp_path, write("config", config(user=plugin.user)))


def test_a_plugin_beside_the_file_or_on_the_path(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    plugin.gives(token="t")
    plugin.user["exec"]["command"] = "./plugin"
    assert token(opened(tmp_path, write("config", config(user=plugin.user)))) == "Bearer t"
    plugin.user["exec"]["command"] = "plugin"
    assert (
        token(opened(tmp_path, write("config", config(user=plugin.user)), PATH=str(tmp_path))) == "Bearer t"
    )


def test_a_plugin_is_told_of_the_cluster_where_it_asks(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    plugin.gives(token="t")
    plugin.user["exec"]["provideClusterInfo"] = True  # type: ignore[assignment]
    write("ca.crt", AUTHORITY.pem.decode())
    extensions = [
        {"name": "other", "extension": 1},
        {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}},
    ]
    cluster = {"certificate-authority": "ca.crt", "tls-server-name": "api.example", "extensions": extensions}
    opened(tmp_path, write("config", config(user=plugin.user, cluster=cluster)))
    assert plugin.info["spec"] == {
        "interactive": False,
        "cluster": {
            "server": "https://10.0.0.1:6443",
            "certificate-authority-data": base64.b64encode(AUTHORITY.pem).decode(),
            "tls-server-name": "api.example",
            "config": {"audience": "a"},
        },
    }


def test_a_certificate_of_a_plugin_is_renewed_before_it_ends(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    pair = AUTHORITY.issue([], common_name="bastion", client=True)
    plugin.gives(clientCertificateData=pair.certificate.decode(), clientKeyData=pair.key.decode())
    path = write("config", config(user=plugin.user))
    ahead = time.time() + 365 * 86400
    seconds = [ahead - 3600.0, ahead + 3600.0]
    access = ApiAccess(opened(tmp_path, path)._load, lambda: seconds[0])
    plugin.gives(token="t")
    assert token(access) is None
    seconds[0] = seconds[1]
    assert token(access) == "Bearer t"


def test_a_plugin_is_asked_again_before_its_token_expires(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    plugin.gives(token="first", expires_in=20)
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    plugin.gives(token="second", expires_in=3600)
    kept(access, lambda access: comes_to_be(access, "Bearer second"))
    assert len(plugin.asked) == 2


def test_a_token_that_has_expired_is_not_shown_while_another_can_be_had(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin
) -> None:
    plugin.gives(token="first", expires_in=-5)
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    plugin.gives(token="second", expires_in=3600)
    assert token(access) == "Bearer second"


def test_a_plugin_that_fails_later_on_leaves_what_there_was_and_is_not_asked_all_the_time(
    tmp_path: Path, write: Callable[..., Any], plugin: Plugin, caplog: LogCaptureFixture
) -> None:
    plugin.gives(token="first", expires_in=20)
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    plugin.fails()

    async def check(access: Any) -> None:
        await until(lambda: "stay" in caplog.text)
        for _ in range(50):
            assert await access.authorization() == "Bearer first"
            await asyncio.sleep(LOOK)

    kept(access, check)
    assert len(plugin.asked) == 2
