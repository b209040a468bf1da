"""Where is the API server, and what is shown to it?  Real files; kubectl's rules where they are known."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _pytest.logging import LogCaptureFixture

from bastion.cluster.kubeconfig import KubeconfigError
from bastion.runtime.certificates import Authority
from tests.cluster.kubeconfigs import (
    AUTHORITY,
    LOOK,
    comes_to_be,
    config,
    kept,
    old_authority,
    opened,
    plugin_of,
    token,
)
from tests.fakes import run, until

OLD = old_authority(datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC))

# --- which file counts?


def test_the_order_is_flag_then_environment_then_home_then_pod(
    tmp_path: Path, write: Callable[..., Any]
) -> None:
    flag, listed = write("flag", config("https://flag")), write("listed", config("https://listed"))
    write("home/.kube/config", config("https://home"))
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    write("service-account/token", "of-the-pod\n")
    write("service-account/ca.crt", AUTHORITY.pem.decode())
    assert opened(tmp_path, flag, KUBECONFIG=str(listed), **pod).server == "https://flag"
    assert opened(tmp_path, KUBECONFIG=str(listed), **pod).server == "https://listed"  # type: ignore[arg-type]
    assert opened(tmp_path, **pod).server == "https://home"  # type: ignore[arg-type]
    assert opened(tmp_path, KUBECONFIG="", **pod).server == "https://home"  # type: ignore[arg-type]
    (tmp_path / "home/.kube/config").unlink()
    in_pod = opened(tmp_path, **pod)  # type: ignore[arg-type]
    assert (in_pod.server, token(in_pod)) == ("https://10.96.0.1:443", "bearer of-the-pod")


def test_with_none_of_them_it_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(
        KubeconfigError,
        match=r"^no kubeconfig \(--kubeconfig, KUBECONFIG, ~/.kube/config\) and not in a cluster",
    ):
        opened(tmp_path)


def test_several_files_are_one_and_the_first_that_says_something_wins(
    tmp_path: Path, write: Callable[..., Any]
) -> None:
    """As kubectl merges them; the official Python client lets the last current-context win."""
    one = config("https://one", name="one", current=False)
    two = config("https://two", name="two")
    three = config("https://three", name="three") | {
        "clusters": [{"name": "two", "cluster": {"server": "https://not-this"}}]
    }
    files = ":".join(str(write(f"{i}/config", content)) for i, content in enumerate([one, two, three]))
    access = opened(tmp_path, KUBECONFIG=f"{files}:{tmp_path / 'not-there'}")
    assert (access.server, token(access)) == ("https://two", "Bearer token-of-two")
    assert opened(tmp_path, context="one", KUBECONFIG=files).server == "https://one"


def test_a_context_is_chosen_by_name(tmp_path: Path, write: Callable[..., Any]) -> None:
    both = config("https://a")
    other = config("https://b", name="b")
    for kind in ("clusters", "users", "contexts"):
        both[kind] += other[kind]
    path = write("config", both)
    assert opened(tmp_path, path).server == "https://a"
    chosen = opened(tmp_path, path, "b")
    assert (chosen.server, token(chosen)) == ("https://b", "Bearer token-of-b")
    with pytest.raises(KubeconfigError, match="--context: there is no context with name c"):
        opened(tmp_path, path, "c")


# --- what is shown


def test_paths_in_a_file_begin_where_the_file_is(tmp_path: Path, write: Callable[..., Any]) -> None:
    write("deep/token", "from-a-file\n")
    write("deep/ca.crt", AUTHORITY.pem.decode())
    pair = AUTHORITY.issue([], common_name="bastion", client=True)
    write("deep/tls.crt", pair.certificate.decode())
    write("deep/tls.key", pair.key.decode())
    user = {"tokenFile": "token", "client-certificate": "tls.crt", "client-key": "tls.key"}
    access = opened(
        tmp_path, write("deep/config", config(user=user, cluster={"certificate-authority": "ca.crt"}))
    )
    assert token(access) == "Bearer from-a-file"
    assert [authority["subject"] for authority in access.tls.get_ca_certs()] == [
        ((("commonName", "kubeconfig tests CA"),),)
    ]


def test_what_is_in_the_file_itself_is_read_from_there(tmp_path: Path, write: Callable[..., Any]) -> None:
    pair = AUTHORITY.issue([], common_name="bastion", client=True)
    ca, certificate, key = (
        base64.b64encode(data).decode() for data in (AUTHORITY.pem, pair.certificate, pair.key)
    )
    cluster = {"certificate-authority-data": ca, "proxy-url": "http://proxy.example:3128"}
    user = {"client-certificate-data": certificate, "client-key-data": key}
    access = opened(
        tmp_path, write("config", config(user=user, cluster=cluster)), HTTPS_PROXY="http://not-this:1"
    )
    assert (token(access), access.proxies.of(access.server)) == (None, "http://proxy.example:3128")
    assert access.tls.verify_mode is ssl.CERT_REQUIRED


def test_a_password_is_shown_as_one(tmp_path: Path, write: Callable[..., Any]) -> None:
    access = opened(tmp_path, write("config", config(user={"username": "u", "password": "p"})))
    assert token(access) == "Basic " + base64.b64encode(b"u:p").decode()


def test_verification_is_left_out_only_where_the_file_says_so(
    tmp_path: Path, write: Callable[..., Any]
) -> None:
    assert (
        opened(tmp_path, write("config", config(cluster={"insecure-skip-tls-verify": True}))).tls.verify_mode
        is ssl.CERT_NONE
    )
    assert opened(tmp_path, write("config", config())).tls.verify_mode is ssl.CERT_REQUIRED


PRECEDENCES = [  # (the user, what is shown): as client-go decides
    pytest.param(
        {"token": "of-the-field", "tokenFile": "token"}, "Bearer of-the-file", id="the-file-before-the-field"
    ),
    pytest.param(
        {"token": "of-the-field", "tokenFile": "none"},
        "Bearer of-the-field",
        id="the-field-where-the-file-is-away",
    ),
    pytest.param(
        {"token": "of-the-field", "tokenFile": "empty"},
        "Bearer of-the-field",
        id="the-field-where-the-file-is-empty",
    ),
    pytest.param(
        plugin_of() | {"token": "of-the-field"}, "Bearer of-the-field", id="a-token-before-a-plugin"
    ),
    pytest.param(
        plugin_of() | {"username": "u", "password": "p"}, "Basic dTpw", id="a-password-before-a-plugin"
    ),
    pytest.param({"token": None, "username": "u", "password": "p"}, "Basic dTpw", id="a-null-is-nothing"),
    pytest.param(
        {"tokenFile": "token", "password": "p"}, "Bearer of-the-file", id="a-password-of-nobody-is-nothing"
    ),
    pytest.param(
        {"token": "t", "client-key": "x", "client-key-data": "eA=="},
        "Bearer t",
        id="keys-without-a-certificate-are-nothing",
    ),
    pytest.param(None, None, id="nobody"),
]


@pytest.mark.parametrize(("user", "shown"), PRECEDENCES)
def test_what_comes_first(
    tmp_path: Path,
    write: Callable[..., Any],
    user: Any,
    shown: str | None,
) -> None:
    write("token", "of-the-file\n")
    write("empty", "\n")
    content = config()
    content["users"][0]["user"] = user
    assert token(opened(tmp_path, write("config", content))) == shown


def test_nothing_secret_is_sent_in_plain_http(
    tmp_path: Path, write: Callable[..., Any], caplog: LogCaptureFixture
) -> None:
    """kubectl does the same, without a word."""
    access = opened(
        tmp_path, write("config", config("http://10.0.0.1:8080", user={"token": "secret", "as": "u"}))
    )
    assert (access.server, token(access)) == ("http://10.0.0.1:8080", None)
    assert access.impersonation == ((b"Impersonate-User", b"u"),)
    assert "no credentials of users[a].user are sent" in caplog.text


SERVERS = [
    ("https://10.0.0.1:6443/", "https://10.0.0.1:6443"),
    ("https://rancher.example/k8s/clusters/c-m-abc/?x=1#y", "https://rancher.example/k8s/clusters/c-m-abc"),
    ("HTTPS://api.example", "https://api.example"),
    ("https://[fd00::1]:6443", "https://[fd00::1]:6443"),
    ("localhost:8080", "http://localhost:8080"),
    ("10.0.0.1:8080", "http://10.0.0.1:8080"),
]


@pytest.mark.parametrize(("server", "url"), SERVERS)
def test_the_url_of_the_api_server(tmp_path: Path, write: Callable[..., Any], server: str, url: str) -> None:
    assert opened(tmp_path, write("config", config(server, user={}))).server == url


def test_who_is_impersonated(tmp_path: Path, write: Callable[..., Any]) -> None:
    user = {
        "token": "t",
        "as": "jürgen",
        "as-uid": "7",
        "as-groups": ["a", "b"],
        "as-user-extra": {"Acme.test/scopes": ["x", "z"]},
    }
    access = opened(tmp_path, write("config", config(user=user)))
    assert access.impersonation == (
        (b"Impersonate-User", "jürgen".encode()),
        (b"Impersonate-Uid", b"7"),
        (b"Impersonate-Group", b"a"),
        (b"Impersonate-Group", b"b"),
        (b"Impersonate-Extra-Acme.test%2Fscopes", b"x"),
        (b"Impersonate-Extra-Acme.test%2Fscopes", b"z"),
    )


def test_proxies_come_from_the_file_or_else_from_the_environment(
    tmp_path: Path, write: Callable[..., Any]
) -> None:
    plain, named = (
        write("config", config()),
        write("named", config(cluster={"proxy-url": "socks5://proxy.example"})),
    )
    environ = {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": "10.0.0.2"}
    access = opened(tmp_path, plain, **environ)
    assert access.proxies.of("https://10.0.0.1:6443") == "http://proxy.example:3128"
    assert access.proxies.of("https://10.0.0.2:6443") == "", "each of several API servers is looked at"
    assert (
        opened(tmp_path, named, NO_PROXY="*").proxies.of("https://10.0.0.1:6443") == "socks5://proxy.example"
    )
    with pytest.raises(
        KubeconfigError, match="HTTPS_PROXY: a proxy is spoken to by http, https or socks5, not 'ftp'"
    ):
        opened(tmp_path, plain, HTTPS_PROXY="ftp://proxy.example")


def test_another_proxy_is_used_without_a_restart(tmp_path: Path, write: Callable[..., Any]) -> None:
    access = opened(tmp_path, write("config", config(cluster={"proxy-url": "http://one.example"})))
    before = access.tls
    write("config", config(cluster={"proxy-url": "http://two.example"}))

    async def check(access: Any) -> None:
        await until(lambda: access.proxies.named == "http://two.example")
        assert access.tls is not before, "which is what connections are made for anew"

    kept(access, check)


def test_the_certificates_that_somebody_renews_are_named(tmp_path: Path, write: Callable[..., Any]) -> None:
    write("old.crt", OLD)
    access = opened(tmp_path, write("config", config(cluster={"certificate-authority": "old.crt"})))
    assert [(one.purpose, one.where, one.pem) for one in access.certificates] == [
        ("kubeconfig-ca", "clusters[a].cluster.certificate-authority", OLD.encode())
    ]


def test_a_field_that_is_none_is_told_of(
    tmp_path: Path, write: Callable[..., Any], caplog: LogCaptureFixture
) -> None:
    opened(
        tmp_path,
        write(
            "config",
            config(
                user={"token": "t", "tokenfile": "x"}, cluster={"extensions": [], "disable-compression": True}
            ),
        ),
    )
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "users[a].user.tokenfile is not a field of a kubeconfig; it is ignored"
    ]


def test_a_file_is_json_as_well_and_a_byte_order_mark_is_nothing(
    tmp_path: Path, write: Callable[..., Any]
) -> None:
    access = opened(
        tmp_path, write("config", "\N{BYTE ORDER MARK}" + json.dumps(config(name="\N{GRINNING FACE}")))
    )
    assert token(access) == "Bearer token-of-\N{GRINNING FACE}".encode().decode()


# --- what changes


def test_a_token_file_is_read_again_when_it_was_rotated(tmp_path: Path, write: Callable[..., Any]) -> None:
    write("token", "first\n")
    access = opened(tmp_path, write("config", config(user={"tokenFile": "token"})))
    assert token(access) == "Bearer first"
    write("token", "second\n")
    kept(access, lambda access: comes_to_be(access, "Bearer second"))


def test_a_mounted_token_is_rotated_by_turning_a_link(tmp_path: Path, write: Callable[..., Any]) -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    for generation in ("first", "second"):
        write(f"service-account/{generation}/token", generation)
        write(f"service-account/{generation}/ca.crt", AUTHORITY.pem.decode())
    mounted = tmp_path / "service-account"
    (mounted / "..data").symlink_to("first")
    for name in ("token", "ca.crt"):
        (mounted / name).symlink_to(f"..data/{name}")
    access = opened(tmp_path, **pod)  # type: ignore[arg-type]
    assert token(access) == "bearer first"
    (mounted / "..new").symlink_to("second")
    (mounted / "..new").rename(mounted / "..data")
    kept(access, lambda access: comes_to_be(access, "bearer second"))


def test_a_token_file_that_breaks_keeps_the_old_token_and_says_so_once(
    tmp_path: Path, write: Callable[..., Any], caplog: LogCaptureFixture
) -> None:
    write("token", "first\n")
    access = opened(tmp_path, write("config", config(user={"tokenFile": "token"})))
    write("token", "")

    async def check(access: Any) -> None:
        await until(lambda: "stay" in caplog.text)
        await asyncio.sleep(20 * LOOK)
        assert await access.authorization() == "Bearer first"
        write("token", "second\n")
        await comes_to_be(access, "Bearer second")

    kept(access, check)
    assert [
        record.getMessage().count("is empty") for record in caplog.records if record.levelname == "ERROR"
    ] == [1]


def test_the_kubeconfig_itself_is_read_again(tmp_path: Path, write: Callable[..., Any]) -> None:
    access = opened(tmp_path, write("config", config()))
    write("config", config(user={"token": "renewed"}))
    kept(access, lambda access: comes_to_be(access, "Bearer renewed"))


def test_a_new_authority_makes_a_new_context_and_a_new_token_does_not(
    tmp_path: Path, write: Callable[..., Any]
) -> None:
    write("ca.crt", AUTHORITY.pem.decode())
    write("token", "first")
    access = opened(
        tmp_path,
        write("config", config(user={"tokenFile": "token"}, cluster={"certificate-authority": "ca.crt"})),
    )
    before = access.tls

    async def check(access: Any) -> None:
        write("token", "second")
        await comes_to_be(access, "Bearer second")
        assert access.tls is before
        write("ca.crt", Authority("renewed").pem.decode())
        await until(lambda: access.tls is not before)
        assert [authority["subject"] for authority in access.tls.get_ca_certs()] == [
            ((("commonName", "renewed CA"),),)
        ]

    kept(access, check)


def test_what_the_api_server_refused_is_loaded_again_at_once(
    tmp_path: Path, write: Callable[..., Any]
) -> None:
    write("token", "first")
    access = opened(tmp_path, write("config", config(user={"tokenFile": "token"})))

    async def main() -> None:
        refused = await access.authorization()
        write("token", "second")
        assert await access.refused(refused)
        assert await access.authorization() == "Bearer second"
        assert not await access.refused("Bearer second"), (
            "there is no other, and asking all the time helps nobody"
        )

    run(main())
